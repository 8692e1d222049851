import { beforeAll, expect, test } from 'vitest';
import { BUDGETS, type PageSizes, pageSizes } from '../bench/page-sizes.ts';
import { buildWeb } from '../scripts/web.ts';

let sizes: PageSizes;

beforeAll(async () => {
  await buildWeb();
  sizes = pageSizes();
});

test('the client alone is small enough to come along with any page', () => {
  expect(sizes.client.gzip).toBeLessThan(BUDGETS.client);
});

test('so is the script that a visit takes until something can be sent', () => {
  expect(sizes.start.files).toBeGreaterThan(3);
  expect(sizes.start.gzip).toBeLessThan(BUDGETS.start);
});
