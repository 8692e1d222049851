/** A page with the Markdown component and nothing else: no policy of the edge protects it. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename } from 'node:path';
import { build } from 'esbuild';
import type { MarkdownProps } from '../web/markdown/markdown.tsx';

declare global {
  /** Shows an answer in a place, or in a new one; resolves with it when the renderer is there and has shown it. */
  var show: (props: MarkdownProps, place?: Element) => Promise<Element>;
  /** The sanitiser alone. */
  var sanitise: (html: string) => DocumentFragment;
  /** The parser alone, as it comes: what it returns is not safe. */
  var parse: (markdown: string) => string;
}

const SOURCE = `
  import { marked } from 'marked';
  import { h, render } from 'preact';
  import { Markdown } from '../web/markdown/markdown.tsx';
  import { sanitise } from '../web/markdown/sanitise.ts';
  globalThis.sanitise = sanitise;
  globalThis.parse = (markdown) => marked.parse(markdown);
  globalThis.show = async (props, place = document.querySelector('main').appendChild(document.createElement('section'))) => {
    render(h(Markdown, props), place);
    while (place.querySelector('.plain') !== null) await new Promise((resolve) => setTimeout(resolve, 1));
    return place;
  };
`;

export interface MarkdownPage {
  readonly url: string;
  close(): void;
}

/** `headers`: those of the page; none otherwise. */
export async function startMarkdownPage(headers: Readonly<Record<string, string>> = {}): Promise<MarkdownPage> {
  const { outputFiles } = await build({
    stdin: { contents: SOURCE, resolveDir: import.meta.dirname, loader: 'tsx', sourcefile: 'page.tsx' },
    bundle: true,
    splitting: true,
    write: false,
    minify: true,
    format: 'esm',
    outdir: '/',
    target: 'es2024',
    jsx: 'automatic',
    jsxImportSource: 'preact',
  });
  const files = new Map(outputFiles.map(({ path, text }) => [`/${basename(path)}`, text]));
  const [entry] = [...files.keys()].filter((name) => name.includes('stdin'));
  const look = ['look/base.css', 'markdown/markdown.css'].map((file) =>
    readFileSync(`${import.meta.dirname}/../web/${file}`, 'utf8'),
  );
  files.set('/style.css', look.join('\n'));
  files.set(
    '/',
    `<!doctype html><html lang="en"><title>Answers</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css">
    <script type="module" src="${entry}"></script><main><h1>Answers</h1></main></html>`,
  );
  const server = createServer((request, response) => {
    const file = files.get(request.url ?? '');
    const type = { '.js': 'text/javascript', '.css': 'text/css' }[/\.\w+$/.exec(request.url ?? '')?.[0] ?? ''];
    response.writeHead(file === undefined ? 404 : 200, { 'Content-Type': type ?? 'text/html', ...headers });
    response.end(file);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
