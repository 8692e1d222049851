/** What bundles of the package have in common: Node's own modules, zod, licences. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuildOptions, Metafile, Plugin } from 'esbuild';

export const root = fileURLToPath(new URL('..', import.meta.url));

export interface PackageJson {
  version: string;
  devDependencies: Record<string, string>;
}

export function packageJson(): PackageJson {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as PackageJson;
}

/**
 * An import of `node:http` as an ES module reads all its exports, WebSocket among them, and that loads the undici
 * inside Node: 15 MB of memory. `require` does not.
 */
const lazyHttp: Plugin = {
  name: 'lazy-http',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?http$/ }, ({ kind }) =>
      kind === 'import-statement' ? { path: 'node:http', namespace: 'lazy-http' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'lazy-http' }, () => ({ contents: `module.exports = require('node:http');` }));
  },
};

/** `z` as a namespace of its own module loses what nobody uses: the messages in forty languages, 300 kB. */
const smallZod: Plugin = {
  name: 'small-zod',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/](?:agent|shared)[\\/].*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace("import { z } from 'zod'", "import * as z from 'zod'"),
      loader: 'ts',
    }));
  },
};

export const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  target: 'es2024',
  metafile: true,
};

/** For Node from `engines` on. */
export const forNode: BuildOptions = {
  ...common,
  platform: 'node',
  target: 'node22.19',
  plugins: [lazyHttp, smallZod],
  // What werift depends on is CommonJS, and asks for Node's modules in its way.
  banner: {
    js: `import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);`,
  },
};

/** What the licences of all that is in bundles ask for: their text beside them. */
export function licenses(...bundles: readonly Pick<Metafile, 'inputs'>[]): string {
  const files = bundles.flatMap(({ inputs }) => Object.keys(inputs));
  const folders = files.flatMap((file) => {
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
