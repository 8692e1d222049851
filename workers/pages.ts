/** The edge's own pages: files of the assets, with the header fields that keep a browser from being talked into things. */
import { Hono } from 'hono';
import type { EdgeContext, EdgeEnv } from './caller.ts';
import { PAGE_HEADERS } from './page-headers.ts';
import { rootOfWebUi } from './tunnel-routes.ts';

/** Addresses of pages, and the files that they show. One document is the dashboard, whatever its address. */
const FILES: Readonly<Record<string, string>> = {
  '/': '/_direct/page/',
  '/_direct/chat': '/_direct/page/',
  '/_direct/': '/_direct/dashboard/',
  '/_direct/approve': '/_direct/dashboard/',
  '/_direct/invite': '/_direct/dashboard/',
  '/_direct/ui/enter': '/_direct/dashboard/',
};

export function isPage(path: string): boolean {
  return Object.hasOwn(FILES, path);
}

export const pages = new Hono<EdgeEnv>();

for (const [path, file] of Object.entries(FILES)) {
  if (path !== '/') pages.get(path, (c) => page(c, file));
}
pages.get('/', async (c) => (await rootOfWebUi(c)) ?? page(c, FILES['/'] ?? ''));

async function page(c: EdgeContext, file: string): Promise<Response> {
  const { raw } = c.req;
  // Neither query nor cookie: the file is the same for all.
  const headers = new Headers();
  for (const name of ['Accept', 'Accept-Encoding', 'If-None-Match']) {
    const value = raw.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  const asset = await c.env.ASSETS.fetch(new Request(new URL(file, raw.url), { method: raw.method, headers }));
  const response = new Response(asset.body, asset);
  for (const [name, value] of Object.entries(PAGE_HEADERS)) response.headers.set(name, value);
  return response;
}
