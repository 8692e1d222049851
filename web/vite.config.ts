import { defineConfig } from 'vite';
import { beside } from './build/beside.ts';
import { headScript } from './build/head-script.ts';
import { preloads } from './build/preloads.ts';
import { serviceWorker } from './build/service-worker.ts';
import { uiScript } from './build/ui-script.ts';

const TARGET = ['chrome119', 'firefox121', 'safari17.4'];

/**
 * The pages with hashed assets, and the client library by itself as `/_direct/client.js`, a name that programs may rely
 * on. Everything lies below `/_direct/`: all other addresses are the hosts'.
 */
export default defineConfig({
  root: import.meta.dirname,
  base: '/_direct/',
  publicDir: false,
  plugins: [
    headScript(TARGET),
    preloads(),
    uiScript(TARGET),
    serviceWorker(TARGET),
    beside({ dashboard: `${import.meta.dirname}/dashboard/index.html` }),
  ],
  // One policy for every page: what is inlined by the bundler, a strict Content-Security-Policy refuses.
  build: {
    outDir: '../dist/web/_direct',
    emptyOutDir: true,
    target: TARGET,
    assetsInlineLimit: 0,
    modulePreload: false,
    rolldownOptions: {
      input: {
        page: 'web/page/index.html',
        client: 'web/client/index.ts',
      },
      // The entry's exports are its purpose, though nothing here imports them.
      preserveEntrySignatures: 'exports-only',
      output: {
        // With all that it imports, also where what comes later imports it too: one file, which compresses best.
        codeSplitting: { groups: [{ name: 'client', test: /\/web\/client\/index\.ts$/ }] },
        entryFileNames: ({ name }) => (name === 'client' ? 'client.js' : 'assets/[name]-[hash].js'),
      },
    },
  },
});
