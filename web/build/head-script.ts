/**
 * Puts the page's first script (page/head-script.ts) into its document. A strict Content-Security-Policy runs no such
 * script but by its hash, which goes with the document: as a header field of the file, in Cloudflare's "_headers". The
 * Worker takes it from there into the policy (workers/page-headers.ts), so that the two cannot differ.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { build, type InlineConfig, type Plugin } from 'vite';

/** `target`: as the build's. */
export async function scriptText(input: string, target: string[]): Promise<string> {
  const options = {
    write: false,
    target,
    modulePreload: false,
    rolldownOptions: { input, output: { format: 'iife' } },
  };
  const built = await build({ configFile: false, logLevel: 'warn', build: options } as InlineConfig);
  const files = [built].flat().flatMap((result) => ('output' in result ? result.output : []));
  const [chunk] = files;
  if (chunk?.type !== 'chunk' || files.length !== 1) throw new Error(`${input} is not one script`);
  return chunk.code.trim();
}

export function headScript(target: string[]): Plugin {
  return {
    name: 'head-script',
    transformIndexHtml: {
      order: 'post',
      handler: async (_html, { path }) => {
        if (path !== '/page/index.html') return [];
        const children = await scriptText(`${import.meta.dirname}/../page/head-script.ts`, target);
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
