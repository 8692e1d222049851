/** The standard's WebSocket (WHATWG WebSockets, section 3) over whatever connects it. */
import type { HeaderList } from '../../shared/head.ts';
import type { SocketMessage } from '../../shared/socket-exchange.ts';
import { copiedBytes } from './copied-bytes.ts';
import { EventHandlers } from './event-handlers.ts';
import { makePlatformClass } from './platform-class.ts';
import { socketProtocols, socketUrl } from './socket-address.ts';
import { FAILED, type SocketEnd, type SocketLink } from './socket-link.ts';
import { Tasks } from './tasks.ts';

export interface SocketRequest {
  /** ws or wss. */
  url: URL;
  protocols: readonly string[];
  /** Further fields of the handshake, as programs may have them; browsers let nobody put any there. */
  headers?: HeaderList | undefined;
  /** The page gave up before it was open. */
  signal: AbortSignal;
}

export interface SocketOptions {
  /** Connects. A rejection fails the WebSocket, and says no more: pages must not learn why. */
  dial(request: SocketRequest): Promise<SocketLink>;
  /** What relative URLs refer to. */
  baseUrl(): string | undefined;
}

/** The platform's class, of which `WebSocket` is an instance. */
export type WebSocketClass = typeof WebSocket;

const STATES = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 } as const;
const { CONNECTING, OPEN, CLOSING, CLOSED } = STATES;

/** RFC 6455, section 5.5: what a Close frame has room for beside its code. */
const MAX_REASON_BYTES = 123;

/** A Blob is read when its turn comes. */
type Outgoing = SocketMessage | { type: 'blob'; blob: Blob };

type Data = string | ArrayBufferLike | Blob | ArrayBufferView;

