/** Pages have the same policy at their own addresses, from the Worker, and as files, from Cloudflare’s “_headers”. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PAGE_HEADERS } from '../workers/page-headers.ts';

const text = readFileSync(new URL('../web/public/_headers', import.meta.url), 'utf8');

/** The fields for a path: what is indented below it. */
function fieldsFor(path: string): string[] {
  const block = text.split(`\n${path}\n`)[1]?.split(/^\S/m)[0] ?? '';
  return block.split('\n').map((line) => line.trim());
}

test.each(['/index.html', '/dashboard/*'])('%s has the policy of pages', (path) => {
  const fields = [...fieldsFor(path), ...fieldsFor('/*')];
  for (const [name, value] of Object.entries(PAGE_HEADERS)) expect(fields).toContain(`${name}: ${value}`);
});
