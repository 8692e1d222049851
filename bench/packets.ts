/** What a packet of the slow internet (slow-switch.ts) is for, as far as it can be told from outside. */

export interface WirePacket {
  /** When it came to the switch: half a round trip before it arrives. Milliseconds since 1970. */
  atMs: number;
  from: string;
  to: string;
  what: string;
}

const [IPV4, TCP, UDP] = [0x0800, 6, 17];
const SYN = 0x02;
const STUN_COOKIE = 0x2112a442;
/** Message types of STUN (RFC 8489, RFC 8656). */
const STUN_TYPES: Readonly<Record<number, string>> = {
  1: 'STUN check',
  257: 'STUN answer',
  273: 'STUN error',
};
/** Content types of DTLS (RFC 6347), and types of its handshake messages (RFC 5246). */
const [CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA] = [20, 21, 22, 23];
const DTLS_RECORD_BYTES = 13;
const HANDSHAKE_TYPES: Readonly<Record<number, string>> = {
  1: 'ClientHello',
  2: 'ServerHello',
  3: 'HelloVerifyRequest',
  11: 'Certificate',
  12: 'ServerKeyExchange',
  13: 'CertificateRequest',
  14: 'ServerHelloDone',
  15: 'CertificateVerify',
  16: 'ClientKeyExchange',
};

/** Of an Ethernet frame; undefined for what only acknowledges, and for what is none of ours. */
export function purposeOf(frame: Buffer): string | undefined {
  if (frame.length < 34 || frame.readUInt16BE(12) !== IPV4) return undefined;
  const ip = frame.subarray(14, 14 + frame.readUInt16BE(16));
  const payload = ip.subarray(((ip[0] ?? 0) & 0x0f) * 4);
  if (ip[9] === TCP) return purposeOfTcp(payload);
  return ip[9] === UDP && payload.length > 8 ? purposeOfUdp(payload.subarray(8)) : undefined;
}

function purposeOfTcp(segment: Buffer): string | undefined {
  const flags = segment[13] ?? 0;
  if ((flags & SYN) !== 0) return (flags & 0x10) === 0 ? 'TCP SYN' : 'TCP SYN ACK';
  const data = segment.subarray(((segment[12] ?? 0) >> 4) * 4);
  if (data.length === 0) return undefined;
  const line = data.toString('latin1', 0, 200).split('\r\n')[0] ?? '';
  // Without the query.
  const [, request] = /^((?:GET|POST|OPTIONS|HEAD) [^ ?]*)/.exec(line) ?? [];
  const [, response] = /^HTTP\/1\.1 (\d+)/.exec(line) ?? [];
  return request ?? (response === undefined ? 'TCP data' : `HTTP ${response}`);
}

function purposeOfUdp(data: Buffer): string | undefined {
  if (data.length >= 20 && data.readUInt32BE(4) === STUN_COOKIE) return STUN_TYPES[data.readUInt16BE(0)] ?? 'STUN';
  const what: string[] = [];
  for (let at = 0; at + DTLS_RECORD_BYTES <= data.length; ) {
    const name = purposeOfRecord(data.subarray(at));
    if (name !== undefined && what.at(-1) !== name) what.push(name);
    at += DTLS_RECORD_BYTES + data.readUInt16BE(at + 11);
  }
  return what.length === 0 ? undefined : what.join(', ');
}

function purposeOfRecord(record: Buffer): string | undefined {
  const epoch = record.readUInt16BE(3);
  switch (record[0]) {
    case CHANGE_CIPHER_SPEC:
      return undefined;
    case ALERT:
      return 'DTLS alert';
    case HANDSHAKE:
      return `DTLS ${epoch > 0 ? 'Finished' : (HANDSHAKE_TYPES[record[DTLS_RECORD_BYTES] ?? 0] ?? 'handshake')}`;
    case APPLICATION_DATA:
      return 'SCTP (in DTLS)';
    default:
      return 'UDP';
  }
}

/** The time within `fromMs` to `toMs` in which at least one packet was under way, in ms. */
export function timeUnderWay(packets: readonly WirePacket[], oneWayMs: number, fromMs: number, toMs: number): number {
  let [sum, until] = [0, fromMs];
  for (const { atMs } of [...packets].sort((a, b) => a.atMs - b.atMs)) {
    const [begin, end] = [Math.max(atMs, until), Math.min(atMs + oneWayMs, toMs)];
    if (end > begin) sum += end - begin;
    until = Math.max(until, Math.min(atMs + oneWayMs, toMs));
  }
  return sum;
}
