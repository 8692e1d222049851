/** The negotiated data channel as a path of the session layer. */
import type { RTCPeerConnection } from 'werift';
import { MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path, PathEvents } from '../shared/path.ts';

/** werift's queue gets slower as it gets longer; 256 kB is two round trips at 25 MB/s on 5 ms. */
const MAX_QUEUED_BYTES = 256 * 1024;

type Channel = ReturnType<RTCPeerConnection['createDataChannel']>;

export class ChannelPath implements Path {
  readonly maxMessageBytes = MAX_MESSAGE_BYTES;
  readonly #channel: Channel;
  readonly #close: () => void;
  #events: PathEvents | undefined;
  #early: Uint8Array[] = [];
  #ended: string | undefined;

  constructor(channel: Channel, close: () => void) {
    this.#channel = channel;
    this.#close = close;
    channel.bufferedAmountLowThreshold = MAX_QUEUED_BYTES / 2;
    channel.bufferedAmountLow.subscribe(() => this.#events?.drained());
    channel.onMessage.subscribe((message) => {
      const bytes = typeof message === 'string' ? Buffer.from(message) : message;
      if (this.#events === undefined) this.#early.push(bytes);
      else this.#events.message(bytes);
    });
  }

  onState(listener: (state: string) => void): void {
    this.#channel.stateChanged.subscribe((state) => {
      listener(state);
      if (state === 'open') this.#events?.drained();
    });
  }

  capacity(): number {
    if (this.#ended !== undefined || this.#channel.readyState !== 'open') return 0;
    return MAX_QUEUED_BYTES - this.#channel.bufferedAmount;
  }

  send(message: Uint8Array): void {
    if (this.#channel.readyState !== 'open') return;
    this.#channel.send(Buffer.from(message.buffer, message.byteOffset, message.byteLength));
  }

  close(): void {
    this.#close();
  }

  start(events: PathEvents): void {
    this.#events = events;
    for (const message of this.#early.splice(0)) events.message(message);
    if (this.#ended !== undefined) events.closed(this.#ended);
  }

  /** Resolves when everything queued has left, after `ms` at the latest. */
  async drain(ms: number): Promise<void> {
    const deadline = Date.now() + ms;
    while (this.#channel.readyState === 'open' && this.#channel.bufferedAmount > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#events?.closed(reason);
  }
}
