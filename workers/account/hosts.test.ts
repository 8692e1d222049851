import { expect, it } from 'vitest';
import { slug } from './hosts.ts';

it.each([
  ['Home', 'home'],
  ['Ada’s Büro', 'adas-buro'],
  ['  living room (2nd floor) ', 'living-room-2nd-floor'],
  ['書斎', 'host'],
  ['---', 'host'],
  ['x'.repeat(100), 'x'.repeat(40)],
])('%s gets the id %s', (name, id) => {
  expect(slug(name)).toBe(id);
});
