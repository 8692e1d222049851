import { defineConfig } from 'vite';

/** The page with hashed assets, and the client library by itself as `/client.js`, a name that programs may rely on. */
export default defineConfig({
  root: import.meta.dirname,
  // One policy for every page: what is inlined by the bundler, a strict Content-Security-Policy refuses.
  build: {
    outDir: '../dist/web',
    emptyOutDir: true,
    target: ['chrome119', 'firefox121', 'safari17.4'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { page: 'web/index.html', dashboard: 'web/dashboard/index.html', client: 'web/client/index.ts' },
      // The entry's exports are its purpose, though nothing here imports them.
      preserveEntrySignatures: 'exports-only',
      output: {
        entryFileNames: ({ name }) => (name === 'client' ? 'client.js' : 'assets/[name]-[hash].js'),
      },
    },
  },
});
