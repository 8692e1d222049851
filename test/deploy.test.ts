/** What `wrangler deploy` would send to Cloudflare, from a fresh checkout: no build, no secret, no account. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Checkout, checkOut } from './checkout.ts';

const run = promisify(execFile);

/** A Worker of the free plan may have 3 MB, compressed (Cloudflare's limits); this leaves room for surprises. */
const MAX_COMPRESSED_BYTES = 1024 * 1024;

describe('the “Deploy to Cloudflare” button', () => {
  const root = fileURLToPath(new URL('..', import.meta.url));

  /** What it asks for: all that .dev.vars.example sets, with the value as the proposal. */
  it('asks for the owner token alone, proposes none, and says what it is', async () => {
    const example = await readFile(join(root, '.dev.vars.example'), 'utf8');
    const asked = example.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(asked).toEqual(['OWNER_TOKEN=""']);
    const { cloudflare } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      cloudflare: { bindings: Record<string, { description: string }> };
    };
    expect(Object.keys(cloudflare.bindings)).toEqual(['OWNER_TOKEN']);
  });
});

describe('wrangler deploy --dry-run', () => {
  let checkout: Checkout;
  let output: string;

  beforeAll(async () => {
    checkout = await checkOut();
    const { wrangler, folder: cwd, env } = checkout;
    const args = [wrangler, 'deploy', '--dry-run', '--outdir', 'out'];
    const { stdout, stderr } = await run(process.execPath, args, { cwd, env });
    output = stdout + stderr;
  });

  afterAll(() => checkout.remove());

  it('passes, and warns of nothing', () => {
    expect(output).toContain('--dry-run: exiting now');
    // wrangler only warns of keys in wrangler.toml that it does not know.
    expect(output).not.toMatch(/warning/i);
  });

  it('binds the objects, the limit and the page', () => {
    expect(output).toMatch(/env\.ACCOUNTS \(AccountObject\)/);
    expect(output).toMatch(/env\.SESSIONS \(SessionObject\)/);
    expect(output).toMatch(/env\.HOSTS \(HostObject\)/);
    expect(output).toMatch(/env\.COARSE_LIMIT \(600 requests\/60s\)/);
    expect(output).toMatch(/env\.ASSETS/);
  });

  it('builds the page and a script that is small enough', async () => {
    expect(await readdir(join(checkout.folder, 'dist/web/_direct'))).toContain('client.js');
    const script = join(checkout.folder, 'out/index.js');
    const text = await readFile(script, 'utf8');
    expect(gzipSync(text).length).toBeLessThan(MAX_COMPRESSED_BYTES);
    for (const name of ['AccountObject', 'SessionObject', 'HostObject']) expect(text).toContain(name);
  });
});
