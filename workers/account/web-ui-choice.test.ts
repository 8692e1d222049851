import { expect, it } from 'vitest';
import { webUiHost } from './web-ui-choice.ts';

it.each([
  // The only one.
  [[], null, null, undefined],
  [['a'], null, null, 'a'],
  [['a', 'b'], null, null, undefined],
  // The chosen one, if it is still good.
  [['a', 'b'], null, 'b', 'b'],
  [['a', 'b'], null, 'c', undefined],
  [['a'], null, 'c', 'a'],
  [[], null, 'a', undefined],
  // The named one, and no other.
  [['a', 'b'], 'b', 'a', 'b'],
  [['a'], 'c', 'a', undefined],
])('of %j, named %s, chosen %s: %s', (usable, named, chosen, host) => {
  expect(webUiHost(usable, { named, chosen })).toBe(host);
});
