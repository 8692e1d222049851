/** The edge's end of a channel (shared/PROTOCOL.md, section 7): a path on the agent's connection. */
import { type ChannelControl, encodeEnvelope } from '../shared/channel.ts';
import { MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path, PathEvents } from '../shared/path.ts';
import { type Sender, sends } from './socket.ts';

export class ChannelPath implements Path {
  readonly maxMessageBytes = MAX_MESSAGE_BYTES;
  readonly number: number;
  readonly #agent: Sender;
  readonly #ended: () => void;
  #events: PathEvents | undefined;
  #open = true;

  /** `ended` is called once. */
  constructor(agent: Sender, number: number, sessionId: string, ended: () => void) {
    this.#agent = agent;
    this.number = number;
    this.#ended = ended;
    this.#control({ type: 'channel_open', channel: number, session_id: sessionId });
  }

  isOn(agent: Sender): boolean {
    return this.#open && this.#agent === agent;
  }

  /** Neither a WebSocket here nor a poll can be asked how much waits; the session's credit bounds it. */
  capacity(): number {
    return this.#open ? MAX_MESSAGE_BYTES : 0;
  }

  send(message: Uint8Array): void {
    if (!this.#open) return;
    if (!sends(this.#agent, encodeEnvelope(this.number, message))) this.end('the agent’s connection has ended');
  }

  close(): void {
    if (!this.#open) return;
    this.#control({ type: 'channel_close', channel: this.number });
    this.end('closed by this end');
  }

  start(events: PathEvents): void {
    this.#events = events;
    if (!this.#open) events.closed('the agent’s connection has ended');
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
    sends(this.#agent, JSON.stringify(control));
  }
}
