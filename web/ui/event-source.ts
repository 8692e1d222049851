/** The standard's EventSource (WHATWG HTML, section 9.2) over any `fetch`. */

import { SseParser } from '../chat/sse.ts';
import { EventHandlers } from '../client/event-handlers.ts';
import { fieldBytes } from '../client/field-bytes.ts';
import { pause } from '../client/pause.ts';
import { makePlatformClass } from '../client/platform-class.ts';
import { Tasks } from '../client/tasks.ts';

export interface EventSourceOptions {
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** What relative URLs refer to. */
  baseUrl(): string;
}

const STATES = { CONNECTING: 0, OPEN: 1, CLOSED: 2 } as const;
const { CONNECTING, OPEN, CLOSED } = STATES;

/** As in Chromium. */
const RECONNECTION_MS = 3_000;

/** A class with the standard's interface, whose streams come by `fetch`. */
export function eventSourceClass({ fetch, baseUrl }: EventSourceOptions): typeof EventSource {
  class DirectEventSource extends EventTarget {
    static {
      makePlatformClass(DirectEventSource, {
        name: 'EventSource',
        constants: STATES,
        events: ['open', 'message', 'error'],
        handlers: (source) => source.#handlers,
      });
    }

    readonly #url: string;
    readonly #withCredentials: boolean;
    readonly #handlers = new EventHandlers(this);
    readonly #tasks = new Tasks();
    readonly #end = new AbortController();
    #readyState: number = CONNECTING;
    #reconnectionMs = RECONNECTION_MS;
    #lastEventId = '';

    constructor(url: string | URL, init: EventSourceInit = {}) {
      super();
      const parsed = URL.parse(String(url), baseUrl());
      if (parsed === null) throw new DOMException(`the URL “${url}” is invalid`, 'SyntaxError');
      this.#url = parsed.href;
      this.#withCredentials = Boolean(init?.withCredentials);
      void this.#run();
    }

    get url(): string {
      return this.#url;
    }

    get readyState(): number {
      return this.#readyState;
    }

    get withCredentials(): boolean {
      return this.#withCredentials;
    }

    close(): void {
      this.#readyState = CLOSED;
      this.#end.abort();
      this.#tasks.end();
    }

    /** Until it is closed, or the server gives what is no stream of events. */
    async #run(): Promise<void> {
      while (this.#readyState !== CLOSED) {
        const response = await this.#request();
        if (this.#readyState === CLOSED) return;
        if (response !== undefined && !isEventStream(response)) {
          response.body?.cancel().catch(() => {});
          return this.#fail();
        }
        if (response !== undefined) await this.#read(response);
        await this.#dispatch(CONNECTING, () => new Event('error'));
        await pause(this.#reconnectionMs, this.#end.signal);
      }
    }

    /** Undefined: there was no response, as when the network is gone. */
    async #request(): Promise<Response | undefined> {
      const headers = new Headers({ accept: 'text/event-stream' });
      if (this.#lastEventId !== '') headers.set('last-event-id', fieldBytes(this.#lastEventId));
      const credentials = this.#withCredentials ? 'include' : 'same-origin';
      try {
        return await fetch(this.#url, { headers, credentials, cache: 'no-store', signal: this.#end.signal });
      } catch {
        return undefined;
      }
    }

    async #read(response: Response): Promise<void> {
      await this.#dispatch(OPEN, () => new Event('open'));
      const { origin } = new URL(response.url === '' ? this.#url : response.url);
      const parser = new SseParser();
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      try {
        for (const reader = response.body?.getReader(); reader !== undefined; ) {
          const { value, done } = await reader.read();
          if (done) return;
          for (const { type, data, id } of parser.push(decoder.decode(value, { stream: true }))) {
            this.#lastEventId = id;
            await this.#dispatch(OPEN, () => new MessageEvent(type, { data, origin, lastEventId: id }));
            if (this.#readyState === CLOSED) return;
          }
          // A time beyond a day is a mistake, and timers take no more than 24 of them.
          this.#reconnectionMs = Math.min(parser.retryMs ?? this.#reconnectionMs, 86_400_000);
        }
      } catch {
        // The stream broke off, or an event was too long: as its end, it is followed by another request.
      }
    }

    #fail(): void {
      void this.#dispatch(CLOSED, () => new Event('error')).then(() => this.#tasks.end());
    }

    /** In a task of its own, unless it was closed before. */
    async #dispatch(state: number, event: () => Event): Promise<void> {
      if (this.#readyState === CLOSED) return;
      await this.#tasks.run(() => {
        if (this.#readyState === CLOSED) return;
        this.#readyState = state;
        this.dispatchEvent(event());
      });
    }
  }

  return DirectEventSource as unknown as typeof EventSource;
}

function isEventStream({ status, headers }: Response): boolean {
  return status === 200 && /^text\/event-stream *(?:;|$)/i.test(headers.get('content-type')?.trim() ?? '');
}
