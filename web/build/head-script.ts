/**
 * Puts the page's first script (page/head-script.ts) into its document. A strict Content-Security-Policy runs no such
 * script but by its hash, which goes with the document: as a header field of the file, in Cloudflare's "_headers". The
 * Worker takes it from there into the policy (workers/page-headers.ts), so that the two cannot differ.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { build, type HtmlTagDescriptor, type InlineConfig, type Plugin, type Rolldown } from 'vite';

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

/** Not the file that the bundler makes for the entry, which only passes on what is in this one. */
function isClient(file: Rolldown.OutputAsset | Rolldown.OutputChunk): boolean {
  return file.type === 'chunk' && file.moduleIds.some((id) => id.endsWith('/web/client/connect.ts'));
}

export function headScript(target: string[]): Plugin {
  return {
    name: 'head-script',
    transformIndexHtml: {
      order: 'post',
      handler: async (html, { path, bundle = {} }) => {
        if (path !== '/page/index.html') return html;
        const children = await scriptText(`${import.meta.dirname}/../page/head-script.ts`, target);
        const client = Object.values(bundle).find(isClient);
        const preload = `<link rel="modulepreload" crossorigin href="/_direct/${client?.fileName}">`;
        const tags: HtmlTagDescriptor[] = [{ tag: 'script', children, injectTo: 'head-prepend' }];
        if (client === undefined) return { html, tags };
        // The largest file, and the one that is waited for: first, on the connection that the document came by.
        const attrs = { rel: 'modulepreload', crossorigin: true, href: `/_direct/${client.fileName}` };
        return {
          html: html.replace(preload, ''),
          tags: [{ tag: 'link', attrs, injectTo: 'head-prepend' }, ...tags],
        };
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
