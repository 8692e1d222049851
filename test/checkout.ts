/** What `wrangler` needs of the project, as a copy: its build empties dist/web, which other tests may be serving. */
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

export interface Checkout {
  readonly folder: string;
  /** Nothing of the developer's: no login, no token, no .dev.vars. Nothing is asked of Cloudflare or of a person. */
  readonly env: NodeJS.ProcessEnv;
  /** The script that `process.execPath` runs. */
  readonly wrangler: string;
  remove(): Promise<void>;
}

export async function checkOut(): Promise<Checkout> {
  const folder = await mkdtemp(join(tmpdir(), 'direct-agent-checkout-'));
  for (const name of ['package.json', 'wrangler.toml', 'tsconfig.base.json', 'shared', 'web', 'workers']) {
    await cp(join(root, name), join(folder, name), { recursive: true });
  }
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  return {
    folder,
    env: {
      PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
      HOME: folder,
      CI: '1',
      WRANGLER_SEND_METRICS: 'false',
      CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    },
    wrangler: join(root, 'node_modules/wrangler/bin/wrangler.js'),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