/** A class with the standard's interface, whose sockets are connected by `dial`. */
export function socketClass({ dial, baseUrl }: SocketOptions): WebSocketClass {
  class DirectWebSocket extends EventTarget {
    static {
      makePlatformClass(DirectWebSocket, {
        name: 'WebSocket',
        constants: STATES,
        events: ['open', 'message', 'error', 'close'],
        handlers: (socket) => socket.#handlers,
      });
    }

    readonly #url: URL;
    readonly #handlers = new EventHandlers(this);
    readonly #tasks = new Tasks();
    readonly #giveUp = new AbortController();
    #readyState: number = CONNECTING;
    #binaryType: BinaryType = 'blob';
    #link: SocketLink | undefined;
    /** Bytes that no link has taken: a Blob is being read before them, or the socket has closed. */
    #waiting = 0;
    /** Pending while a Blob is read; what is sent meanwhile comes after it. */
    #turn: Promise<void> | undefined;

    constructor(url: string | URL, protocols: string | string[] = []) {
      super();
      this.#url = socketUrl(String(url), baseUrl());
      const offered = socketProtocols(protocols);
      const request = { url: new URL(this.#url), protocols: offered, signal: this.#giveUp.signal };
      dial(request).then(
        (link) => this.#open(link),
        () => this.#closed(FAILED),
      );
    }

    get url(): string {
      return this.#url.href;
    }

    get readyState(): number {
      return this.#readyState;
    }

    get protocol(): string {
      return this.#link?.protocol ?? '';
    }

    get extensions(): string {
      return this.#link?.extensions ?? '';
    }

    /** Never falls to zero by closing: what had not left then never will. */
    get bufferedAmount(): number {
      return this.#waiting + (this.#link?.bufferedAmount ?? 0);
    }

    get binaryType(): BinaryType {
      return this.#binaryType;
    }

    set binaryType(value: BinaryType) {
      if (value === 'blob' || value === 'arraybuffer') this.#binaryType = value;
    }

    send(data: Data): void {
      if (this.#readyState === CONNECTING) throw new DOMException('still in CONNECTING state', 'InvalidStateError');
      const message = messageOf(data);
      const size = sizeOf(message);
      if (this.#readyState !== OPEN) this.#waiting += size;
      else if (message.type === 'blob' || this.#turn !== undefined) this.#sendLater(message, size);
      else this.#link?.send(message, size);
    }

    close(code?: number, reason?: string): void {
      const number = code === undefined ? undefined : clampedShort(code);
      if (number !== undefined && number !== 1000 && !(number >= 3000 && number <= 4999)) {
        throw new DOMException(`${number} is neither 1000 nor between 3000 and 4999`, 'InvalidAccessError');
      }
      const text = reason === undefined ? '' : String(reason).toWellFormed();
      if (new TextEncoder().encode(text).length > MAX_REASON_BYTES) {
        throw new DOMException(`the reason is longer than ${MAX_REASON_BYTES} bytes`, 'SyntaxError');
      }
      if (this.#readyState >= CLOSING) return;
      const wasOpen = this.#readyState === OPEN;
      this.#readyState = CLOSING;
      if (!wasOpen) this.#giveUp.abort();
      // A reason without a code is sent with the code of a normal end.
      else this.#whenSent(() => this.#link?.close(number ?? (text === '' ? undefined : 1000), text));
    }

    #open(link: SocketLink): void {
      void this.#tasks.run(() => {
        // Closed while it opened: it never was.
        if (this.#readyState !== CONNECTING) {
          link.close(undefined, '');
          this.#closed(FAILED);
          return;
        }
        this.#link = link;
        this.#readyState = OPEN;
        this.dispatchEvent(new Event('open'));
        link.start({
          message: (message) => this.#tasks.run(() => this.#receive(message)),
          closing: () => {
            void this.#tasks.run(() => {
              if (this.#readyState === OPEN) this.#readyState = CLOSING;
            });
          },
          closed: (end) => this.#closed(end),
        });
      });
    }

    #receive(message: SocketMessage): void {
      if (this.#readyState !== OPEN) return;
      const origin = this.#url.origin;
      this.dispatchEvent(new MessageEvent('message', { data: dataOf(message, this.#binaryType), origin }));
    }

    #closed({ failed, ...end }: SocketEnd): void {
      void this.#tasks.run(() => {
        if (this.#readyState === CLOSED) return;
        this.#readyState = CLOSED;
        this.#tasks.end();
        if (failed) this.dispatchEvent(new Event('error'));
        this.dispatchEvent(closeEvent(end));
      });
    }

    #sendLater(message: Outgoing, size: number): void {
      this.#waiting += size;
      this.#whenSent(async () => {
        const ready = message.type === 'blob' ? await read(message.blob) : message;
        if (this.#readyState === CLOSED) return;
        this.#waiting -= size;
        this.#link?.send(ready, size);
      });
    }

    /** Runs `act` when all that was sent before is with the link. */
    #whenSent(act: () => void | Promise<void>): void {
      const done = this.#turn === undefined ? act() : this.#turn.then(act);
      if (done === undefined) return;
      // A Blob whose file has gone fails the connection, as nothing may be left out.
      const turn: Promise<void> = done.then(
        () => this.#turned(turn),
        () => {
          this.#link?.close(undefined, '');
          this.#closed(FAILED);
        },
      );
      this.#turn = turn;
    }

    #turned(turn: Promise<void>): void {
      if (this.#turn === turn) this.#turn = undefined;
    }
  }

  return DirectWebSocket as unknown as WebSocketClass;
}

/** What is sent, as it is at this moment: whoever has a buffer may change it afterwards. */
function messageOf(data: unknown): Outgoing {
  // Also those of another window, as of a frame: `instanceof` knows only this one's.
  const tag = Object.prototype.toString.call(data);
  if (tag === '[object Blob]' || tag === '[object File]') return { type: 'blob', blob: data as Blob };
  const bytes = copiedBytes(data);
  if (bytes !== undefined) return { type: 'binary', bytes };
  return { type: 'text', text: String(data).toWellFormed() };
}

async function read(blob: Blob): Promise<SocketMessage> {
  return { type: 'binary', bytes: new Uint8Array(await blob.arrayBuffer()) };
}

function sizeOf(message: Outgoing): number {
  if (message.type === 'blob') return message.blob.size;
  return message.type === 'text' ? new TextEncoder().encode(message.text).length : message.bytes.length;
}

function dataOf(message: SocketMessage, binaryType: BinaryType): string | Blob | ArrayBuffer {
  if (message.type === 'text') return message.text;
  // A copy: others may share the buffer.
  const bytes = message.bytes.slice();
  return binaryType === 'blob' ? new Blob([bytes]) : bytes.buffer;
}

/** WebIDL's conversion to `[Clamp] unsigned short`. */
function clampedShort(value: unknown): number {
  const number = Math.min(Math.max(Number(value), 0), 65_535);
  return Number.isNaN(number) ? 0 : Math.round(number);
}

/** Node has the class since its version 23. */
function closeEvent(end: Omit<SocketEnd, 'failed'>): Event {
  if (globalThis.CloseEvent !== undefined) return new CloseEvent('close', end);
  return Object.assign(new Event('close'), end);
}
