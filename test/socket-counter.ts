/** A forwarder that counts the WebSockets that pass it and the messages in them, as they are on the wire. */
import { type Forwarder, startForwarder, type Tap } from './tcp-forwarder.ts';

/** Messages of one direction by kind; control frames are none. */
export interface Messages {
  texts: number;
  binaries: number;
}

export interface CountedSocket {
  /** Of the request that opened it, without its query. */
  readonly path: string;
  /** To the target. */
  readonly up: Messages;
  /** From the target. */
  readonly down: Messages;
  open: boolean;
}

export interface SocketCounter extends Forwarder {
  /** Every WebSocket that was asked for, oldest first. */
  readonly sockets: CountedSocket[];
}

const TEXT = 1;
const BINARY = 2;
const END_OF_HEAD = '\r\n\r\n';

/** Counts in front of `target`, an http origin. */
export async function startSocketCounter(target: string): Promise<SocketCounter> {
  const sockets: CountedSocket[] = [];
  const forwarder = await startForwarder(target, () => tap(sockets));
  return Object.assign(forwarder, { sockets });
}

/** Clients open a connection of its own for each WebSocket, so the first request tells whether it is one. */
function tap(sockets: CountedSocket[]): Tap {
  let socket: CountedSocket | undefined;
  const up = messages((head) => {
    if (!/^upgrade: websocket\r?$/im.test(head)) return undefined;
    const path = head.split(' ')[1]?.split('?')[0] ?? '';
    socket = { path, up: { texts: 0, binaries: 0 }, down: { texts: 0, binaries: 0 }, open: true };
    sockets.push(socket);
    return socket.up;
  });
  return {
    up,
    down: messages((head) => (head.startsWith('HTTP/1.1 101 ') ? socket?.down : undefined)),
    closed: () => {
      if (socket !== undefined) socket.open = false;
    },
  };
}

/** Reads one direction: an HTTP head, for which `begun` gives what to count in, then frames (RFC 6455, section 5.2). */
function messages(begun: (head: string) => Messages | undefined): (bytes: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  /** Undefined before the head has ended. */
  let counts: Messages | 'no WebSocket' | undefined;
  /** Of the payload that has begun. */
  let left = 0;
  return (bytes) => {
    if (counts === 'no WebSocket') return;
    rest = Buffer.concat([rest, bytes]);
    if (counts === undefined) {
      const end = rest.indexOf(END_OF_HEAD);
      if (end < 0) return;
      counts = begun(rest.toString('latin1', 0, end)) ?? 'no WebSocket';
      rest = rest.subarray(end + END_OF_HEAD.length);
      if (counts === 'no WebSocket') return;
    }
    for (;;) {
      const passed = Math.min(left, rest.length);
      rest = rest.subarray(passed);
      left -= passed;
      const frame = left > 0 ? undefined : frameHead(rest);
      if (frame === undefined) return;
      // A message that goes on in more frames has its kind in the first one.
      if (frame.opcode === TEXT) counts.texts += 1;
      if (frame.opcode === BINARY) counts.binaries += 1;
      left = frame.bytes;
    }
  };
}

/** The first byte's opcode and how long the frame is; undefined when that has not come yet. */
function frameHead(bytes: Buffer): { opcode: number; bytes: number } | undefined {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return undefined;
  const length = second & 0x7f;
  const extended = length === 127 ? 8 : length === 126 ? 2 : 0;
  if (bytes.length < 2 + extended) return undefined;
  const payload = extended === 0 ? length : Number(extended === 2 ? bytes.readUInt16BE(2) : bytes.readBigUInt64BE(2));
  return { opcode: first & 0x0f, bytes: 2 + extended + ((second & 0x80) === 0 ? 0 : 4) + payload };
}
