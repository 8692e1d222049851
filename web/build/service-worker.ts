/** Makes the page installable: manifest, icons, and the service worker with the list of what it keeps. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Plugin, Rolldown } from 'vite';
import type { Build } from '../pwa/shell.ts';
import { scriptText } from './script-text.ts';

const ICONS = [
  { file: 'icon-192.png', sizes: '192x192', purpose: 'any' },
  { file: 'icon-512.png', sizes: '512x512', purpose: 'any' },
  { file: 'maskable-512.png', sizes: '512x512', purpose: 'maskable' },
] as const;
const MANIFEST = 'manifest.webmanifest';
const DOCUMENT = 'page/index.html';

/** `target`: as the build's. */
export function serviceWorker(target: string[]): Plugin {
  let base = '/';
  return {
    name: 'service-worker',
    enforce: 'post',
    configResolved: (config) => {
      base = config.base;
    },
    transformIndexHtml: {
      order: 'post',
      handler: (_html, { path }) => {
        if (path !== `/${DOCUMENT}`) return [];
        // With cookies: something in front of the edge may ask who wants it.
        const attrs = { rel: 'manifest', href: base + MANIFEST, crossorigin: 'use-credentials' };
        return [{ tag: 'link', attrs, injectTo: 'head' }];
      },
    },
    generateBundle: {
      order: 'post',
      async handler(_options, bundle) {
        const icons = ICONS.map(({ file, ...rest }) => {
          const source = readFileSync(`${import.meta.dirname}/../pwa/${file}`);
          const name = this.getFileName(this.emitFile({ type: 'asset', name: file, source }));
          return { src: base + name, type: 'image/png', ...rest };
        });
        this.emitFile({ type: 'asset', fileName: MANIFEST, source: JSON.stringify(manifest(base, icons)) });
        const define = { __BUILD__: JSON.stringify(describe(base, bundle)) };
        const source = await scriptText(`${import.meta.dirname}/../pwa/sw.ts`, { target, define });
        this.emitFile({ type: 'asset', fileName: 'sw.js', source });
      },
    },
  };
}

function manifest(base: string, icons: readonly object[]): object {
  return {
    name: 'direct-agent',
    short_name: 'direct-agent',
    description: 'Your own model, from anywhere',
    id: `${base}chat`,
    start_url: `${base}chat`,
    scope: base,
    display: 'standalone',
    background_color: '#fbfaf8',
    theme_color: '#fbfaf8',
    icons,
  };
}

function describe(base: string, bundle: Rolldown.OutputBundle): Build {
  const document = bundle[DOCUMENT];
  if (document?.type !== 'asset') throw new Error(`the build has no ${DOCUMENT}`);
  const documentHash = createHash('sha256').update(document.source).digest('hex');
  const files = filesOf(bundle, String(document.source)).map((name) => base + name);
  const version = createHash('sha256')
    .update([documentHash, ...files].join())
    .digest('hex')
    .slice(0, 16);
  return { version, document: `${base}chat`, documentHash, files };
}

/** What the document names, and what that names; all names hold hashes, so none is found by chance. */
function filesOf(bundle: Rolldown.OutputBundle, document: string): string[] {
  const found = new Set<string>();
  const look = (text: string) => {
    for (const [name, file] of Object.entries(bundle)) {
      const [short] = name.split('/').slice(-1);
      if (!name.startsWith('assets/') || found.has(name) || short === undefined || !text.includes(short)) continue;
      found.add(name);
      look(file.type === 'chunk' ? file.code : String(file.source));
    }
  };
  look(document);
  return [...found].sort();
}
