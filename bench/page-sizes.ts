/** How much a browser has to load, as it comes over the network: the files of the build, each compressed by itself. */
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';

/** In bytes, at the highest level of each. */
export interface Size {
  gzip: number;
  brotli: number;
  files: number;
}

export interface PageSizes {
  /** The library with all that it takes to connect. */
  client: Size;
  /** What the library loads while it connects, or where the network needs it. */
  clientLater: Size;
  /** What the document asks for: all that a visit takes until something can be sent, on whatever path. */
  start: Size;
  /** What the page loads when it needs it, such as Markdown with the first answer. */
  later: Size;
  styles: Size;
  /** With the first script in it. */
  document: Size;
}

/** gzip, in bytes: 25 kB and 90 kB. */
export const BUDGETS = { client: 25_000, start: 90_000 } as const;

/** Of the build in `folder`, dist/web/_direct. */
export function pageSizes(folder = `${import.meta.dirname}/../dist/web/_direct`): PageSizes {
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  const measure = (names: Iterable<string>) => {
    const total: Size = { gzip: 0, brotli: 0, files: 0 };
    for (const name of names) {
      const bytes = readFileSync(join(folder, name));
      total.gzip += gzipSync(bytes, { level: 9 }).length;
      total.brotli += brotliCompressSync(bytes).length;
      total.files += 1;
    }
    return total;
  };
  /** `names` with what they import, by `import … from` alone or by `import()` too. */
  const closure = (names: readonly string[], isLate: boolean) => {
    const found = new Set<string>();
    const follow = (name: string) => {
      if (found.has(name)) return;
      found.add(name);
      const pattern = isLate
        ? /(?:from|import\(|import)\s*["'`]([^"'`]+\.js)["'`]/g
        : /(?:from|import)\s*["'`]([^"'`]+\.js)["'`]/g;
      for (const [, to = ''] of read(name).matchAll(pattern)) follow(normalize(join(dirname(name), to)));
    };
    for (const name of names) follow(name);
    return found;
  };
  const document = 'page/index.html';
  const named = (pattern: RegExp) => [...read(document).matchAll(pattern)].map(([, name = '']) => name);
  const entries = [
    ...named(/<script type="module"[^>]* src="\/_direct\/([^"]+)"/g),
    ...named(/<link rel="modulepreload"[^>]* href="\/_direct\/([^"]+)"/g),
  ];
  const [client, start] = [closure(['client.js'], false), closure(entries, false)];
  const [allOfClient, all] = [closure(['client.js'], true), closure(entries, true)];
  return {
    client: measure(client),
    clientLater: measure(without(allOfClient, client)),
    start: measure(start),
    later: measure(without(all, start)),
    styles: measure(named(/<link rel="stylesheet"[^>]* href="\/_direct\/([^"]+)"/g)),
    document: measure([document]),
  };
}

function without(names: ReadonlySet<string>, others: ReadonlySet<string>): string[] {
  return [...names].filter((name) => !others.has(name));
}
