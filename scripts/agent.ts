/**
 * Builds the agent into `dist/agent`: main.js, and beside it what its commands load when they run, so that `--version`
 * starts at once and an agent that nobody uses holds little. It imports no packages: undici and werift are in it,
 * mended as patches/ says, which those that npm installs would not be.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { forNode, licenses, packageJson, root } from './bundle.ts';

const out = join(root, 'dist/agent');

export async function buildAgent(): Promise<void> {
  rmSync(out, { recursive: true, force: true });
  const { version, devDependencies } = packageJson();
  const { metafile } = await build({
    ...forNode,
    metafile: true,
    entryPoints: [{ in: 'agent/main.ts', out: 'main' }],
    outdir: out,
    chunkNames: '[name]-[hash]',
    splitting: true,
    minify: true,
    // Stack traces in reports are worth 5 %.
    keepNames: true,
    define: {
      DIRECT_AGENT_VERSION: JSON.stringify(version),
      DIRECT_AGENT_WRANGLER: JSON.stringify(devDependencies.wrangler),
    },
  });
  writeFileSync(join(out, 'LICENSES.txt'), licenses(metafile));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildAgent();
