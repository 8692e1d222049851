/**
 * The frame codec (PROTOCOL.md, section 4): pure functions between bytes and frames. Types and names follow QUIC
 * (RFC 9000, section 19) where the idea is QUIC's.
 */
import { ProtocolError } from './errors.ts';
import { MAX_HELLO_BYTES, MAX_REASON_BYTES } from './limits.ts';
import { ByteReader, varintLength, writeVarint } from './varint.ts';

export type Frame =
  | { type: 'PING'; nonce: number }
  | { type: 'PONG'; nonce: number }
  /** The sender gives up its direction; `finalSize` is how many bytes it had sent, for the session's credit. */
  | { type: 'RESET_STREAM'; id: number; code: number; finalSize: number }
  | { type: 'STOP_SENDING'; id: number; code: number }
  | { type: 'STREAM'; id: number; offset: number; data: Uint8Array; fin: boolean }
  | { type: 'MAX_DATA'; max: number }
  /** `received` acknowledges all bytes before it, with FIN or RESET_STREAM counting as one more byte. */
  | { type: 'MAX_STREAM_DATA'; id: number; received: number; max: number }
  | { type: 'MAX_STREAMS'; max: number }
  | { type: 'CONNECTION_CLOSE'; code: number; reason: string }
  | { type: 'HELLO'; json: string }
  /** The client's `sequence`-th choice is this path: both ends send on it from now on. */
  | { type: 'USE_PATH'; sequence: number }
  /** What the client sends of the stream on this path comes in `lane`, and it wants to hear it there. */
  | { type: 'LANE'; id: number; lane: number };

export type StreamFrame = Extract<Frame, { type: 'STREAM' }>;

const PING = 0x01;
const PONG = 0x02;
const RESET_STREAM = 0x04;
const STOP_SENDING = 0x05;
const STREAM = 0x08;
const STREAM_FIN = 0x09;
const MAX_DATA = 0x10;
const MAX_STREAM_DATA = 0x11;
const MAX_STREAMS = 0x12;
const CONNECTION_CLOSE = 0x1c;
const HELLO = 0x20;
const USE_PATH = 0x21;
const LANE = 0x22;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** The most that a frame without bytes takes: type and three numbers. */
export const CONTROL_BYTES = 1 + 3 * 8;

/** The most that the header of a STREAM frame takes: type, id, offset and length. */
export const MAX_STREAM_HEADER_BYTES = 1 + 8 + 8 + 4;

/** A frame's type, its numbers in wire order and the bytes after them; `bytes` has its length before it. */
interface Layout {
  type: number;
  numbers: readonly number[];
  bytes?: Uint8Array;
}

function layout(frame: Frame): Layout {
  switch (frame.type) {
    case 'PING':
      return { type: PING, numbers: [frame.nonce] };
    case 'PONG':
      return { type: PONG, numbers: [frame.nonce] };
    case 'RESET_STREAM':
      return { type: RESET_STREAM, numbers: [frame.id, frame.code, frame.finalSize] };
    case 'STOP_SENDING':
      return { type: STOP_SENDING, numbers: [frame.id, frame.code] };
    case 'STREAM':
      return { type: frame.fin ? STREAM_FIN : STREAM, numbers: [frame.id, frame.offset], bytes: frame.data };
    case 'MAX_DATA':
      return { type: MAX_DATA, numbers: [frame.max] };
    case 'MAX_STREAM_DATA':
      return { type: MAX_STREAM_DATA, numbers: [frame.id, frame.received, frame.max] };
    case 'MAX_STREAMS':
      return { type: MAX_STREAMS, numbers: [frame.max] };
    case 'CONNECTION_CLOSE':
      return { type: CONNECTION_CLOSE, numbers: [frame.code], bytes: encoder.encode(frame.reason) };
    case 'HELLO':
      return { type: HELLO, numbers: [], bytes: encoder.encode(frame.json) };
    case 'USE_PATH':
      return { type: USE_PATH, numbers: [frame.sequence] };
    case 'LANE':
      return { type: LANE, numbers: [frame.id, frame.lane] };
  }
}

/** One message from `frames`, in order. Their sum must fit the path; that is the caller's business. */
export function encodeFrames(frames: readonly Frame[]): Uint8Array<ArrayBuffer> {
  const layouts = frames.map(layout);
  let length = 0;
  for (const { numbers, bytes } of layouts) {
    length += 1;
    for (const number of numbers) length += varintLength(number);
    if (bytes !== undefined) length += varintLength(bytes.length) + bytes.length;
  }
  const message = new Uint8Array(length);
  let at = 0;
  for (const { type, numbers, bytes } of layouts) {
    at = writeVarint(message, at, type);
    for (const number of numbers) at = writeVarint(message, at, number);
    if (bytes === undefined) continue;
    at = writeVarint(message, at, bytes.length);
    message.set(bytes, at);
    at += bytes.length;
  }
  return message;
}

function readText(reader: ByteReader, limit: number, what: string): string {
  const length = reader.varint();
  if (length > limit) throw new ProtocolError(`${what} is longer than ${limit} bytes`);
  const bytes = reader.bytes(length);
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ProtocolError(`${what} is not UTF-8`);
  }
}

function readStream(reader: ByteReader, fin: boolean): StreamFrame {
  const id = reader.varint();
  const offset = reader.varint();
  const data = reader.bytes(reader.varint());
  if (offset + data.length >= Number.MAX_SAFE_INTEGER) throw new ProtocolError('a stream is longer than 2^53 - 2');
  return { type: 'STREAM', id, offset, data, fin };
}

function readFrame(reader: ByteReader): Frame {
  const type = reader.varint();
  switch (type) {
    case PING:
      return { type: 'PING', nonce: reader.varint() };
    case PONG:
      return { type: 'PONG', nonce: reader.varint() };
    case RESET_STREAM:
      return { type: 'RESET_STREAM', id: reader.varint(), code: reader.varint(), finalSize: reader.varint() };
    case STOP_SENDING:
      return { type: 'STOP_SENDING', id: reader.varint(), code: reader.varint() };
    case STREAM:
    case STREAM_FIN:
      return readStream(reader, type === STREAM_FIN);
    case MAX_DATA:
      return { type: 'MAX_DATA', max: reader.varint() };
    case MAX_STREAM_DATA:
      return { type: 'MAX_STREAM_DATA', id: reader.varint(), received: reader.varint(), max: reader.varint() };
    case MAX_STREAMS:
      return { type: 'MAX_STREAMS', max: reader.varint() };
    case CONNECTION_CLOSE:
      return { type: 'CONNECTION_CLOSE', code: reader.varint(), reason: readText(reader, MAX_REASON_BYTES, 'reason') };
    case HELLO:
      return { type: 'HELLO', json: readText(reader, MAX_HELLO_BYTES, 'HELLO') };
    case USE_PATH:
      return { type: 'USE_PATH', sequence: reader.varint() };
    case LANE:
      return { type: 'LANE', id: reader.varint(), lane: reader.varint() };
    default:
      throw new ProtocolError(`unknown frame type ${type}`);
  }
}

/**
 * The frames of one message, in order. `data` of STREAM frames shares memory with `message`.
 * @throws ProtocolError on anything malformed; a message is taken whole or not at all.
 */
export function decodeFrames(message: Uint8Array): Frame[] {
  const reader = new ByteReader(message);
  const frames: Frame[] = [];
  while (reader.remaining > 0) frames.push(readFrame(reader));
  if (frames.length === 0) throw new ProtocolError('an empty message');
  return frames;
}
