/**
 * Builds the npm client, `direct-agent/client`, into `dist/client`: a module for browsers and bundlers, one for Node,
 * and their types. The modules import no packages: the one for Node has werift in it, mended as patches/ says, which
 * a werift that npm installs would not be.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Metafile } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'dist/client');
/** Where `tsc -b` leaves the declarations of a folder of ours (tsconfig.json there). */
const declarations = join(root, 'node_modules/.cache/types');

const common: BuildOptions = { absWorkingDir: root, bundle: true, format: 'esm', target: 'es2024', metafile: true };

export async function buildClient(): Promise<void> {
  rmSync(out, { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: ['web/client/index.ts'],
    outfile: join(out, 'browser.js'),
    platform: 'browser',
  });
  const { metafile } = await build({
    ...common,
    entryPoints: ['web/client/node.ts'],
    outfile: join(out, 'node.js'),
    platform: 'node',
    // What werift depends on is CommonJS, and asks for Node's modules in its way.
    banner: {
      js: `import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);`,
    },
  });
  writeFileSync(join(out, 'LICENSES.txt'), licenses(metafile as Metafile));
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-b', 'web'], { cwd: root });
  copyTypes(join(root, 'web/client/index.ts'));
}

/** The declarations of the source file `entry` and of all that they import, in folders as the sources have them. */
function copyTypes(entry: string): void {
  const sources = [entry];
  for (const source of sources) {
    const name = relative(root, source).replace(/\.ts$/, '.d.ts');
    const [folder = ''] = name.split('/');
    const text = readFileSync(join(declarations, folder, name), 'utf8');
    const copied = text.replaceAll(/(from |import\()(['"])(\.{1,2}\/[^'"]+)\.ts\2/g, (_, before, quote, path) => {
      const imported = resolve(dirname(source), `${path}.ts`);
      if (!sources.includes(imported)) sources.push(imported);
      return `${before}${quote}${path}.js${quote}`;
    });
    const target = join(out, 'types', name);
    mkdirSync(dirname(target), { recursive: true });
    // For programs on Node that are checked without the DOM: Response, RTCIceServer and the like are its.
    writeFileSync(target, source === entry ? `/// <reference lib="dom" />\n${copied}` : copied);
  }
}

/** What the licences of all that is in the module ask for: their text beside it. */
function licenses({ inputs }: Metafile): string {
  const folders = Object.keys(inputs).flatMap((file) => {
    const [, folder] = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file) ?? [];
    return folder === undefined ? [] : [resolve(root, folder)];
  });
  const texts = [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
    const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8').trim();
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildClient();
