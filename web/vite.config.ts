import { copyFileSync } from 'node:fs';
import { build } from 'esbuild';
import { defineConfig, type Plugin } from 'vite';

/** The page's first script is asked for first, and runs as soon as it is there: before styles and the rest. */
const headFirst: Plugin = {
  name: 'head-first',
  transformIndexHtml: {
    order: 'post',
    handler: (_html, { bundle = {}, path }) => {
      const isHead = (id: string) => id.endsWith('/web/page/head.ts');
      // Not the file that the bundler makes for the entry, which only passes on what is in this one.
      const head = Object.values(bundle).find((file) => file.type === 'chunk' && file.moduleIds.some(isHead));
      if (path !== '/page/index.html' || head === undefined) return [];
      const attrs = { type: 'module', async: true, crossorigin: true, src: `/_direct/${head.fileName}` };
      return [{ tag: 'script', attrs, injectTo: 'head-prepend' }];
    },
  },
};

/** Cloudflare's file of header fields lies where all files begin. */
const headerFields: Plugin = {
  name: 'header-fields',
  writeBundle: () => copyFileSync(`${import.meta.dirname}/_headers`, `${import.meta.dirname}/../dist/web/_headers`),
};

const TARGET = ['chrome119', 'firefox121', 'safari17.4'];

/** What the edge puts into web UIs is one classic script with the client in it: it must run before any other of theirs. */
const uiScript: Plugin = {
  name: 'ui-script',
  writeBundle: async () => {
    await build({
      entryPoints: [`${import.meta.dirname}/ui/ui.ts`],
      outfile: `${import.meta.dirname}/../dist/web/_direct/ui.js`,
      bundle: true,
      minify: true,
      format: 'iife',
      target: TARGET,
      logLevel: 'warning',
    });
  },
};

/**
 * The pages with hashed assets, and the client library by itself as `/_direct/client.js`, a name that programs may rely
 * on. Everything lies below `/_direct/`: all other addresses are the hosts'.
 */
export default defineConfig({
  root: import.meta.dirname,
  base: '/_direct/',
  publicDir: false,
  plugins: [headFirst, headerFields, uiScript],
  // One policy for every page: what is inlined by the bundler, a strict Content-Security-Policy refuses.
  build: {
    outDir: '../dist/web/_direct',
    emptyOutDir: true,
    target: TARGET,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: {
        head: 'web/page/head.ts',
        page: 'web/page/index.html',
        dashboard: 'web/dashboard/index.html',
        client: 'web/client/index.ts',
      },
      // The entry's exports are its purpose, though nothing here imports them.
      preserveEntrySignatures: 'exports-only',
      output: {
        entryFileNames: ({ name }) => (name === 'client' ? 'client.js' : 'assets/[name]-[hash].js'),
      },
    },
  },
});
