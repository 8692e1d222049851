import { expect, it } from 'vitest';
import { clientName } from './client-address.ts';

const OWNER = 'owner-token-of-these-tests';

it('names one address always alike, the /64 of IPv6 as one, and others otherwise', async () => {
  const names = await Promise.all(
    ['192.0.2.1', '192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8:0:0:ffff::2', '2001:db8:0:1::1'].map((address) =>
      clientName(address, OWNER),
    ),
  );
  expect(names.every((name) => /^[A-Za-z0-9_-]{16}$/.test(name ?? ''))).toBe(true);
  const [first, again, other, subnet, sameSubnet, otherSubnet] = names;
  expect([again === first, sameSubnet === subnet]).toEqual([true, true]);
  expect(new Set([first, other, subnet, otherSubnet]).size).toBe(4);
});

it('is of no use without the owner’s token, and says nothing of an address that is not known', async () => {
  expect(await clientName('192.0.2.1', 'another-owner-token-here')).not.toBe(await clientName('192.0.2.1', OWNER));
  expect(await clientName(undefined, OWNER)).toBeNull();
});
