/**
 * The chat page without the network: what the service worker keeps of one build, and what it answers with it. It touches
 * the page's document and that build's files, and nothing else: what an API, a host or the dashboard says is never kept.
 */

/** Written by web/build/service-worker.ts. */
export interface Build {
  /** Of all below; another build has another one. */
  version: string;
  /** The page's address. */
  document: string;
  /** Hex SHA-256 of the document: files of one build and the document of another do not go together. */
  documentHash: string;
  /** Paths of what the page may load. Their names hold hashes. */
  files: readonly string[];
}

export interface ShellPlatform {
  caches: CacheStorage;
  fetch(path: string, options: RequestInit): Promise<Response>;
  origin: string;
}

const PREFIX = 'direct-agent-page-';

/**
 * - `same`: the build is the newest.
 * - `newer`: the edge has another one, which the browser installs by itself.
 * - `moved`: the edge sends people elsewhere first, as Cloudflare Access does to sign in.
 * - `gone`: the edge has no service worker any more.
 * - `unknown`: it cannot be reached, or does not say.
 */
export type Freshness = 'same' | 'newer' | 'moved' | 'gone' | 'unknown';

export class Shell {
  readonly #build: Build;
  readonly #platform: ShellPlatform;
  readonly #name: string;
  readonly #files: ReadonlySet<string>;

  constructor(build: Build, platform: ShellPlatform) {
    this.#build = build;
    this.#platform = platform;
    this.#name = PREFIX + build.version;
    this.#files = new Set(build.files);
  }

  /** Keeps everything of this build. @throws Error when the edge has another one, or not all of it. */
  async install(): Promise<void> {
    const { document, files } = this.#build;
    const cache = await this.#platform.caches.open(this.#name);
    const get = async (path: string) => {
      const response = await this.#platform.fetch(path, { redirect: 'error' });
      if (!response.ok) throw new Error(`${path}: ${response.status}`);
      await cache.put(path, response);
    };
    const page = await this.#platform.fetch(document, { cache: 'no-cache', redirect: 'error' });
    if (!(await this.#isOurs(page.clone()))) throw new Error('the document is of another build');
    await Promise.all([cache.put(document, page), ...files.map(get)]);
  }

  /** Undefined: not ours to answer. */
  answer({ method, mode, url }: Pick<Request, 'method' | 'mode' | 'url'>): Promise<Response> | undefined {
    const { origin, pathname } = new URL(url);
    if (method !== 'GET' || origin !== this.#platform.origin) return undefined;
    if (mode === 'navigate') return pathname === this.#build.document ? this.#document(url) : undefined;
    return this.#files.has(pathname) ? this.#file(pathname) : undefined;
  }

  /** A file of the build before, for a page that was open when this one came: the edge has it no more. */
  async fileOfBefore({ method, url }: Pick<Request, 'method' | 'url'>): Promise<Response | undefined> {
    const { origin, pathname } = new URL(url);
    // Never its document, which goes with its own files only.
    if (method !== 'GET' || origin !== this.#platform.origin || pathname === this.#build.document) return undefined;
    for (const cacheName of await this.#others()) {
      const kept = await this.#platform.caches.match(pathname, { cacheName });
      if (kept !== undefined) return kept;
    }
    return undefined;
  }

  /** Whether `answer` would answer it with the document. */
  isDocument({ mode, url }: Pick<Request, 'mode' | 'url'>): boolean {
    return mode === 'navigate' && new URL(url).pathname === this.#build.document;
  }

  /** Asks the edge, after the page was answered from here; renews the document's header fields. */
  async revalidate(): Promise<Freshness> {
    const { document } = this.#build;
    try {
      const worker = await this.#platform.fetch('/_direct/sw.js', { method: 'HEAD', cache: 'no-store' });
      if (worker.status === 404 || worker.status === 410) return 'gone';
      const response = await this.#platform.fetch(document, { cache: 'no-cache', redirect: 'manual' });
      if (response.type === 'opaqueredirect') {
        await this.#forget(document);
        return 'moved';
      }
      if (!response.ok) return 'unknown';
      if (!(await this.#isOurs(response.clone()))) return 'newer';
      const cache = await this.#platform.caches.open(this.#name);
      await cache.put(document, response);
      return 'same';
    } catch {
      return 'unknown';
    }
  }

  /** Deletes what other builds have left. */
  async tidy(): Promise<void> {
    await this.#delete(await this.#others());
  }

  /** Deletes everything. */
  async clear(): Promise<void> {
    await this.#delete([...(await this.#others()), this.#name]);
  }

  async #document(url: string): Promise<Response> {
    // Its query is the page's own matter.
    return (await this.#kept(this.#build.document)) ?? (await this.#platform.fetch(url, { redirect: 'manual' }));
  }

  async #file(path: string): Promise<Response> {
    return (await this.#kept(path)) ?? (await this.#platform.fetch(path, {}));
  }

  /** Without making the cache anew, which may just have been deleted. */
  async #kept(path: string): Promise<Response | undefined> {
    return await this.#platform.caches.match(path, { cacheName: this.#name });
  }

  async #forget(path: string): Promise<void> {
    const cache = await this.#platform.caches.open(this.#name);
    await cache.delete(path);
  }

  async #isOurs(response: Response): Promise<boolean> {
    if (!response.ok) return false;
    const digest = await crypto.subtle.digest('SHA-256', await response.arrayBuffer());
    const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    return hex === this.#build.documentHash;
  }

  /** Where other builds keep theirs. */
  async #others(): Promise<string[]> {
    const names = await this.#platform.caches.keys();
    return names.filter((name) => name.startsWith(PREFIX) && name !== this.#name);
  }

  async #delete(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#platform.caches.delete(name)));
  }
}
