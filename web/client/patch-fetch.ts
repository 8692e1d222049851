/** Moves a page's own requests to the direct path without changing the page. */
import type { Client } from './connect.ts';
import { belongsToHost, isRequest } from './target.ts';

export interface PatchOptions {
  /** Paths that belong to the host's API, each ending in a slash as a rule. */
  prefixes?: readonly string[];
  /** Whose `fetch` is replaced; `globalThis` unless told otherwise. */
  scope?: { fetch: typeof fetch };
}

/** OpenAI's and Anthropic's API, and Ollama's. */
const DEFAULT_PREFIXES = ['/v1/', '/api/'];

/**
 * Replaces `fetch` for the API paths of the client's origin; every other request goes where it went before.
 * Returns a function that takes the replacement back.
 */
export function patchFetch(
  client: Pick<Client, 'fetch' | 'origin'>,
  { prefixes = DEFAULT_PREFIXES, scope = globalThis }: PatchOptions = {},
): () => void {
  const original = scope.fetch;
  let active = true;

  const wanted = (target: string): boolean => {
    const base = globalThis.document?.baseURI ?? globalThis.location?.href ?? client.origin;
    if (!URL.canParse(target, base)) return false;
    const url = new URL(target, base);
    return belongsToHost(url, client.origin) && prefixes.some((prefix) => url.pathname.startsWith(prefix));
  };

  const patched: typeof fetch = (input, init) => {
    if (!active) return original.call(scope, input, init);
    // Read once: what is decided about must be what is sent.
    const target = isRequest(input) ? input : String(input);
    const url = isRequest(target) ? target.url : target;
    return wanted(url) ? client.fetch(target, init) : original.call(scope, target, init);
  };

  scope.fetch = patched;
  return () => {
    active = false;
    // Somebody may have wrapped the replacement meanwhile; then it stays, and does nothing.
    if (scope.fetch === patched) scope.fetch = original;
  };
}
