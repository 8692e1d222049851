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

test('so is the page’s whole script', () => {
  expect(sizes.eager.files).toBeGreaterThan(1);
  expect(sizes.script.gzip).toBeLessThan(BUDGETS.script);
});
