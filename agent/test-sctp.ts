/** Two ends of werift's SCTP with our patches (patches/README.md) in memory, with simulated time. */
import { expect, vi } from 'vitest';
import { crc32c, RTCDataChannel, RTCDataChannelParameters, type RTCDtlsTransport, RTCSctpTransport } from 'werift';

const PORT = 5000;
/** Round trips are 2 ms, so that a run is short in packets and in time. */
export const DELAY_MS = 1;

interface InboundStream {
  readonly heldBytes: number;
  readonly heldChunks: number;
  readonly streamSequenceNumber: number;
  /** Whole messages whose turn has not come. */
  readonly ready: ReadonlyMap<number, { readonly chunks: readonly { readonly userData: Buffer }[] }>;
}

/** What the tests use of the class that werift keeps to itself. */
interface Sctp {
  localTsn: number;
  lastSackedTsn: number;
  advancedPeerAckTsn: number;
  reconfigRequestSeq: number;
  localVerificationTag: number;
  remoteVerificationTag: number;
  lastReceivedTsn: number;
  readonly sentQueue: readonly { readonly userData: Buffer }[];
  readonly flightSize: number;
  readonly timer3Handle: unknown;
  cwnd: number;
  /** Packets that may leave now where they are spread over the round trip. */
  readonly paceCredit: number;
  _inboundStreamsMax: number;
  readonly inboundStreams: Record<string, InboundStream>;
  readonly waitingChunks: number;
  readonly advertisedRwnd: number;
  /** What the peer did for which this end has ended the association. */
  readonly violation: string | undefined;
  readonly associationState: number;
}

export type Fate = 'arrives' | 'lost' | 'twice' | 'late';
/** What becomes of the packets of one end, one after the other; after its end all arrive. */
export type Network = readonly Fate[];

export class End {
  readonly transport = new RTCSctpTransport(PORT);
  readonly received: Buffer[] = [];
  readonly packets: Buffer[] = [];
  other: End | undefined;
  network: Network = [];
  delayMs = DELAY_MS;
  #receive: (packet: Buffer) => void = () => {};

  constructor() {
    const dtls = {
      id: Math.random().toString(),
      iceTransport: { role: 'controlled' },
      onStateChange: { subscribe: () => ({ unSubscribe: () => {} }) },
      sendData: (packet: Buffer) => this.#send(Buffer.from(packet)),
    };
    Object.defineProperty(dtls, 'dataReceiver', {
      set: (receive: (packet: Buffer) => void) => {
        this.#receive = receive;
      },
    });
    this.transport.setDtlsTransport(dtls as unknown as RTCDtlsTransport);
  }

  get sctp(): Sctp {
    return this.transport.sctp as unknown as Sctp;
  }

  channel(id: number, ordered = true): RTCDataChannel {
    const channel = new RTCDataChannel(
      this.transport,
      new RTCDataChannelParameters({ label: '', id, negotiated: true, ordered }),
    );
    channel.onMessage.subscribe((message) => this.received.push(Buffer.from(message)));
    return channel;
  }

  /** A packet from the network. */
  take(packet: Buffer): void {
    this.#receive(packet);
  }

  #send(packet: Buffer): void {
    const fate = this.network[this.packets.length] ?? 'arrives';
    this.packets.push(packet);
    if (fate === 'lost') return;
    const deliver = (ms: number) => setTimeout(() => this.other?.take(Buffer.from(packet)), ms);
    deliver(fate === 'late' ? 4 * this.delayMs : this.delayMs);
    if (fate === 'twice') deliver(2 * this.delayMs);
  }
}

export function useSimulatedTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance', 'Date'] });
}

export async function connected(prepare: (a: End, b: End) => void = () => {}): Promise<[End, End]> {
  const [a, b] = [new End(), new End()];
  [a.other, b.other] = [b, a];
  prepare(a, b);
  await Promise.all([a.transport.start(PORT), b.transport.start(PORT)]);
  await vi.advanceTimersByTimeAsync(20);
  expect([a.sctp.associationState, b.sctp.associationState]).toEqual([4, 4]);
  for (const end of [a, b]) end.packets.length = 0;
  return [a, b];
}

/** Of its own kind and length, so that a mix-up shows. */
export const message = (index: number, length: number) => Buffer.alloc(length, (index % 251) + 1);

/** A packet with a right checksum, as only the peer can send it: DTLS is below. */
export function packet(to: End, chunks: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(12), ...chunks]);
  bytes.writeUInt16BE(PORT, 0);
  bytes.writeUInt16BE(PORT, 2);
  bytes.writeUInt32BE(to.sctp.localVerificationTag, 4);
  bytes.writeUInt32LE(crc32c(bytes), 8);
  return bytes;
}

export function chunk(type: number, length: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(4), body]);
  bytes[0] = type;
  bytes.writeUInt16BE(length, 2);
  return bytes;
}

export const TYPES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 130, 192];

/** A peer that makes up what it has sent or what has arrived only hurts itself: that is undone. */
export function takeUnharmed(to: End, chunks: readonly Buffer[]): void {
  const [tsn, sacked] = [to.sctp.lastReceivedTsn, to.sctp.lastSackedTsn];
  to.take(packet(to, chunks));
  to.sctp.lastReceivedTsn = tsn;
  to.sctp.lastSackedTsn = sacked;
}

/** What `b` still does for an honest peer. */
export async function works(a: End, b: End): Promise<boolean> {
  const before = b.received.length;
  const channel = a.transport.dataChannels[7] ?? a.channel(7);
  if (b.transport.dataChannels[7] === undefined) b.channel(7);
  channel.send(message(7, 5_000));
  await vi.advanceTimersByTimeAsync(5_000);
  return b.received.length === before + 1;
}

export const FIRST = 2;
export const LAST = 1;
export const UNORDERED = 4;

export interface DataFields {
  readonly tsn: number;
  readonly flags: number;
  readonly stream: number;
  readonly ssn: number;
  readonly bytes: number;
}

/** A DATA chunk (RFC 9260, section 3.3.1) of binary data. */
export function data({ tsn, flags, stream, ssn, bytes }: DataFields): Buffer {
  const body = Buffer.alloc(12 + bytes);
  body.writeUInt32BE(tsn >>> 0, 0);
  body.writeUInt16BE(stream, 4);
  body.writeUInt16BE(ssn, 6);
  body.writeUInt32BE(53, 8);
  const made = chunk(0, 4 + body.length, body);
  made[1] = flags;
  return Buffer.concat([made, Buffer.alloc(-made.length & 3)]);
}

/** A SACK (RFC 9260, section 3.3.4). */
export function sack(
  tsn: number,
  window: number,
  gaps: readonly (readonly [start: number, end: number])[] = [],
): Buffer {
  const body = Buffer.alloc(12 + 4 * gaps.length);
  body.writeUInt32BE(tsn >>> 0, 0);
  body.writeUInt32BE(window, 4);
  body.writeUInt16BE(gaps.length, 8);
  for (const [i, [start, end]] of gaps.entries()) {
    body.writeUInt16BE(start, 12 + 4 * i);
    body.writeUInt16BE(end, 14 + 4 * i);
  }
  return chunk(3, 4 + body.length, body);
}

/** The types of the chunks in packets. */
export function typesOf(packets: readonly Buffer[]): number[] {
  const types: number[] = [];
  for (const bytes of packets) {
    for (let at = 12; at + 4 <= bytes.length; at += (bytes.readUInt16BE(at + 2) + 3) & ~3) types.push(bytes[at] ?? -1);
  }
  return types;
}
