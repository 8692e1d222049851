import { expect, it } from 'vitest';
import { clientKey, countRequest } from './coarse-limit.ts';

it.each([
  ['203.0.113.9', '203.0.113.9'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2:ffff::1', '2001:db8:1:2'],
  ['2001:0DB8:0001:0002::', '2001:db8:1:2'],
  ['2001:db8::1', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  [undefined, 'unknown'],
])('counts %s as %s', (address, key) => {
  expect(clientKey(address)).toBe(key);
});

it('refuses with the time of its period', async () => {
  const keys: string[] = [];
  const limit = (success: boolean) => ({
    limit: ({ key }: { key: string }) => {
      keys.push(key);
      return Promise.resolve({ success });
    },
  });
  await countRequest(limit(true), '192.0.2.1');
  await expect(countRequest(limit(false), '192.0.2.1')).rejects.toMatchObject({
    code: 'E_RATE_LIMITED',
    retryAfterMs: 60_000,
  });
  expect(keys).toEqual(['192.0.2.1', '192.0.2.1']);
});
