/**
 * Puts the page's first script (page/head-script.ts) into its document. A strict Content-Security-Policy runs no such
 * script but by its hash, which goes with the document: as a header field of the file, in Cloudflare's "_headers". The
 * Worker takes it from there into the policy (workers/page-headers.ts), so that the two cannot differ.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Plugin } from 'vite';
import { scriptText } from './script-text.ts';

export function headScript(target: string[]): Plugin {
  return {
    name: 'head-script',
    transformIndexHtml: {
      order: 'post',
      handler: async (_html, { path }) => {
        if (path !== '/page/index.html') return [];
        const children = await scriptText(`${import.meta.dirname}/../page/head-script.ts`, { target });
        return [{ tag: 'script', children, injectTo: 'head-prepend' }];
      },
    },
    writeBundle: ({ dir = '' }) => {
      const document = readFileSync(`${dir}/page/index.html`, 'utf8');
      const [, text = ''] = /<script>(.*?)<\/script>/s.exec(document) ?? [];
      const hash = createHash('sha256').update(text).digest('base64');
      const fields = readFileSync(`${import.meta.dirname}/../_headers`, 'utf8');
      // Where all files begin, a folder above ours.
      writeFileSync(`${dir}/../_headers`, `${fields}/_direct/page/\n  Direct-Script: sha256-${hash}\n`);
    },
  };
}
