/** Which addresses of a web UI's page are moved to the session. */
import { isBelow } from '../../shared/web-ui.ts';
import { belongsToHost } from '../client/target.ts';

export class Reach {
  readonly #origin: string;
  readonly #httpsPaths: readonly string[];
  readonly #baseUrl: () => string;

  /** `httpsPaths`: they and what is below them stay on plain HTTPS. `baseUrl`: what relative addresses refer to. */
  constructor(origin: string, httpsPaths: readonly string[], baseUrl: () => string) {
    this.#origin = origin;
    this.#httpsPaths = httpsPaths;
    this.#baseUrl = baseUrl;
  }

  /** True when a request to `url` is moved. WebSockets' schemes count as those of requests. */
  moves(url: string): boolean {
    const parsed = this.#parse(url);
    if (parsed === undefined || !belongsToHost(parsed, this.#origin)) return false;
    return !isBelow(parsed.pathname, this.#httpsPaths);
  }

  /** True when the host serves `url`, by whichever way. */
  belongs(url: string): boolean {
    const parsed = this.#parse(url);
    return parsed !== undefined && belongsToHost(parsed, this.#origin);
  }

  #parse(text: string): URL | undefined {
    const url = URL.parse(text, this.#baseUrl());
    return url === null ? undefined : new URL(url.href.replace(/^ws/, 'http'));
  }
}

/** The list in the script's attribute. @throws SyntaxError, TypeError when it is none. */
export function parseHttpsPaths(json: string | undefined): string[] {
  const list: unknown = JSON.parse(json ?? '[]');
  if (!Array.isArray(list)) throw new TypeError('the HTTPS paths are no list');
  return list.filter((path) => typeof path === 'string');
}
