/** The edge's end of a channel (shared/PROTOCOL.md, section 7): a path on the agent's WebSocket. */
import { type ChannelControl, encodeEnvelope } from '../shared/channel.ts';
import { MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path, PathEvents } from '../shared/path.ts';
import { sends } from './socket.ts';

export class ChannelPath implements Path {
  readonly maxMessageBytes = MAX_MESSAGE_BYTES;
  readonly number: number;
  readonly #socket: WebSocket;
  readonly #ended: () => void;
  #events: PathEvents | undefined;
  #open = true;

  /** `ended` is called once. */
  constructor(socket: WebSocket, number: number, sessionId: string, ended: () => void) {
    this.#socket = socket;
    this.number = number;
    this.#ended = ended;
    this.#control({ type: 'channel_open', channel: number, session_id: sessionId });
  }

  isOn(socket: WebSocket): boolean {
    return this.#open && this.#socket === socket;
  }

  /** A WebSocket here has no backpressure that could be asked for; the session's credit bounds what waits in it. */
  capacity(): number {
    return this.#open ? MAX_MESSAGE_BYTES : 0;
  }

  send(message: Uint8Array): void {
    if (!this.#open) return;
    if (!sends(this.#socket, encodeEnvelope(this.number, message))) this.end('the agent’s socket has closed');
  }

  close(): void {
    if (!this.#open) return;
    this.#control({ type: 'channel_close', channel: this.number });
    this.end('closed by this end');
  }

  start(events: PathEvents): void {
    this.#events = events;
    if (!this.#open) events.closed('the agent’s socket has closed');
  }

  receive(message: Uint8Array): void {
    if (this.#open) this.#events?.message(message);
  }

  /** The agent is gone, or closed the channel. */
  end(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#ended();
    this.#events?.closed(reason);
  }

  #control(control: ChannelControl): void {
    sends(this.#socket, JSON.stringify(control));
  }
}
