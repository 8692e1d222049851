import { describe, expect, test } from 'vitest';
import { type PatchOptions, patchFetch } from './patch-fetch.ts';
import { ORIGIN } from './test-host.ts';

function patched(options: PatchOptions = {}) {
  const toHost: [unknown, unknown][] = [];
  const toPlatform: [unknown, unknown][] = [];
  const original: typeof fetch = async (...args) => {
    toPlatform.push([args[0], args[1]]);
    return new Response('platform');
  };
  const scope = { fetch: original };
  const client = {
    origin: ORIGIN,
    fetch: async (input: unknown, init?: RequestInit) => {
      toHost.push([input, init]);
      return new Response('host');
    },
  };
  const restore = patchFetch(client, { scope, ...options });
  return { scope, toHost, toPlatform, original, restore };
}

/** As a page that stringifies late might pass it. */
function changing(...texts: string[]): URL {
  return { toString: () => texts.shift() ?? 'exhausted' } as unknown as URL;
}

describe('patchFetch', () => {
  test.each<[string, RequestInfo | URL]>([
    ['a path', '/v1/models'],
    ['a path without the first slash', 'v1/models'],
    ['the same with dots', '/x/../v1/models'],
    ['an absolute URL', 'https://edge.example/v1/models'],
    ['the default port', 'https://edge.example:443/v1/models'],
    ['capitals in the host', 'HTTPS://EDGE.EXAMPLE/v1/models'],
    ['a URL', new URL('https://edge.example/v1/models?a#b')],
    ['a Request', new Request('https://edge.example/v1/models')],
    ['white space and line breaks', ' /v1/mod\nels\t'],
    ['Ollama’s API', '/api/chat'],
  ])('%s goes to the host', async (_, input) => {
    const { scope, toPlatform } = patched();
    expect(await (await scope.fetch(input)).text()).toBe('host');
    expect(toPlatform).toEqual([]);
  });

  test.each<[string, RequestInfo | URL]>([
    ['another host', 'https://evil.example/v1/models'],
    ['no scheme', '//evil.example/v1/models'],
    ['backslashes', '\\\\evil.example/v1/models'],
    ['a slash and a backslash', '/\\evil.example/v1/models'],
    ['another port', 'https://edge.example:8443/v1/models'],
    ['http', 'http://edge.example/v1/models'],
    ['user and password that look like our host', 'https://edge.example@evil.example/v1/models'],
    ['our host as a subdomain', 'https://edge.example.evil.example/v1/models'],
    ['our host in the path', 'https://evil.example/https://edge.example/v1/models'],
    ['a blob of our origin', 'blob:https://edge.example/v1/models'],
    ['data', 'data:,/v1/models'],
    ['a path that only begins alike', '/v1models'],
    ['a path that leaves the prefix', '/v1/../admin'],
    ['the same encoded', '/v1/%2e%2e/admin'],
    ['a prefix in the query', '/?/v1/'],
    ['a prefix in the fragment', '/#/v1/'],
    ['another case', '/V1/models'],
    ['the edge’s own addresses', '/_direct/h/home/session'],
    ['an invalid URL', 'https://'],
    ['a Request elsewhere', new Request('https://evil.example/v1/models')],
    ['a URL elsewhere', new URL('https://evil.example/v1/models')],
  ])('%s does not', async (_, input) => {
    const { scope, toHost } = patched();
    expect(await (await scope.fetch(input)).text()).toBe('platform');
    expect(toHost).toEqual([]);
  });

  test('what is decided about is what is sent', async () => {
    const { scope, toHost, toPlatform } = patched();
    await scope.fetch(changing('/v1/models', 'https://evil.example/'));
    await scope.fetch(changing('https://evil.example/', '/v1/models'));
    expect(toHost).toEqual([['/v1/models', undefined]]);
    expect(toPlatform).toEqual([['https://evil.example/', undefined]]);
  });

  test('prefixes can be chosen, and init is passed on', async () => {
    const { scope, toHost } = patched({ prefixes: ['/ui/v1/'] });
    const init = { method: 'POST', body: 'x' };
    await scope.fetch('/ui/v1/chat', init);
    await scope.fetch('/v1/models');
    expect(toHost).toEqual([['/ui/v1/chat', init]]);
  });

  test('restoring gives the original back', async () => {
    const { scope, original, restore } = patched();
    restore();
    expect(scope.fetch).toBe(original);
  });

  test('restoring under somebody’s wrapper keeps the wrapper and ends the detour', async () => {
    const { scope, restore, toHost } = patched();
    const inner = scope.fetch;
    const wrapper: typeof fetch = (input, init) => inner(input, init);
    scope.fetch = wrapper;
    restore();
    expect(scope.fetch).toBe(wrapper);
    expect(await (await scope.fetch('/v1/models')).text()).toBe('platform');
    expect(toHost).toEqual([]);
  });
});
