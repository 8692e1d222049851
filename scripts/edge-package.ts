/**
 * Builds the edge into `dist/edge`, ready to deploy by any wrangler without a build: the Worker in one file, the pages,
 * and wrangler.toml as wrangler.json, without what only a checkout has.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Metafile } from 'esbuild';
import { build as buildPages } from 'vite';
import { experimental_readRawConfig as readRawConfig } from 'wrangler';
import { common, licenses, root } from './bundle.ts';

const out = join(root, 'dist/edge');

/** As wrangler bundles for workerd. */
export const forWorkerd = {
  ...common,
  metafile: true,
  conditions: ['workerd', 'worker', 'browser'],
  external: ['cloudflare:*', 'node:*'],
} as const;

export async function buildEdge(): Promise<void> {
  const { rawConfig } = readRawConfig({ config: join(root, 'wrangler.toml') });
  const { build: _, main, assets, ...config } = rawConfig;
  if (main === undefined) throw new Error('wrangler.toml has no main');
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const { metafile } = await build({
    ...forWorkerd,
    conditions: [...forWorkerd.conditions],
    external: [...forWorkerd.external],
    entryPoints: [main],
    outfile: join(out, 'worker/index.js'),
    minify: true,
    keepNames: true,
  });
  writeFileSync(join(out, 'LICENSES.txt'), licenses(metafile, await inPages()));
  await buildPages({
    root: join(root, 'web'),
    configFile: join(root, 'web/vite.config.ts'),
    logLevel: 'warn',
    build: { outDir: join(out, 'web/_direct') },
  });
  const ready = {
    ...config,
    main: 'worker/index.js',
    no_bundle: true,
    find_additional_modules: false,
    assets: { ...assets, directory: 'web' },
  };
  writeFileSync(join(out, 'wrangler.json'), `${JSON.stringify(ready, null, 2)}\n`);
}

/** What packages the pages have in them: their bundler does not tell. */
async function inPages(): Promise<Metafile> {
  const web = join(root, 'web');
  const entryPoints = ['page', 'dashboard'].flatMap((page) => {
    const scripts = readFileSync(join(web, page, 'index.html'), 'utf8').matchAll(
      /<script type="module" src="([^"]+)"/g,
    );
    return [...scripts].map(([, script = '']) => join(web, script));
  });
  const loader = { '.png': 'empty', '.svg': 'empty' } as const;
  const options = { ...common, entryPoints, loader, write: false, metafile: true, outdir: out } as const;
  return (await build({ ...options, jsx: 'automatic', jsxImportSource: 'preact' })).metafile;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildEdge();
