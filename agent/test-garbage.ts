/** What anybody may send to the agent's ICE port: nothing of it is signed with a connection's keys. */
import { Random } from '../shared/test-random.ts';
import { encodeStun } from './stun.ts';

/** A DTLS 1.2 record (RFC 6347, section 4.1); `length` may lie. */
export function record(type: number, epoch: number, body: Buffer, length = body.length, sequence = 1): Buffer {
  const header = Buffer.alloc(13);
  header[0] = type;
  header.writeUInt16BE(0xfefd, 1);
  header.writeUInt16BE(epoch, 3);
  header.writeUIntBE(sequence, 5, 6);
  header.writeUInt16BE(length & 0xffff, 11);
  return Buffer.concat([header, body]);
}

export interface HandshakeFields {
  readonly type: number;
  readonly sequence?: number;
  /** Of the whole message. */
  readonly length?: number;
  readonly offset?: number;
  /** Of this part. */
  readonly partLength?: number;
}

/** A handshake message or a part of one (RFC 6347, section 4.2.2); the lengths may lie. */
export function handshake(fields: HandshakeFields, body: Buffer): Buffer {
  const { type, sequence = 0, length = body.length, offset = 0, partLength = body.length } = fields;
  const header = Buffer.alloc(12);
  header[0] = type;
  header.writeUIntBE(length & 0xffffff, 1, 3);
  header.writeUInt16BE(sequence & 0xffff, 4);
  header.writeUIntBE(offset & 0xffffff, 6, 3);
  header.writeUIntBE(partLength & 0xffffff, 9, 3);
  return Buffer.concat([header, body]);
}

const HELLO = 1;
const FINISHED = 20;
const HANDSHAKE_TYPES = [0, HELLO, 2, 3, 4, 11, 12, 13, 14, 15, 16, FINISHED, 99];

/** A STUN message whose attributes are `bytes`; `length` may lie. */
export function stun(type: number, bytes: Buffer, length = bytes.length): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(length & 0xffff, 2);
  header.writeUInt32BE(0x2112a442, 4);
  header.fill(7, 8);
  return Buffer.concat([header, bytes]);
}

function attribute(type: number, bytes: Buffer, length = bytes.length): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(length & 0xffff, 2);
  return Buffer.concat([header, bytes, Buffer.alloc(-bytes.length & 3)]);
}

