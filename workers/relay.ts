/**
 * The relay: WebSockets of clients whose messages go to the agent as they are, each on a channel of its own, and back.
 * What it knows is in the sockets' tags and attachments, so the object may be evicted between any two messages.
 */
import { type ChannelControl, type Envelope, encodeEnvelope } from '../shared/channel.ts';
import { DirectError, ProtocolError } from '../shared/errors.ts';
import { MAX_MESSAGE_BYTES, MAX_RELAYS } from '../shared/limits.ts';
import { newChannelNumber } from './channel-number.ts';
import { type Admission, isFresh, isOwners, OTHERS_SHARE } from './host-presence.ts';
import { accept, attachment, closeFor, closeWith, isOpen, openSockets, type Sender, sends } from './socket.ts';

const ALL = 'relay';
const ofChannel = (channel: number): string => `channel:${channel}`;
const ofSession = (key: string): string => `session:${key}`;

export interface RelayClient {
  sessionId: string;
  admission: Admission;
  host: string;
  /** Now, in milliseconds since 1970. */
  at: number;
}

export class Relay {
  readonly #ctx: DurableObjectState;

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
  }

  /** Opens a channel for the client. @throws DirectError `E_HOST_BUSY`, `E_HOST_OFFLINE` */
  attach({ sessionId, admission, host, at }: RelayClient, agent: Sender): Response {
    const { sessionKey, grant, from } = admission;
    for (const earlier of openSockets(this.#ctx, ofSession(sessionKey))) {
      closeWith(earlier, 'E_REPLACED', 'another connection of this session');
      closeChannel(agent, earlier);
    }
    this.#makeRoom(grant.subject, at, agent);
    const channel = newChannelNumber('relay', (number) => this.#socket(number) !== undefined);
    const open: ChannelControl = {
      type: 'channel_open',
      channel,
      session_id: sessionId,
      relay: true,
      grant,
      ...(from === null ? {} : { from }),
    };
    if (!sends(agent, JSON.stringify(open))) throw new DirectError('E_HOST_OFFLINE');
    return accept(this.#ctx, [ALL, ofChannel(channel), ofSession(sessionKey)], {
      at,
      host,
      channel,
      subject: grant.subject,
    }).response;
  }

  /** A message of a client; without an agent all relays end. */
  fromClient(socket: WebSocket, message: string | ArrayBuffer, agent: Sender | undefined): void {
    const { channel } = attachment(socket);
    // What was on its way when this end closed the socket.
    if (channel === undefined || !isOpen(socket)) return;
    try {
      const envelope = encodeEnvelope(channel, checkMessage(message));
      if (agent === undefined || !sends(agent, envelope)) this.lost();
    } catch (error) {
      closeFor(socket, error);
      this.closedByClient(socket, agent);
    }
  }

  /** A message of the agent; false when its channel is not open. */
  fromAgent({ channel, message }: Envelope): boolean {
    const socket = this.#socket(channel);
    return socket !== undefined && sends(socket, message);
  }

  /** The agent closed a channel, which may be over already. */
  closedByAgent(channel: number): void {
    const socket = this.#socket(channel);
    if (socket !== undefined) closeWith(socket, 'E_PATH_LOST', 'closed by the agent');
  }

  /** A client's socket has closed. */
  closedByClient(socket: WebSocket, agent: Sender | undefined): void {
    if (agent !== undefined) closeChannel(agent, socket);
  }

  /** The agent is gone, and knows nothing of these channels when it comes back. */
  lost(): void {
    for (const socket of openSockets(this.#ctx, ALL)) closeWith(socket, 'E_HOST_OFFLINE');
  }

  /** Who used them may not any longer. The agent ends the channels, since it has been told. */
  revoke(subject: string): void {
    for (const socket of openSockets(this.#ctx, ALL)) {
      if (attachment(socket).subject === subject) closeWith(socket, 'E_UNAUTHORIZED');
    }
  }

  #socket(channel: number): WebSocket | undefined {
    return openSockets(this.#ctx, ofChannel(channel))[0];
  }

  /** Of clients that vanished without a word, the runtime may hear late: those that do not ping give way. */
  #makeRoom(subject: string, now: number, agent: Sender): void {
    const open = openSockets(this.#ctx, ALL);
    const others = open.filter((socket) => !isOwners(attachment(socket).subject ?? ''));
    const isFull = !isOwners(subject) && others.length >= MAX_RELAYS * OTHERS_SHARE;
    if (open.length < MAX_RELAYS && !isFull) return;
    const silent = open.filter((socket) => {
      const pingedAt = this.#ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
      return !isFresh(Math.max(pingedAt, attachment(socket).at), now);
    });
    if (silent.length === 0) throw new DirectError('E_HOST_BUSY', `all ${MAX_RELAYS} relays are in use`);
    for (const socket of silent) {
      closeWith(socket, 'E_PATH_LOST', 'silent for too long');
      closeChannel(agent, socket);
    }
  }
}

/** The ping, the only text that clients send, is answered by the runtime. @throws ProtocolError */
function checkMessage(message: string | ArrayBuffer): Uint8Array {
  if (typeof message === 'string') throw new ProtocolError('text on a relay');
  const { byteLength } = message;
  if (byteLength === 0 || byteLength > MAX_MESSAGE_BYTES) throw new ProtocolError(`a message of ${byteLength} bytes`);
  return new Uint8Array(message);
}

function closeChannel(agent: Sender, client: WebSocket): void {
  const { channel } = attachment(client);
  if (channel === undefined) return;
  sends(agent, JSON.stringify({ type: 'channel_close', channel } satisfies ChannelControl));
}
