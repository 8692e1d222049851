/** One request of an XMLHttpRequest that goes by the client: its states and events (WHATWG XMLHttpRequest). */
import type { Client } from '../client/index.ts';
import { xhrBody } from './xhr-body.ts';
import { XhrResponse } from './xhr-response.ts';

const UNSENT = 0;
const OPENED = 1;
const HEADERS_RECEIVED = 2;
const LOADING = 3;
const DONE = 4;

/** Progress is told so often at most (section 4.5.6). */
const PROGRESS_MS = 50;

type Failure = 'error' | 'abort' | 'timeout';

export interface XhrRequestOptions {
  /** The platform’s, which gets the events. */
  xhr: XMLHttpRequest;
  method: string;
  url: string;
  fetch: Client['fetch'];
}

export class XhrRequest {
  readonly headers = new Headers();
  overriddenMimeType: string | undefined;
  readonly #options: XhrRequestOptions;
  readonly #giveUp = new AbortController();
  #readyState = OPENED;
  #isSent = false;
  /** Nothing of it is told any more. */
  #isOver = false;
  #head: Response | undefined;
  #response: XhrResponse | undefined;
  #uploadSize = 0;
  #isUploaded = true;
  #startedAt = 0;
  #toldAt = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: XhrRequestOptions) {
    this.#options = options;
  }

  /** `send` was called: from then on the platform’s object knows nothing of the request. */
  get isSent(): boolean {
    return this.#isSent;
  }

  get readyState(): number {
    return this.#readyState;
  }

  get head(): Response | undefined {
    return this.#head;
  }

  get response(): XhrResponse | undefined {
    return this.#readyState >= LOADING ? this.#response : undefined;
  }

  send(given: unknown): void {
    const { method, xhr } = this.#options;
    const body = method === 'GET' || method === 'HEAD' ? undefined : xhrBody(given);
    if (body?.type && !this.headers.has('content-type')) this.headers.set('content-type', body.type);
    else if (body?.isText) this.#sayUtf8();
    this.#isSent = true;
    this.#isUploaded = body === undefined;
    this.#uploadSize = body?.size ?? 0;
    this.#startedAt = performance.now();
    this.#tell(xhr, 'loadstart');
    if (!this.#isUploaded) this.#tell(xhr.upload, 'loadstart', 0, this.#uploadSize);
    if (this.#isOver) return;
    this.limit();
    void this.#run(body?.source);
  }

  /** The time limit is another one now. */
  limit(): void {
    clearTimeout(this.#timer);
    const { timeout } = this.#options.xhr;
    if (timeout === 0 || !this.#isSent || this.#isOver) return;
    const left = this.#startedAt + timeout - performance.now();
    this.#timer = setTimeout(() => this.#fail('timeout'), Math.max(0, left));
  }

  abort(): void {
    if (!this.#isOver) this.#fail('abort');
    if (this.#readyState !== DONE) return;
    this.#readyState = UNSENT;
    this.#head = undefined;
    this.#response = undefined;
  }

  /** Another one takes its place, without a word. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#giveUp.abort();
  }

  async #run(body: BodyInit | undefined): Promise<void> {
    const { fetch, method, url, xhr } = this.#options;
    try {
      const head = await fetch(url, {
        method,
        headers: this.headers,
        credentials: xhr.withCredentials ? 'include' : 'same-origin',
        signal: this.#giveUp.signal,
        uploaded: (bytes) => this.#uploaded(bytes),
        ...(body === undefined ? {} : { body }),
      });
      if (this.#isOver) return;
      this.#endUpload();
      this.#head = head;
      this.#response = new XhrResponse(head, this.overriddenMimeType);
      this.#change(HEADERS_RECEIVED);
      for (const reader = head.body?.getReader(); reader !== undefined && !this.#isOver; ) {
        const { value, done } = await reader.read();
        if (done) break;
        if (!this.#isOver) this.#receive(value);
      }
      if (!this.#isOver) this.#complete();
    } catch {
      if (!this.#isOver) this.#fail('error');
    }
  }

  #receive(chunk: Uint8Array<ArrayBuffer>): void {
    this.#response?.push(chunk);
    const isFirst = this.#readyState === HEADERS_RECEIVED;
    if (!isFirst && performance.now() < this.#toldAt + PROGRESS_MS) return;
    this.#toldAt = performance.now();
    this.#change(LOADING);
    if (!this.#isOver) this.#tellReceived('progress');
  }

  #complete(): void {
    this.#response?.complete();
    if (this.#response?.received) this.#tellReceived('progress');
    if (this.#isOver) return;
    clearTimeout(this.#timer);
    this.#change(DONE);
    if (this.#isOver) return;
    this.#isOver = true;
    this.#tellReceived('load');
    if (this.#readyState === DONE) this.#tellReceived('loadend');
  }

  /** “Request error steps” (section 4.5.6). */
  #fail(why: Failure): void {
    const { xhr } = this.#options;
    this.end();
    this.#head = undefined;
    this.#response = undefined;
    this.#change(DONE);
    if (!this.#isUploaded) {
      this.#isUploaded = true;
      this.#tell(xhr.upload, why);
      this.#tell(xhr.upload, 'loadend');
    }
    this.#tell(xhr, why);
    this.#tell(xhr, 'loadend');
  }

  #uploaded(bytes: number): void {
    if (this.#isOver || this.#isUploaded) return;
    const now = performance.now();
    if (bytes >= this.#uploadSize) {
      this.#endUpload();
    } else if (now >= this.#toldAt + PROGRESS_MS) {
      this.#toldAt = now;
      this.#tell(this.#options.xhr.upload, 'progress', bytes, this.#uploadSize);
    }
  }

  #endUpload(): void {
    if (this.#isUploaded) return;
    this.#isUploaded = true;
    for (const type of ['progress', 'load', 'loadend']) {
      if (!this.#isOver) this.#tell(this.#options.xhr.upload, type, this.#uploadSize, this.#uploadSize);
    }
  }

  /** A charset that a page has named for its text is wrong, unless it is this one. */
  #sayUtf8(): void {
    const type = this.headers.get('content-type') ?? '';
    const said = /charset\s*=\s*"?([^\s;"]*)"?/i;
    const charset = said.exec(type)?.[1];
    if (charset !== undefined && charset.toLowerCase() !== 'utf-8') {
      this.headers.set('content-type', type.replace(said, 'charset=UTF-8'));
    }
  }

  #change(state: number): void {
    this.#readyState = state;
    this.#options.xhr.dispatchEvent(new Event('readystatechange'));
  }

  #tellReceived(type: string): void {
    const { received = 0, length = 0 } = this.#response ?? {};
    this.#tell(this.#options.xhr, type, received, length);
  }

  #tell(target: EventTarget, type: string, loaded = 0, total = 0): void {
    target.dispatchEvent(new ProgressEvent(type, { lengthComputable: total > 0, loaded, total }));
  }
}
