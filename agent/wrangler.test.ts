import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { EXIT } from './command-error.ts';
import { systemWrangler } from './wrangler.ts';

const folder = mkdtempSync(join(tmpdir(), 'da-wrangler-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('who stops it waits until it has ended, so that it writes nothing afterwards', async () => {
  const script = join(folder, 'slow.mjs');
  writeFileSync(
    script,
    `import { writeFileSync } from 'node:fs';
     process.on('SIGTERM', () => setTimeout(() => (writeFileSync('last', ''), process.exit(1)), 300));
     setInterval(() => {}, 1000);
     writeFileSync('ready', '');`,
  );
  const ending = new AbortController();
  const run = systemWrangler('wrangler', script, ending.signal).run({ args: [], cwd: folder, env: {}, quiet: true });
  const outcome = run.then(
    () => 'ended',
    (error: Error) => error.name,
  );
  await expect.poll(() => existsSync(join(folder, 'ready'))).toBe(true);
  ending.abort();
  expect([await outcome, existsSync(join(folder, 'last'))]).toEqual(['AbortError', true]);
});

test('a program that is not there is told as that', async () => {
  const run = { args: [], cwd: folder, env: {}, quiet: true };
  const wrangler = systemWrangler('wrangler', '/nowhere/wrangler', new AbortController().signal);
  await expect(wrangler.run(run)).rejects.toMatchObject({
    exitCode: EXIT.config,
    message: expect.stringContaining('--wrangler /nowhere/wrangler: '),
  });
});
