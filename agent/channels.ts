/** The agent's ends of channels (shared/PROTOCOL.md, section 7): sessions whose path is the link's WebSocket. */
import { type ChannelControl, type ChannelOpen, decodeEnvelope, encodeEnvelope } from '../shared/channel.ts';
import type { DirectError, ErrorCode } from '../shared/errors.ts';
import { MAX_CHANNELS, MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path, PathEvents } from '../shared/path.ts';
import { Session, type SessionEnvironment } from '../shared/session.ts';
import type { Stream } from '../shared/stream.ts';
import { Batching } from './batching.ts';

/** The part of the link's WebSocket that channels need. */
export interface LinkSocket {
  /** Bytes that have not left for the network yet. */
  readonly bufferedAmount: number;
  /** `done` is called when the message has left, or never will. */
  send(message: Uint8Array | string, done: () => void): void;
}

export interface ChannelsOptions {
  /**
   * A client's session begins on `path`. `environment` is for that session: it holds small messages back, because
   * each one costs.
   */
  accept(path: Path, opened: ChannelOpen, environment: SessionEnvironment): ChannelUser;
  log(line: string): void;
  environment: SessionEnvironment;
  maxChannels?: number;
}

/** What uses a channel's path, such as a session. */
export interface ChannelUser {
  /** Tells the client why, and closes the path. */
  close(code: ErrorCode, detail?: string): void;
}

/** Makes each channel a session of its own. `serve` must not reject. */
export function sessionPerChannel(
  serve: (stream: Stream) => void,
  log: (line: string) => void,
): ChannelsOptions['accept'] {
  return (path, { session_id }, environment) =>
    new Session({
      role: 'agent',
      sessionId: session_id,
      path,
      environment,
      events: {
        stream: serve,
        closed: (error) => {
          if (!isOrdinary(error)) log(`channel: closed for ${error.code}: ${error.message}`);
        },
      },
    });
}

/** More would only wait in memory; the edge's own buffers follow. */
const MAX_QUEUED_BYTES = 256 * 1024;

interface Channel {
  path: ChannelPath;
  user: ChannelUser;
}

export class Channels {
  readonly #options: ChannelsOptions;
  readonly #channels = new Map<number, Channel>();

  constructor(options: ChannelsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#channels.size;
  }

  /** A control message arrived on `socket`. */
  control(control: ChannelControl, socket: LinkSocket): void {
    if (control.type === 'channel_open') this.#open(control, socket);
    else this.#channels.get(control.channel)?.path.end('closed by the edge');
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
    else channel.path.receive(envelope.message);
  }

  /** The socket has closed, and with it all channels. */
  lost(reason: string): void {
    for (const { path } of [...this.#channels.values()]) path.end(reason);
  }

  /** Ends every channel, telling the edge why. */
  close(code: ErrorCode): void {
    for (const { user } of [...this.#channels.values()]) user.close(code);
  }

  #open(opened: ChannelOpen, socket: LinkSocket): void {
    const { accept, environment, maxChannels = MAX_CHANNELS } = this.#options;
    const { channel: number } = opened;
    const known = this.#channels.get(number);
    if (known !== undefined) {
      known.user.close('E_PROTOCOL', 'the channel is open already');
      return;
    }
    if (this.#channels.size >= maxChannels) {
      this.#options.log(`channel: refused, all ${maxChannels} are in use`);
      sendClose(socket, number);
      return;
    }
    const batching = new Batching(environment);
    const path = new ChannelPath(number, socket, batching, () => this.#channels.delete(number));
    const user = accept(path, opened, batching.environment);
    if (path.open) this.#channels.set(number, { path, user });
  }
}

/** How a channel ends when its requests have ended, or the socket has. */
function isOrdinary({ code }: DirectError): boolean {
  return code === 'E_CANCELLED' || code === 'E_PATH_LOST' || code === 'E_GOING_AWAY';
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

  get open(): boolean {
    return this.#open;
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
