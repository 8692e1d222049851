/** A path (shared/path.ts) over the relay's WebSocket. What it carries is encrypted already. */
import type { DirectError } from '../../shared/errors.ts';
import { AGENT_PING_INTERVAL_MS, LIVENESS_TIMEOUT_MS, MAX_ENVELOPE_BYTES } from '../../shared/limits.ts';
import type { Path, PathEvents } from '../../shared/path.ts';
import type { SessionEnvironment } from '../../shared/path-link.ts';
import { closeError } from './close-error.ts';

/** See channel-path.ts; a browser's WebSocket tells nobody when its queue falls, so it is looked at. */
const MAX_QUEUED_BYTES = 256 * 1024;
const DRAIN_POLL_MS = 20;

export class RelayPath implements Path {
  // The edge puts the channel's number before each message.
  readonly maxMessageBytes = MAX_ENVELOPE_BYTES - 4;
  readonly #socket: WebSocket;
  readonly #environment: SessionEnvironment;
  #events: PathEvents | undefined;
  #early: Uint8Array[] = [];
  #closed: string | undefined;
  #error: DirectError | undefined;
  #cancelHeartbeat: () => void;
  #cancelDrain: (() => void) | undefined;
  /** When the path ends if nothing is heard; undefined while nobody has asked. */
  #deadline: number | undefined;
  #sentAny = false;

  /** `socket` is open. */
  constructor(socket: WebSocket, environment: SessionEnvironment) {
    this.#socket = socket;
    this.#environment = environment;
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', ({ data }: { data: unknown }) => this.#receive(data));
    socket.addEventListener('close', (event: { code: number; reason: string }) => {
      const { code, reason } = event;
      this.#error = closeError(event);
      this.#end(`the relay closed the socket (${code}${reason === '' ? '' : ` ${reason}`})`);
    });
    this.#cancelHeartbeat = environment.timer(AGENT_PING_INTERVAL_MS, () => this.probe(LIVENESS_TIMEOUT_MS));
  }

  /** What the edge said when it closed the socket. */
  get error(): DirectError | undefined {
    return this.#error;
  }

  get sentAny(): boolean {
    return this.#sentAny;
  }

  /** The edge was asked for a sign of life, and nothing was heard since. */
  get isAsked(): boolean {
    return this.#deadline !== undefined;
  }

  /**
   * Asks the edge for a sign of life, which its runtime gives without waking an object: an idle relay costs nothing.
   * The path ends if none comes within `ms`.
   */
  probe(ms: number): void {
    const deadline = this.#environment.now() + ms;
    // Who asks often must not wait longer: the earliest question counts until something is heard.
    if (this.#closed !== undefined || (this.#deadline ?? Number.POSITIVE_INFINITY) <= deadline) return;
    this.#deadline = deadline;
    this.#socket.send('ping');
    this.#cancelHeartbeat();
    this.#cancelHeartbeat = this.#environment.timer(ms, () => {
      if (this.#deadline !== undefined) this.#fail('the edge does not answer');
      else this.#beat();
    });
  }

  /** Requests that waited for the path begin in the turn in which it opens, and leave with HELLO: messages cost. */
  defer(run: () => void): void {
    if (this.#sentAny) this.#environment.defer(run);
    else this.#environment.timer(0, run);
  }

  capacity(): number {
    return this.#closed === undefined ? MAX_QUEUED_BYTES - this.#socket.bufferedAmount : 0;
  }

  send(message: Uint8Array): void {
    if (this.#closed !== undefined) return;
    this.#sentAny = true;
    this.#socket.send(message as Uint8Array<ArrayBuffer>);
    if (this.capacity() <= 0) this.#watchQueue();
  }

  close(): void {
    this.#fail('closed');
  }

  start(events: PathEvents): void {
    this.#events = events;
    for (const message of this.#early.splice(0)) events.message(message);
    if (this.#closed !== undefined) events.closed(this.#closed);
  }

  #receive(data: unknown): void {
    if (this.#closed !== undefined) return;
    this.#deadline = undefined;
    if (!(data instanceof ArrayBuffer)) return;
    const message = new Uint8Array(data);
    if (this.#events === undefined) this.#early.push(message);
    else this.#events.message(message);
  }

  #beat(): void {
    const pause = AGENT_PING_INTERVAL_MS - LIVENESS_TIMEOUT_MS;
    this.#cancelHeartbeat = this.#environment.timer(pause, () => this.probe(LIVENESS_TIMEOUT_MS));
  }

  #watchQueue(): void {
    this.#cancelDrain ??= this.#environment.timer(DRAIN_POLL_MS, () => {
      this.#cancelDrain = undefined;
      if (this.#closed !== undefined) return;
      if (this.capacity() > 0) this.#events?.drained();
      else this.#watchQueue();
    });
  }

  #fail(reason: string): void {
    this.#end(reason);
    this.#socket.close();
  }

  #end(reason: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    this.#cancelHeartbeat();
    this.#cancelDrain?.();
    this.#events?.closed(reason);
  }
}
