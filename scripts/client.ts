/**
 * Builds the npm client, `direct-agent/client`, into `dist/client`: a module for browsers and bundlers, one for Node,
 * and their types. The modules import no packages: the one for Node has werift in it, mended as patches/ says, which
 * a werift that npm installs would not be.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { common, forNode, licenses, root } from './bundle.ts';

const out = join(root, 'dist/client');
/** Where `tsc -b` leaves the declarations of a folder of ours (tsconfig.json there). */
const declarations = join(root, 'node_modules/.cache/types');

const HPKE = "import type { CryptoKey } from 'hpke';\n";

export async function buildClient(): Promise<void> {
  rmSync(out, { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: ['web/client/index.ts'],
    outfile: join(out, 'browser.js'),
    platform: 'browser',
  });
  const { metafile } = await build({
    ...forNode,
    metafile: true,
    entryPoints: ['web/client/node.ts'],
    outfile: join(out, 'node.js'),
  });
  writeFileSync(join(out, 'LICENSES.txt'), licenses(metafile));
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-b', 'web'], { cwd: root });
  copyTypes(join(root, 'web/client/index.ts'));
}

/** The declarations of the source file `entry` and of all that they import, in folders as the sources have them. */
function copyTypes(entry: string): void {
  const sources = [entry];
  for (const source of sources) {
    const name = relative(root, source).replace(/\.ts$/, '.d.ts');
    const [folder = ''] = name.split('/');
    // The DOM has the same type, and its users have no hpke.
    const text = readFileSync(join(declarations, folder, name), 'utf8').replace(HPKE, '');
    const copied = text.replaceAll(/(from |import\()(['"])(\.{1,2}\/[^'"]+)\.ts\2/g, (_, before, quote, path) => {
      const imported = resolve(dirname(source), `${path}.ts`);
      if (!sources.includes(imported)) sources.push(imported);
      return `${before}${quote}${path}.js${quote}`;
    });
    if (/(?:from |import\()['"][^.]/.test(copied)) throw new Error(`${name} has types of a package in it`);
    const target = join(out, 'types', name);
    mkdirSync(dirname(target), { recursive: true });
    // For programs on Node that are checked without the DOM: Response, RTCIceServer and the like are its.
    writeFileSync(target, source === entry ? `/// <reference lib="dom" />\n${copied}` : copied);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildClient();
