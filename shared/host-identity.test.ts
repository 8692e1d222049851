import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import { type DirectError, ERRORS } from './errors.ts';
import {
  type Announcement,
  exportHostKeys,
  generateHostKeys,
  type HostKeys,
  hostKeyBytes,
  importHostKeys,
  parseAnnouncement,
  RelayKeyExpired,
  signAnnouncement,
  verifyAnnouncement,
} from './host-identity.ts';

const RELAY_KEY = Uint8Array.from({ length: 32 }, (_, i) => i * 7);
const EXPIRES_AT = 1_795_228_800_000;
const before = { now: EXPIRES_AT - 1 };

let keys: HostKeys;
let announcement: Announcement;
beforeAll(async () => {
  keys = await generateHostKeys();
  announcement = await signAnnouncement(keys, RELAY_KEY, EXPIRES_AT);
});

const refusedFor = (detail: string) =>
  expect.objectContaining({ code: 'E_HOST_KEY', detail } satisfies Partial<DirectError>);

describe('base64url', () => {
  test('is what Node writes, and comes back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = encodeBase64url(bytes);
        expect(text).toBe(Buffer.from(bytes).toString('base64url'));
        expect(decodeBase64url(text)).toEqual(bytes);
      }),
    );
  });

  test('has one text for the same bytes', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[\w=+/ -]{0,12}$/), (text) => {
        const bytes = decodeBase64url(text);
        if (bytes !== undefined) expect(encodeBase64url(bytes)).toBe(text);
      }),
      { numRuns: 2000 },
    );
    expect(decodeBase64url('AB')).toBeUndefined();
    expect(decodeBase64url('AA==')).toBeUndefined();
    expect(decodeBase64url('AAAAA')).toBeUndefined();
  });
});

describe('an announcement', () => {
  test('gives the keys to whom it convinces, pinned or not', async () => {
    const host = { hostKey: await hostKeyBytes(keys), relayKey: RELAY_KEY };
    expect(await verifyAnnouncement(announcement, before)).toEqual(host);
    expect(await verifyAnnouncement(announcement, { ...before, hostKey: announcement.host_key })).toEqual(host);
    expect(parseAnnouncement(JSON.parse(JSON.stringify(announcement)))).toEqual(announcement);
  });

  test('of another host is refused where one is pinned: E_HOST_KEY_CHANGED', async () => {
    const other = await signAnnouncement(await generateHostKeys(), RELAY_KEY, EXPIRES_AT);
    await expect(verifyAnnouncement(other, { ...before, hostKey: announcement.host_key })).rejects.toMatchObject({
      code: 'E_HOST_KEY_CHANGED',
    });
    expect(ERRORS.E_HOST_KEY_CHANGED).toMatchObject({ close: 4023, http: 502, retry: false });
  });

  test('ends when it says', async () => {
    for (const now of [EXPIRES_AT, EXPIRES_AT + 1]) {
      const refused = verifyAnnouncement(announcement, { now });
      await expect(refused).rejects.toEqual(refusedFor('the relay key has expired'));
      await expect(refused).rejects.toBeInstanceOf(RelayKeyExpired);
    }
  });

  test('of which anything was changed is refused', async () => {
    const wrong = refusedFor('the host did not sign its relay key');
    await expect(verifyAnnouncement({ ...announcement, expires_at: EXPIRES_AT + 1 }, before)).rejects.toEqual(wrong);
    for (const name of ['host_key', 'relay_key', 'signature'] as const) {
      const bytes = decodeBase64url(announcement[name]) as Uint8Array;
      for (let bit = 0; bit < bytes.length * 8; bit += 5) {
        const changed = new Uint8Array(bytes);
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
        const forged = { ...announcement, [name]: encodeBase64url(changed) };
        await expect(verifyAnnouncement(forged, before), `${name}, bit ${bit}`).rejects.toEqual(wrong);
      }
    }
  });

  test('does not count with its keys exchanged', async () => {
    const { host_key, relay_key } = announcement;
    const exchanged = { ...announcement, host_key: relay_key, relay_key: host_key };
    await expect(verifyAnnouncement(exchanged, before)).rejects.toEqual(
      refusedFor('the host did not sign its relay key'),
    );
  });

  test.each<[string, (good: Announcement) => unknown]>([
    ['nothing', () => undefined],
    ['null', () => null],
    ['a list', (good) => [good]],
    ['a text', (good) => JSON.stringify(good)],
    ['no key', ({ host_key: _, ...rest }) => rest],
    ['a key that is a number', (good) => ({ ...good, host_key: 7 })],
    ['a short key', (good) => ({ ...good, relay_key: good.relay_key.slice(1) })],
    ['a long signature', (good) => ({ ...good, signature: `${good.signature}A` })],
    ['padding', (good) => ({ ...good, relay_key: `${good.relay_key.slice(0, 42)}=` })],
    ['the other base64', (good) => ({ ...good, relay_key: `+/${good.relay_key.slice(2)}` })],
    ['spare bits', (good) => ({ ...good, relay_key: `${good.relay_key.slice(0, 42)}B` })],
    ['a time that is text', (good) => ({ ...good, expires_at: String(EXPIRES_AT) })],
    ['half a millisecond', (good) => ({ ...good, expires_at: 0.5 })],
    ['a time before 1970', (good) => ({ ...good, expires_at: -1 })],
    ['no time', (good) => ({ ...good, expires_at: Number.NaN })],
  ])('with %s is malformed', (_name, spoil) => {
    expect(() => parseAnnouncement(spoil(announcement))).toThrow(expect.objectContaining({ code: 'E_BAD_REQUEST' }));
  });

  test('has no members that nobody knows', () => {
    expect(parseAnnouncement({ ...announcement, more: 1 })).toEqual(announcement);
  });
});