/** One of each kind, by name. `ufrag`: a user name of the agent's, which is in the clear on the network. */
export function kindsOfGarbage(ufrag: string): readonly (readonly [name: string, datagram: Buffer])[] {
  const user = attribute(6, Buffer.from(`${ufrag}:x`));
  const checks: [string, Buffer][] = [
    ['STUN: header only', stun(1, Buffer.alloc(0))],
    ['STUN: length beyond the end', stun(1, Buffer.alloc(8), 60_000)],
    ['STUN: length that is no multiple of 4', stun(1, Buffer.alloc(7))],
    ['STUN: attribute beyond the end', stun(1, attribute(6, Buffer.alloc(4), 60_000))],
    ['STUN: attribute of length 0', stun(1, Buffer.concat([attribute(6, Buffer.alloc(0)), user]))],
    ['STUN: without integrity', stun(1, user)],
    ['STUN: with zeros for integrity', stun(1, Buffer.concat([user, attribute(8, Buffer.alloc(20))]))],
    ['STUN: with a short integrity', stun(1, Buffer.concat([user, attribute(8, Buffer.alloc(3))]))],
    ['STUN: 16,000 attributes', stun(1, Buffer.alloc(64_000))],
    ['STUN: a user name of 60,000 bytes', stun(1, attribute(6, Buffer.alloc(60_000, 97)))],
    ['STUN: a response nobody waits for', stun(0x101, attribute(0x20, Buffer.alloc(60_000)))],
    ['STUN: an error nobody waits for', stun(0x111, attribute(9, Buffer.alloc(1)))],
    ['STUN: an indication with a long address', stun(0x11, attribute(0x20, Buffer.alloc(60_000)))],
    ['STUN: an unknown method', stun(0x3eef, user)],
    ['STUN: a fingerprint that is wrong', stun(1, Buffer.concat([user, attribute(0x8028, Buffer.alloc(4))]))],
    [
      'STUN: signed with another key',
      encodeStun(
        {
          class: 'request',
          method: 1,
          transactionId: Buffer.alloc(12, 9),
          attributes: [
            [6, Buffer.from(`${ufrag}:x`)],
            [0x25, Buffer.alloc(0)],
          ],
        },
        'another key',
      ),
    ],
  ];
  const hello = handshake({ type: HELLO }, Buffer.alloc(60));
  const records: [string, Buffer][] = [
    ['DTLS: one byte', Buffer.from([22])],
    ['DTLS: header only', record(22, 0, Buffer.alloc(0))],
    ['DTLS: length beyond the end', record(22, 0, Buffer.alloc(10), 60_000)],
    ['DTLS: length short of the end', record(22, 0, hello, 5)],
    ['DTLS: 5,000 empty records', Buffer.concat(Array.from({ length: 5_000 }, () => record(22, 1, Buffer.alloc(0))))],
    ['DTLS: 64 kB of application data', record(23, 1, Buffer.alloc(65_000))],
    ['DTLS: application data in the clear', record(23, 0, Buffer.alloc(100))],
    ['DTLS: application data of a later epoch', record(23, 0xffff, Buffer.alloc(100))],
    ['DTLS: application data shorter than its tag', record(23, 1, Buffer.alloc(9))],
    ['DTLS: two records of application data', Buffer.concat([record(23, 1, Buffer.alloc(50)), record(23, 1, hello)])],
    ['DTLS: close_notify in the clear', record(21, 0, Buffer.from([1, 0]))],
    ['DTLS: a fatal alert in the clear', record(21, 0, Buffer.from([2, 40]))],
    ['DTLS: an alert of one byte', record(21, 0, Buffer.from([1]))],
    ['DTLS: an alert that nobody encrypted', record(21, 1, Buffer.alloc(40))],
    ['DTLS: ChangeCipherSpec', record(20, 0, Buffer.from([1]))],
    ['DTLS: an unknown content type', record(63, 0, hello)],
    ['DTLS: a ClientHello of zeros', record(22, 0, hello)],
    ['DTLS: Finished in the clear', record(22, 0, handshake({ type: FINISHED, sequence: 5 }, Buffer.alloc(12)))],
    [
      'DTLS: 5,000 messages in a record',
      record(22, 0, Buffer.concat(Array(5_000).fill(handshake({ type: 0 }, Buffer.alloc(0))))),
    ],
    [
      'DTLS: a part beyond its message',
      record(22, 0, handshake({ type: 11, length: 20, offset: 15 }, Buffer.alloc(10))),
    ],
    ['DTLS: a part of a message of 16 MB', record(22, 0, handshake({ type: 11, length: 0xffffff }, Buffer.alloc(100)))],
    ['DTLS: a last part alone', record(22, 0, handshake({ type: 11, length: 500, offset: 400 }, Buffer.alloc(100)))],
    ['DTLS: an empty part', record(22, 0, handshake({ type: 11, length: 500 }, Buffer.alloc(0)))],
  ];
  for (const type of HANDSHAKE_TYPES) {
    records.push([`DTLS: message ${type}, empty`, record(22, 0, handshake({ type }, Buffer.alloc(0)))]);
    records.push([`DTLS: message ${type}, of 0xff`, record(22, 0, handshake({ type }, Buffer.alloc(80, 0xff)))]);
  }
  const others: [string, Buffer][] = [
    ['nothing', Buffer.alloc(0)],
    ['a zero', Buffer.alloc(1)],
    ['64 kB of zeros', Buffer.alloc(65_507)],
    ['64 kB of 0xff', Buffer.alloc(65_507, 0xff)],
    ['RTP', Buffer.concat([Buffer.from([0x80, 96]), Buffer.alloc(1_000)])],
    ['RTCP', Buffer.concat([Buffer.from([0x80, 200]), Buffer.alloc(4)])],
    ['TURN channel data', Buffer.concat([Buffer.from([0x40, 0, 0xff, 0xff]), Buffer.alloc(10)])],
    ['ZRTP', Buffer.alloc(100, 0x10)],
    ['a record that looks like STUN to some', stun(0x1600, attribute(0x20, Buffer.alloc(40_000)))],
  ];
  return [...checks, ...records, ...others];
}

/** Garbage without end: each kind as it is, cut, with bytes changed, and bytes that are like nothing. */
export function* garbage(seed: number, ufrag: string): Generator<Buffer> {
  const random = new Random(seed);
  const below = (limit: number) => random.between(0, limit - 1);
  const kinds = kindsOfGarbage(ufrag);
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => below(256)));
  for (;;) {
    const [, kind = Buffer.alloc(0)] = kinds[below(kinds.length)] ?? [];
    const datagram = Buffer.from(kind);
    switch (below(4)) {
      case 0:
        yield datagram;
        break;
      case 1:
        yield datagram.subarray(0, below(datagram.length + 1));
        break;
      case 2:
        for (let i = below(8); i >= 0 && datagram.length > 0; i--)
          datagram[below(Math.min(datagram.length, 64))] = below(256);
        yield datagram;
        break;
      default:
        yield Buffer.concat([Buffer.from([[0, 1, 20, 21, 22, 23, 63, 64, 128][below(9)] ?? 0]), bytes(below(200))]);
    }
  }
}
