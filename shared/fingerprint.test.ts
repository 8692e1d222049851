import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { encodeBase64url } from './base64url.ts';
import { fingerprint } from './fingerprint.ts';

const KEY = Uint8Array.from({ length: 32 }, (_, i) => i * 7);

test('a fingerprint is eight groups of four digits of the key’s hash', async () => {
  const shown = await fingerprint(encodeBase64url(KEY));
  expect(shown).toMatch(/^([0-9a-f]{4} ){7}[0-9a-f]{4}$/);
  expect(shown.replaceAll(' ', '')).toBe(createHash('sha256').update(KEY).digest('hex').slice(0, 32));
  // As it is printed: people have compared it with what they wrote down.
  expect(await fingerprint('A'.repeat(43))).toBe('6668 7aad f862 bd77 6c8f c18b 8e9f 8e20');
});

test.each(['', 'A'.repeat(42), 'A'.repeat(44), `${'A'.repeat(42)}B`, `${'A'.repeat(42)}=`])(
  'what is no key has none: “%s”',
  async (text) => {
    await expect(fingerprint(text)).rejects.toMatchObject({ code: 'E_HOST_KEY' });
  },
);