describe('keys that are stored', () => {
  test('make the same host again', async () => {
    const made = await generateHostKeys({ extractable: true });
    const stored = await exportHostKeys(made);
    const read = await importHostKeys(JSON.parse(JSON.stringify(stored)));
    expect(await hostKeyBytes(read)).toEqual(await hostKeyBytes(made));
    expect(encodeBase64url(await hostKeyBytes(read))).toBe(stored.public_key);
    const signed = await signAnnouncement(read, RELAY_KEY, EXPIRES_AT);
    expect(await verifyAnnouncement(signed, { ...before, hostKey: stored.public_key })).toMatchObject({
      relayKey: RELAY_KEY,
    });
    expect(read.privateKey.extractable).toBe(false);
  });

  test('cannot be got from a host that was not made to be stored', async () => {
    await expect(exportHostKeys(keys)).rejects.toThrow();
  });

  test('that are damaged, or of two hosts, are refused in words', async () => {
    const [one, other] = await Promise.all(
      [1, 2].map(async () => exportHostKeys(await generateHostKeys({ extractable: true }))),
    );
    const wrong: [unknown, RegExp][] = [
      [undefined, /no host keys/],
      ['text', /no host keys/],
      [{ ...one, public_key: undefined }, /no host keys/],
      [{ ...one, public_key: one?.public_key.slice(1) }, /no host keys/],
      [{ ...one, private_key: '+' }, /no host keys/],
      [{ ...one, private_key: one?.private_key.slice(4) }, /private key is damaged/],
      [{ ...one, public_key: other?.public_key }, /do not belong together/],
    ];
    for (const [stored, words] of wrong) {
      await expect(importHostKeys(stored)).rejects.toThrow(expect.objectContaining({ name: 'TypeError' }));
      await expect(importHostKeys(stored)).rejects.toThrow(words);
    }
  });
});

test('the private key can be stored only when that is asked for', async () => {
  expect(keys.privateKey.extractable).toBe(false);
  expect((await generateHostKeys({ extractable: true })).privateKey.extractable).toBe(true);
});
