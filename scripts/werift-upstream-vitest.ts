/**
 * How Vitest runs upstream's tests on a bundle of werift (scripts/werift-upstream-tests.ts): a test that imports
 * `../src/chunk` of its package gets what that source file exported, as it is in the bundle.
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { defineConfig, type Plugin } from 'vitest/config';

/** A copy of upstream's `packages`, the tested one's name, the copy of werift to test, and the one as npm has it. */
const { packages, name, werift, stock } = JSON.parse(process.env.WERIFT_UPSTREAM ?? '') as Record<string, string> & {
  packages: string;
  name: string;
  werift: string;
  stock: string;
};
const VIRTUAL = '\0werift/';
const require = createRequire(import.meta.url);

/** esbuild's bundle by the source file that each top-level name comes from: "sctp/src/chunk" → names. */
function namesBySource(bundle: string): Map<string, Set<string>> {
  const sources = new Map<string, Set<string>>();
  let names = new Set<string>();
  for (const line of bundle.split('\n')) {
    const file = /^\/\/ (?:\.\.\/)?(\S*src\/\S+)\.ts$/.exec(line)?.[1];
    if (file) {
      const source = file.startsWith('src/') ? `webrtc/${file}` : file;
      names = sources.get(source) ?? new Set();
      sources.set(source, names);
    }
    const name = /^(?:var|let|const|class|(?:async )?function\*?) ([\w$]+)/.exec(line)?.[1];
    if (name) names.add(name);
  }
  return sources;
}

/** What the package's CommonJS build of a source file exports; undefined where there is no such file. */
function exportsOf(folder: string, source: string): Record<string, unknown> | undefined {
  for (const path of [source, join(source, 'index')]) {
    try {
      return require(join(folder, 'lib', `${path}.js`));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return undefined;
}

/** The bundle's name for what `source` exports as `name` (esbuild adds a number where two files had one name). */
function bundled(sources: Map<string, Set<string>>, exported: Record<string, unknown>, name: string): string[] {
  const found: string[] = [];
  for (const [source, names] of sources) {
    const own = exportsOf(stock, source);
    if (!own || own[name] !== exported[name]) continue;
    const first = name === 'default' ? (exported.default as { name: string }).name : name;
    found.push(...[...names].filter((local) => local.startsWith(first) && /^\d*$/.test(local.slice(first.length))));
  }
  return found.sort((a, b) => a.length - b.length);
}

function upstreamSources(): Plugin {
  const path = join(werift, 'lib/index.mjs');
  const text = readFileSync(path, 'utf8');
  const sources = namesBySource(text);
  const stockSources = namesBySource(readFileSync(join(stock, 'lib/index.mjs'), 'utf8'));
  const borrowed = new Set<string>();
  const all = [...new Set([...sources.values()].flatMap((names) => [...names]))];
  const tested = join(werift, 'lib/tested.mjs');
  writeFileSync(tested, `${text}\nexport {\n${all.map((name) => `  ${name} as _${name}`).join(',\n')}\n};\n`);
  return {
    name: 'werift-upstream',
    enforce: 'pre',
    resolveId(id, importer) {
      if (!importer || !id.startsWith('.')) return;
      const source = relative(packages, join(dirname(importer), id)).replace(/\.(js|ts)$/, '');
      if (!/^[\w-]+\/src(\/|$)/.test(source)) return;
      if (exportsOf(stock, source)) return `${VIRTUAL}${source}`;
      // npm's package has nothing of it: servers that tests need, or what came or went between the two versions.
      if (!borrowed.has(source)) appendFileSync(join(packages, 'borrowed.txt'), `${source}\n`);
      borrowed.add(source);
      return undefined;
    },
    load(id) {
      if (!id.startsWith(VIRTUAL)) return;
      const source = id.slice(VIRTUAL.length);
      const exported = exportsOf(stock, source);
      if (!exported) return;
      const lines = Object.keys(exported).map((name) => {
        const [local] = bundled(sources, exported, name);
        if (local) return `export { _${local} as ${name} } from ${JSON.stringify(tested)};`;
        // What the bundle never uses is not in it; but what the patched one has lost has to fail.
        const value = bundled(stockSources, exported, name).length > 0 ? 'undefined' : `unbundled.${name}`;
        return `const own_${name} = ${value};\nexport { own_${name} as ${name} };`;
      });
      const file = require.resolve(join(stock, 'lib', source));
      return `import unbundled from ${JSON.stringify(file)};\n${lines.join('\n')}\n`;
    },
  };
}

export default defineConfig({
  root: join(packages, name),
  plugins: [upstreamSources()],
  test: {
    // As upstream has it in its packages' configurations.
    globals: true,
    retry: name === 'dtls' || name === 'webrtc' ? 1 : 0,
    fileParallelism: name !== 'dtls',
    include: ['tests/**/*.test.ts'],
    // Tests of upstream's runner of the Web Platform Tests, not of werift.
    exclude: ['tests/tools/**'],
    server: { deps: { external: [/\/werift\/lib\//] } },
  },
});
