import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ATTRIBUTE,
  decodeStun,
  encodeStun,
  encodeXorAddress,
  errorCode,
  hasIntegrity,
  longTermKey,
  METHOD,
  withFingerprint,
  xorAddress,
} from './stun.ts';

/** RFC 5769, section 2.1: a request with SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, MESSAGE-INTEGRITY, FINGERPRINT. */
const SAMPLE_REQUEST = Buffer.from(
  `000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36
   000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf`.replaceAll(
    /\s/g,
    '',
  ),
  'hex',
);
const SAMPLE_PASSWORD = 'VOkJxbRl1RmTxUk/WvJxBt';
/** RFC 5769, section 2.2 and 2.3: responses with XOR-MAPPED-ADDRESS. */
const SAMPLE_IPV4 = Buffer.from(
  `0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643
   000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96`.replaceAll(/\s/g, ''),
  'hex',
);
const SAMPLE_IPV6 = Buffer.from(
  `010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9
   00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c`.replaceAll(/\s/g, ''),
  'hex',
);

describe('the vectors of RFC 5769', () => {
  test('a request', () => {
    const message = decodeStun(SAMPLE_REQUEST);
    expect(message).toMatchObject({ class: 'request', method: METHOD.binding });
    if (message === undefined) return;
    expect(message.attributes.get(ATTRIBUTE.username)?.toString()).toBe('evtj:h6vY');
    expect(hasIntegrity(message, SAMPLE_PASSWORD)).toBe(true);
    expect(hasIntegrity(message, `${SAMPLE_PASSWORD}x`)).toBe(false);
  });

  test.each([
    ['IPv4', SAMPLE_IPV4, '192.0.2.1'],
    ['IPv6', SAMPLE_IPV6, '2001:db8:1234:5678:11:2233:4455:6677'],
  ])('an %s response', (_family, bytes, address) => {
    const message = decodeStun(bytes);
    expect(message?.class).toBe('success');
    if (message === undefined) return;
    expect(hasIntegrity(message, SAMPLE_PASSWORD)).toBe(true);
    expect(xorAddress(message, ATTRIBUTE.xorMappedAddress)).toEqual([address, 32853]);
    // Without FINGERPRINT, which is the last 8 bytes, it is made again.
    const unsigned = Buffer.from(bytes.subarray(0, -8));
    unsigned.writeUInt16BE(unsigned.length - 20, 2);
    expect(withFingerprint(unsigned).equals(bytes)).toBe(true);
  });

  test('long-term credentials', () => {
    // RFC 8489, section 18.5.1.1 as `openssl md5` has it.
    expect(longTermKey('user', 'realm', 'pass').toString('hex')).toBe('8493fbc53ba582fb4c044c456bdc40eb');
  });
});

test.each(['10.1.2.3', '2001:db8::1', '::1', 'fe80::1:0:0:2', '1::', '::ffff:1.2.3.4'])('%s survives', (address) => {
  const transactionId = randomBytes(12);
  const value = encodeXorAddress([address, 443], transactionId);
  const bytes = encodeStun({
    class: 'success',
    method: METHOD.binding,
    transactionId,
    attributes: [[ATTRIBUTE.xorPeerAddress, value]],
  });
  const message = decodeStun(bytes);
  expect(message && xorAddress(message, ATTRIBUTE.xorPeerAddress)).toEqual([address, 443]);
});

test('all classes and methods are read as they were written', () => {
  for (const kind of ['request', 'indication', 'success', 'error'] as const) {
    for (const method of [...Object.values(METHOD), 0x0ff]) {
      const bytes = encodeStun({ class: kind, method, transactionId: randomBytes(12), attributes: [] }, 'key');
      expect(decodeStun(bytes)).toMatchObject({ class: kind, method });
    }
  }
});

test('what follows MESSAGE-INTEGRITY is not believed', () => {
  const signed = encodeStun(
    { class: 'request', method: METHOD.binding, transactionId: randomBytes(12), attributes: [] },
    'key',
  );
  const useCandidate = Buffer.from([0x00, 0x25, 0x00, 0x00]);
  const forged = Buffer.concat([signed, useCandidate]);
  forged.writeUInt16BE(forged.length - 20, 2);
  expect(decodeStun(signed)).toBeDefined();
  expect(decodeStun(forged)).toBeUndefined();
});

test('nothing that arrives makes it throw', () => {
  const corrupted = fc
    .tuple(
      fc.constantFrom(SAMPLE_REQUEST, SAMPLE_IPV4, SAMPLE_IPV6),
      fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 6 }),
      fc.nat(120),
    )
    .map(([sample, changes, length]) => {
      const bytes = Buffer.from(sample.subarray(0, Math.max(length, 1)));
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      // So that most get past the first look.
      if (bytes.length >= 20) bytes.writeUInt16BE(bytes.length - 20, 2);
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(corrupted, fc.uint8Array({ maxLength: 100 }).map(Buffer.from)), (bytes) => {
      const message = decodeStun(bytes);
      if (message === undefined) return;
      hasIntegrity(message, 'key');
      errorCode(message);
      for (const type of message.attributes.keys()) xorAddress(message, type);
    }),
    { numRuns: 5000 },
  );
});
