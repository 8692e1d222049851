import { createHash, createPublicKey, verify } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import { generateHostKeys, type HostKeys } from './host-identity.ts';
import { PROTOCOL_VERSION } from './limits.ts';
import { parseSignal } from './signal.ts';
import { type AnswerSignature, directBinding, signAnswer, verifyAnswer } from './signed-answer.ts';

const ANSWERED = {
  hostId: 'home',
  sessionId: 'k3Jx0dQ2pA8-session',
  offer: 'v=0\r\no=offer “ä”\r\n',
  answer: 'v=0\r\no=answer\r\n',
};

let keys: HostKeys;
let signed: AnswerSignature;
beforeAll(async () => {
  keys = await generateHostKeys();
  signed = await signAnswer(keys, ANSWERED);
});

const WRONG = { code: 'E_HOST_KEY', detail: 'the host did not sign this answer to this offer' };

const sha256 = (...parts: (string | Uint8Array)[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
/** PROTOCOL.md, section 8, once more. */
const transcriptOf = (...parts: (string | Uint8Array)[]) =>
  Buffer.concat(parts.map((part) => Buffer.from(part)).flatMap((part) => [Uint8Array.of(part.length), part]));

describe('a signed answer', () => {
  test('says whose it is', async () => {
    expect(await verifyAnswer(signed, ANSWERED)).toBe(signed.host_key);
    expect(await verifyAnswer(signed, ANSWERED, signed.host_key)).toBe(signed.host_key);
  });

  test('is what PROTOCOL.md says, computed independently', () => {
    const { hostId, sessionId, offer, answer } = ANSWERED;
    const hostKey = Buffer.from(signed.host_key, 'base64url');
    const statement = transcriptOf(
      'direct-agent answer v1',
      Uint8Array.of(PROTOCOL_VERSION),
      hostKey,
      hostId,
      sessionId,
      sha256(offer),
      sha256(answer),
    );
    const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: signed.host_key } });
    expect(verify(null, statement, key, Buffer.from(signed.signature, 'base64url'))).toBe(true);
  });

  test.each(Object.keys(ANSWERED) as (keyof typeof ANSWERED)[])('does not count with another %s', async (name) => {
    const other = { ...ANSWERED, [name]: `${ANSWERED[name]}x` };
    await expect(verifyAnswer(signed, other)).rejects.toMatchObject(WRONG);
    await expect(verifyAnswer(signed, other, signed.host_key)).rejects.toMatchObject(WRONG);
  });

  test('does not count with id and session moved into each other', async () => {
    const moved = { ...ANSWERED, hostId: 'homek', sessionId: ANSWERED.sessionId.slice(1) };
    await expect(verifyAnswer(signed, moved)).rejects.toMatchObject(WRONG);
  });

  test('does not count with any bit of key or signature changed', async () => {
    for (const name of ['host_key', 'signature'] as const) {
      const bytes = decodeBase64url(signed[name]) as Uint8Array;
      for (let bit = 0; bit < bytes.length * 8; bit += 5) {
        const changed = new Uint8Array(bytes);
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
        const forged = { ...signed, [name]: encodeBase64url(changed) };
        await expect(verifyAnswer(forged, ANSWERED), `${name}, bit ${bit}`).rejects.toMatchObject(WRONG);
      }
    }
  });

  test('of another host is refused where one is pinned: E_HOST_KEY_CHANGED', async () => {
    const other = await signAnswer(await generateHostKeys(), ANSWERED);
    await expect(verifyAnswer(other, ANSWERED, signed.host_key)).rejects.toMatchObject({ code: 'E_HOST_KEY_CHANGED' });
  });

  test.each(['host_key', 'signature'] as const)('without its %s is refused', async (name) => {
    const { [name]: _, ...rest } = signed;
    await expect(verifyAnswer(rest, ANSWERED, signed.host_key)).rejects.toMatchObject({ code: 'E_HOST_KEY' });
    await expect(verifyAnswer({ ...signed, [name]: '' }, ANSWERED)).rejects.toMatchObject({ code: 'E_HOST_KEY' });
  });
});

describe('the message', () => {
  const message = { session_id: 'abc', type: 'answer', sdp: 'v=0' };

  test('has the signature or not, and nothing else', () => {
    expect(parseSignal({ ...message, ...signed, more: 1 })).toEqual({ ...message, ...signed });
    expect(parseSignal(message)).toEqual(message);
  });

  test.each([
    ['a key that is a number', { host_key: 7 }],
    ['a key that is null', { host_key: null }],
    ['a short key', { host_key: 'A'.repeat(42) }],
    ['a key that is no base64url', { host_key: '+'.repeat(43) }],
    ['a long signature', { signature: 'A'.repeat(87) }],
    ['padding', { signature: `${'A'.repeat(85)}=` }],
  ])('with %s is malformed', (_name, fields) => {
    expect(() => parseSignal({ ...message, ...fields })).toThrow(expect.objectContaining({ code: 'E_BAD_REQUEST' }));
  });
});

test('the binding of a direct path names its offer and its answer', async () => {
  const binding = await directBinding('offer', 'answer');
  expect(Buffer.from(binding)).toEqual(
    sha256(transcriptOf('direct-agent direct path v1', sha256('offer'), sha256('answer'))),
  );
  expect(await directBinding('offer', 'answer.')).not.toEqual(binding);
  expect(await directBinding('answer', 'offer')).not.toEqual(binding);
});
