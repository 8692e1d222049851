/** The agent's ends of channels (shared/PROTOCOL.md, section 7): sessions whose path is the link's WebSocket. */
import { type ChannelControl, type ChannelOpen, decodeEnvelope, encodeEnvelope } from '../shared/channel.ts';
import { MAX_CHANNELS, MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path, PathEvents } from '../shared/path.ts';
import type { SessionEnvironment } from '../shared/path-link.ts';
import { Batching } from './batching.ts';

/** The part of the link's WebSocket that channels need. */
export interface LinkSocket {
  /** Bytes that have not left for the network yet. */
  readonly bufferedAmount: number;
  /** `done` is called when the message has left, or never will. */
  send(message: Uint8Array | string, done: () => void): void;
}

export interface ChannelsOptions {
  /** A client's path begins. */
  accept(path: Path, opened: ChannelOpen): void;
  log(line: string): void;
  environment: SessionEnvironment;
  maxChannels?: number;
}

/** More would only wait in memory; the edge's own buffers follow. */
const MAX_QUEUED_BYTES = 256 * 1024;

export class Channels {
  readonly #options: ChannelsOptions;
  readonly #channels = new Map<number, ChannelPath>();

  constructor(options: ChannelsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#channels.size;
  }

  /** A control message arrived on `socket`. */
  control(control: ChannelControl, socket: LinkSocket): void {
    if (control.type === 'channel_open') this.#open(control, socket);
    else this.#channels.get(control.channel)?.end('closed by the edge');
  }

  /** A binary message arrived on `socket`. Garbage ends its channel at most. */
  message(bytes: Uint8Array, socket: LinkSocket): void {
    let envelope: ReturnType<typeof decodeEnvelope>;
    try {
      envelope = decodeEnvelope(bytes);
    } catch (error) {
      this.#options.log(`channel: a malformed message was dropped (${error instanceof Error ? error.message : error})`);
      return;
    }
    const channel = this.#channels.get(envelope.channel);
    // The edge has lost track of it; without a word it would wait for an answer.
    if (channel === undefined) sendClose(socket, envelope.channel);
    else channel.receive(envelope.message);
  }

  /** The socket has closed, and with it all channels. */
  lost(reason: string): void {
    for (const path of [...this.#channels.values()]) path.end(reason);
  }

  #open(opened: ChannelOpen, socket: LinkSocket): void {
    const { accept, environment, maxChannels = MAX_CHANNELS } = this.#options;
    const { channel: number } = opened;
    const known = this.#channels.get(number);
    if (known !== undefined) {
      this.#options.log('channel: opened twice by the edge');
      known.close();
      return;
    }
    if (this.#channels.size >= maxChannels) {
      this.#options.log(`channel: refused, all ${maxChannels} are in use`);
      sendClose(socket, number);
      return;
    }
    const path = new ChannelPath(number, socket, new Batching(environment), () => this.#channels.delete(number));
    this.#channels.set(number, path);
    accept(path, opened);
  }
}

function sendClose(socket: LinkSocket, channel: number): void {
  socket.send(JSON.stringify({ type: 'channel_close', channel } satisfies ChannelControl), () => {});
}

class ChannelPath implements Path {
  readonly maxMessageBytes = MAX_MESSAGE_BYTES;
  readonly #number: number;
  readonly #socket: LinkSocket;
  readonly #batching: Batching;
  readonly #ended: () => void;
  #events: PathEvents | undefined;
  #open = true;

  /** `ended` is called once. */
  constructor(number: number, socket: LinkSocket, batching: Batching, ended: () => void) {
    this.#number = number;
    this.#socket = socket;
    this.#batching = batching;
    this.#ended = ended;
  }

  defer(run: () => void): void {
    this.#batching.defer(run);
  }

  capacity(): number {
    return this.#open ? MAX_QUEUED_BYTES - this.#socket.bufferedAmount : 0;
  }

  send(message: Uint8Array): void {
    if (!this.#open) return;
    this.#batching.moved(message.length);
    this.#socket.send(encodeEnvelope(this.#number, message), () => {
      if (this.#open) this.#events?.drained();
    });
  }

  close(): void {
    if (!this.#open) return;
    sendClose(this.#socket, this.#number);
    this.end('closed by this end');
  }

  start(events: PathEvents): void {
    this.#events = events;
  }

  receive(message: Uint8Array): void {
    this.#batching.moved(message.length);
    this.#events?.message(message);
  }

  /** The other end is gone. */
  end(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#ended();
    this.#events?.closed(reason);
  }
}
