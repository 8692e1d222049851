/** The local servers and which of them answers a path. */
import type { LocalServer, ServerKind } from './discovery.ts';

/** Paths that only one kind of server has; everything else is OpenAI's and goes to the first server. */
const OWN_PATHS: readonly [pattern: RegExp, kind: ServerKind][] = [
  [/^\/api\/(?:v0|v1\/(?:models|chat))(?:\/|$)/, 'lmstudio'],
  [/^\/api\/(?:v1|extra|latest)\//, 'koboldcpp'],
  [/^\/api\//, 'ollama'],
];

/** After a search that found nothing, requests do not start another one for this long. */
const SEARCH_PAUSE_MS = 2_000;

export class Upstreams {
  #servers: readonly LocalServer[];
  readonly #search: () => Promise<readonly LocalServer[]>;
  readonly #found: () => void;
  #searching: Promise<void> | undefined;
  #searchedAt = Number.NEGATIVE_INFINITY;

  /** `found` is called when a search has brought servers. */
  constructor(
    servers: readonly LocalServer[],
    search: () => Promise<readonly LocalServer[]>,
    found: () => void = () => {},
  ) {
    this.#servers = servers;
    this.#search = search;
    this.#found = found;
  }

  get servers(): readonly LocalServer[] {
    return this.#servers;
  }

  /** Base URL for `path`. While there is no server, a request looks for one that was started meanwhile. */
  async choose(path: string): Promise<string | undefined> {
    if (this.#servers.length === 0) await this.#searchAgain();
    const kind = OWN_PATHS.find(([pattern]) => pattern.test(path))?.[1];
    return (this.#servers.find((server) => server.kind === kind) ?? this.#servers[0])?.url;
  }

  async #searchAgain(): Promise<void> {
    if (performance.now() - this.#searchedAt < SEARCH_PAUSE_MS) return;
    this.#searching ??= this.#search()
      .then((servers) => {
        this.#servers = servers;
        if (servers.length > 0) this.#found();
      })
      .finally(() => {
        this.#searchedAt = performance.now();
        this.#searching = undefined;
      });
    await this.#searching;
  }
}
