/**
 * Channels (PROTOCOL.md, section 7): several paths on the one WebSocket between edge and agent. Binary messages carry
 * the session layer's, each after the number of its channel; text messages open and close channels. Where the agent
 * polls, the same messages travel in batches. Pure.
 */
import { ProtocolError } from './errors.ts';
import { MAX_BATCH_BYTES, MAX_CHANNEL_NUMBER, MAX_ENVELOPE_BYTES, MAX_SIGNAL_BYTES } from './limits.ts';
import { isId, type OfferSignal, parseAdmission } from './signal.ts';
import { ByteReader, varintLength, writeVarint } from './varint.ts';

/** A session-layer message and the channel that it belongs to. */
export interface Envelope {
  channel: number;
  message: Uint8Array;
}

/**
 * From the edge only: a client's session begins, and its first message follows at once. `grant` and `from` are those of
 * a relay's client, as in an offer. Where the edge itself is the client, each request has its own grant in its head.
 */
export interface ChannelOpen extends Pick<OfferSignal, 'grant' | 'from'> {
  type: 'channel_open';
  channel: number;
  /** What the client says in HELLO. */
  session_id: string;
  /** The client is not the edge, which only forwards: its messages are encrypted. */
  relay?: true;
}

/** From either end: the channel is over. One for a channel that is over already means nothing. */
export interface ChannelClose {
  type: 'channel_close';
  channel: number;
}

export type ChannelControl = ChannelOpen | ChannelClose;

/** One binary WebSocket message. */
export function encodeEnvelope(channel: number, message: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = varintLength(channel);
  const bytes = new Uint8Array(length + message.length);
  writeVarint(bytes, 0, channel);
  bytes.set(message, length);
  return bytes;
}

/** The message is not copied. @throws ProtocolError */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  if (bytes.length > MAX_ENVELOPE_BYTES) throw new ProtocolError(`a message of ${bytes.length} bytes`);
  const reader = new ByteReader(bytes);
  const channel = reader.varint();
  if (channel > MAX_CHANNEL_NUMBER) throw new ProtocolError(`channel ${channel}`);
  if (reader.remaining === 0) throw new ProtocolError('an empty message');
  return { channel, message: reader.bytes(reader.remaining) };
}

/**
 * The control message in parsed JSON, or undefined when it is of another kind, such as a signal.
 * @throws DirectError when it is one, and malformed.
 */
export function parseChannelControl(raw: unknown): ChannelControl | undefined {
  if (typeof raw !== 'object' || raw === null || !('type' in raw)) return undefined;
  const { type, channel, session_id, relay, ...more } = raw as Record<string, unknown>;
  if (type !== 'channel_open' && type !== 'channel_close') return undefined;
  if (typeof channel !== 'number' || !Number.isInteger(channel) || channel < 0 || channel > MAX_CHANNEL_NUMBER) {
    throw new ProtocolError('channel must be a number');
  }
  if (type === 'channel_close') return { type, channel };
  if (!isId(session_id)) throw new ProtocolError('session_id must be 1 to 64 characters of base64url');
  return { type, channel, session_id, ...(relay === true ? { relay } : {}), ...parseAdmission(more) };
}

/** What one WebSocket message between edge and agent would hold. */
export type LinkMessage = string | Uint8Array;

/** Content-Type of a batch of them. */
export const BATCH_TYPE = 'application/octet-stream';

const TEXT = 0;
const BINARY = 1;

/** A message as one part of a batch; a batch is its parts one after the other. */
export function encodePart(message: LinkMessage): Uint8Array<ArrayBuffer> {
  const body = typeof message === 'string' ? new TextEncoder().encode(message) : message;
  const head = 1 + varintLength(body.length);
  const part = new Uint8Array(head + body.length);
  part[0] = typeof message === 'string' ? TEXT : BINARY;
  writeVarint(part, 1, body.length);
  part.set(body, head);
  return part;
}

/**
 * The messages of a batch. They are copies, because one that is kept must not keep the whole batch.
 * @throws ProtocolError
 */
export function decodeBatch(bytes: Uint8Array): LinkMessage[] {
  if (bytes.length > MAX_BATCH_BYTES) throw new ProtocolError(`a batch of ${bytes.length} bytes`);
  const reader = new ByteReader(bytes);
  const messages: LinkMessage[] = [];
  while (reader.remaining > 0) {
    const kind = reader.varint();
    if (kind !== TEXT && kind !== BINARY) throw new ProtocolError(`a part of kind ${kind}`);
    const length = reader.varint();
    if (length > (kind === TEXT ? MAX_SIGNAL_BYTES : MAX_ENVELOPE_BYTES)) {
      throw new ProtocolError(`a part of ${length} bytes`);
    }
    const body = reader.bytes(length);
    messages.push(kind === TEXT ? text(body) : new Uint8Array(body));
  }
  return messages;
}

function text(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ProtocolError('a text that is not UTF-8');
  }
}
