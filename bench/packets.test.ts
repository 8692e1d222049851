import { expect, test } from 'vitest';
import { purposeOf, timeUnderWay, type WirePacket } from './packets.ts';

/** An Ethernet frame with an IPv4 packet in it. */
function frame(protocol: number, payload: Buffer): Buffer {
  const ethernet = Buffer.from('0200000000010200000000020800', 'hex');
  const ip = Buffer.alloc(20);
  ip[0] = 0x45;
  ip.writeUInt16BE(20 + payload.length, 2);
  ip[9] = protocol;
  return Buffer.concat([ethernet, ip, payload]);
}

function tcp(flags: number, data = ''): Buffer {
  const header = Buffer.alloc(20);
  header[12] = 5 << 4;
  header[13] = flags;
  return frame(6, Buffer.concat([header, Buffer.from(data)]));
}

function udp(hex: string): Buffer {
  return frame(17, Buffer.concat([Buffer.alloc(8), Buffer.from(hex, 'hex')]));
}

/** A DTLS record: type, version 1.2, epoch, sequence number, length, and what is in it. */
function record(type: string, epoch: string, body: string): string {
  return `${type}fefd${epoch}000000000001${(body.length / 2).toString(16).padStart(4, '0')}${body}`;
}

test.each([
  ['TCP SYN', tcp(0x02)],
  ['TCP SYN ACK', tcp(0x12)],
  [undefined, tcp(0x10)],
  ['POST /_direct/h/home/session', tcp(0x18, 'POST /_direct/h/home/session?secret=1 HTTP/1.1\r\nHost: a\r\n')],
  ['HTTP 101', tcp(0x18, 'HTTP/1.1 101 Switching Protocols\r\n')],
  ['TCP data', tcp(0x18, '\x82\x05hello')],
  ['STUN check', udp(`000100002112a442${'00'.repeat(12)}`)],
  ['STUN answer', udp(`010100002112a442${'00'.repeat(12)}`)],
  ['DTLS ClientHello', udp(record('16', '0000', '01000000'))],
  [
    'DTLS ClientKeyExchange, DTLS Finished',
    udp(`${record('16', '0000', '10')}${record('14', '0000', '01')}${record('16', '0001', 'ff')}`),
  ],
  ['SCTP (in DTLS)', udp(record('17', '0001', 'ffff'))],
  [undefined, Buffer.from('0200000000010200000000020806', 'hex')],
])('%s', (purpose, packet) => {
  expect(purposeOf(packet)).toBe(purpose);
});

test('time under way counts once what overlaps, and only what is asked about', () => {
  const at = (atMs: number): WirePacket => ({ atMs, from: 'a', to: 'b', what: 'x' });
  expect(timeUnderWay([at(30), at(0), at(10)], 20, 0, 100)).toBe(50);
  expect(timeUnderWay([at(0), at(90)], 20, 5, 100)).toBe(25);
  expect(timeUnderWay([], 20, 0, 100)).toBe(0);
});
