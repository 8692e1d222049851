/** What `wrangler deploy` would send to Cloudflare, from a fresh checkout: no build, no secret, no account. */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));

/** A Worker of the free plan may have 3 MB, compressed (Cloudflare's limits); this leaves room for surprises. */
const MAX_SCRIPT_BYTES = 1024 * 1024;

describe('wrangler deploy --dry-run', () => {
  let checkout: string;
  let output: string;

  beforeAll(async () => {
    // A copy, because the build empties dist/web, which other tests may be serving.
    checkout = await mkdtemp(join(tmpdir(), 'direct-agent-deploy-'));
    for (const name of ['package.json', 'wrangler.toml', 'tsconfig.base.json', 'shared', 'web', 'workers']) {
      await cp(join(root, name), join(checkout, name), { recursive: true });
    }
    await symlink(join(root, 'node_modules'), join(checkout, 'node_modules'));
    const wrangler = join(root, 'node_modules/wrangler/bin/wrangler.js');
    const { stdout, stderr } = await run(process.execPath, [wrangler, 'deploy', '--dry-run', '--outdir', 'out'], {
      cwd: checkout,
      // Nothing of the developer's: no login, no token, no .dev.vars.
      env: {
        PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
        HOME: checkout,
        WRANGLER_SEND_METRICS: 'false',
        CLOUDFLARE_CF_FETCH_ENABLED: 'false',
      },
    });
    output = stdout + stderr;
  });

  afterAll(() => rm(checkout, { recursive: true, force: true }));

  it('passes, and warns of nothing', () => {
    expect(output).toContain('--dry-run: exiting now');
    // wrangler only warns of keys in wrangler.toml that it does not know.
    expect(output).not.toMatch(/warning/i);
  });

  it('binds the objects, the limit and the page', () => {
    expect(output).toMatch(/env\.SESSIONS \(SessionObject\)/);
    expect(output).toMatch(/env\.HOSTS \(HostObject\)/);
    expect(output).toMatch(/env\.COARSE_LIMIT \(600 requests\/60s\)/);
    expect(output).toMatch(/env\.ASSETS/);
  });

  it('builds the page and a script that is small enough', async () => {
    expect(await readdir(join(checkout, 'dist/web'))).toContain('index.html');
    const script = join(checkout, 'out/index.js');
    expect((await stat(script)).size).toBeLessThan(MAX_SCRIPT_BYTES);
    const text = await readFile(script, 'utf8');
    for (const name of ['SessionObject', 'HostObject']) expect(text).toContain(name);
  });
});
