/**
 * The script that is put into web UIs, in Chromium: everything that a page asks for goes by the session, and looks as it
 * does with the platform’s own classes, which a frame in the same page still has.
 */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { addModule } from './client-page.ts';
import { logIn, serveWebUi } from './log-in.ts';
import { OWNER_TOKEN, Stack } from './stack.ts';
import type * as behaviours from './ui-behaviours.ts';
import { BEHAVIOURS, type Scope } from './ui-behaviours.ts';

declare global {
  // Set in the page by `addModule`.
  var uiTable: typeof behaviours;
}

describe.skipIf(withoutChromium)(`the script of web UIs in Chromium (${withoutChromium || 'real'})`, () => {
  let stack: Stack;
  let browser: Browser;
  let page: Page;
  let host = '';
  /** Addresses that the page asked for by the browser's own means. */
  const https: string[] = [];

  async function openUi(script: Record<string, string>, query = '', prepare = () => {}): Promise<Page> {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.on('request', (request) => https.push(request.url()));
    page.on('websocket', (socket) => https.push(socket.url()));
    await page.goto(`${stack.origin}/_direct/client.js${query}`);
    await page.evaluate(prepare);
    await page.evaluate(
      async ({ token, script }) => {
        const headers = { 'content-type': 'application/json' };
        await fetch('/_direct/api/sign-in', { method: 'POST', headers, body: JSON.stringify({ token }) });
        await new Promise((resolve, reject) => {
          const element = document.createElement('script');
          Object.assign(element.dataset, script);
          Object.assign(element, { src: '/_direct/ui.js', onload: resolve, onerror: reject });
          document.head.append(element);
        });
      },
      { token: OWNER_TOKEN, script },
    );
    return page;
  }

  /** Until a request really goes by the session. */
  const untilMoved = (page: Page) =>
    vi.waitFor(
      async () => {
        const path = `/v1/test/say?text=moved-${Math.random()}`;
        await page.evaluate((path) => fetch(path).then((response) => response.text()), path);
        expect(https.some((url) => url.endsWith(path))).toBe(false);
      },
      { timeout: 30_000 },
    );

  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
    const login = await logIn(stack);
    host = login.host;
    await serveWebUi(stack, login, { webUi: stack.fake.url });
    page = await openUi({ host, httpsPaths: '["/v1/test/status/"]' });
    await addModule(page, 'uiTable', `export * from './ui-behaviours.ts';`);
    await untilMoved(page);
    await page.evaluate(() => document.body.append(document.createElement('iframe')));
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });

  const runIn = (scope: 'window' | 'frame', name: string): Promise<unknown> =>
    page.evaluate(
      ({ scope, name }) => {
        const known = globalThis.uiTable.BEHAVIOURS.find((behaviour) => behaviour.name === name);
        const where = scope === 'window' ? window : window.frames[0];
        const at = (route: string, query = {}) =>
          `${location.origin}/v1/test/${route}?${new URLSearchParams({ ...query, by: scope })}`;
        return known?.run(where as unknown as Scope, at);
      },
      { scope, name },
    );

  test.each(BEHAVIOURS.map(({ name }) => name))('%s', async (name) => {
    https.length = 0;
    const own = await runIn('frame', name);
    const moved = await runIn('window', name);
    expect(moved).toEqual(own);
    // What is synchronous cannot wait for a session.
    const direct = https.filter((url) => url.includes('by=window'));
    expect(direct.length).toBe(name.endsWith('synchronous') ? 1 : 0);
  });

  /** What the upstream saw of a request. */
  const echoed = (response: Promise<string>) =>
    response.then((text) => new Map((JSON.parse(text) as { headers: [string, string][] }).headers));
  const fetchText = (page: Page, path: string, init: Omit<RequestInit, 'body'> = {}) =>
    page.evaluate(({ path, init }) => fetch(path, init).then((response) => response.text()), { path, init });
  /** Of an XMLHttpRequest that the page makes. */
  const xhrText = (page: Page, path: string, fields: Record<string, string> = {}) =>
    page.evaluate(
      ({ path, fields }) =>
        new Promise<string>((resolve) => {
          const xhr = new XMLHttpRequest();
          xhr.open('GET', path);
          for (const [name, value] of Object.entries(fields)) xhr.setRequestHeader(name, value);
          xhr.onloadend = () => resolve(xhr.responseText);
          xhr.send();
        }),
      { path, fields },
    );
  const wentByHttps = (path: string) => https.some((url) => url.endsWith(path));

  test('a response that breaks off is an error after what has come', async () => {
    const events = await page.evaluate(
      () =>
        new Promise((resolve) => {
          const xhr = new XMLHttpRequest();
          const events: unknown[] = [];
          xhr.onprogress = () => events.push(xhr.responseText);
          xhr.onreadystatechange = () => events.push(xhr.readyState);
          xhr.onerror = () => events.push('error', xhr.status, xhr.responseText);
          xhr.onloadend = () => resolve(events);
          xhr.open('GET', '/v1/test/say?text=half&breaks=1');
          xhr.send();
        }),
    );
    expect(events).toEqual([1, 2, 3, 'half', 4, 'error', 0, '']);
  });

  test('an upload that is read slowly tells how far it is', async () => {
    const loaded = await page.evaluate(
      () =>
        new Promise<number[]>((resolve) => {
          const xhr = new XMLHttpRequest();
          const loaded: number[] = [];
          xhr.upload.onprogress = (event) => loaded.push(event.loaded);
          xhr.onloadend = () => resolve(loaded);
          xhr.open('POST', '/v1/test/sink?ms=20');
          xhr.send(new Uint8Array(8_000_000));
        }),
    );
    expect(loaded.length).toBeGreaterThan(2);
    expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
    expect(loaded.at(-1)).toBe(8_000_000);
  });

  test('cookies that scripts may see are kept by the page, and sent from there', async () => {
    const set = (line: string) => `/v1/test/say?${new URLSearchParams({ field: `Set-Cookie: ${line}` })}`;
    await fetchText(page, set('theme=dark; SameSite=Lax; Path=/'));
    await xhrText(page, set('deep=1'));
    await fetchText(page, set('secret=1; HttpOnly; Path=/'));
    await fetchText(page, set('omitted=1; Path=/'), { credentials: 'omit' });
    // What is HttpOnly stays with the host, which adds it.
    expect(await page.evaluate(() => document.cookie)).toBe('theme=dark');
    expect((await echoed(fetchText(page, '/v1/test/echo'))).get('cookie')).toBe('secret=1; theme=dark');
    expect((await echoed(xhrText(page, '/v1/test/echo'))).get('cookie')).toBe('secret=1; theme=dark');
    expect((await echoed(fetchText(page, '/v1/test/echo', { credentials: 'omit' }))).has('cookie')).toBe(false);
    // As the path of the one that names none: it is for the folder of the address that set it.
    const cookies = await page.context().cookies(`${stack.origin}/v1/test/x`);
    expect(cookies.find(({ name }) => name === 'deep')?.path).toBe('/v1/test');
  });

  test('the UI’s own Authorization reaches it by each way', async () => {
    const headers = { authorization: 'Bearer of the UI' };
    for (const path of ['/v1/test/echo']) {
      expect((await echoed(fetchText(page, path, { headers }))).get('authorization')).toBe('Bearer of the UI');
      expect((await echoed(xhrText(page, path, headers))).get('authorization')).toBe('Bearer of the UI');
    }
  });

  test('the edge’s own addresses and HTTPS paths stay with the browser', async () => {
    for (const path of ['/_direct/client.js?stays', '/v1/test/status/201?stays']) {
      await fetchText(page, path);
      expect(wentByHttps(path)).toBe(true);
      https.length = 0;
      await xhrText(page, path);
      expect(wentByHttps(path)).toBe(true);
    }
  });

  test('without a session everything goes through the edge, XMLHttpRequests by the browser’s own', async () => {
    const page = await openUi({ host }, '?no_webrtc=1', () => {
      globalThis.WebSocket = class extends WebSocket {
        constructor(url: string | URL, protocols?: string | string[]) {
          super(/\/(?:relay|signal)\?/.test(String(url)) ? 'ws://localhost:1' : url, protocols);
        }
      };
    });
    const headers = { authorization: 'Bearer of the UI' };
    await vi.waitFor(
      async () => {
        const path = `/v1/test/echo?tunnel-${Math.random()}`;
        expect((await echoed(fetchText(page, path, { headers }))).get('authorization')).toBe('Bearer of the UI');
        expect(wentByHttps(path)).toBe(true);
      },
      { timeout: 30_000 },
    );
    const path = '/v1/test/echo?tunnel-xhr';
    expect((await echoed(xhrText(page, path, headers))).get('authorization')).toBe('Bearer of the UI');
    expect(wentByHttps(path)).toBe(true);
    const socket = '/v1/test/socket?tunnel';
    const answer = await page.evaluate(
      (path) =>
        new Promise((resolve) => {
          const socket = new WebSocket(path);
          socket.onopen = () => socket.send('through the edge');
          socket.onmessage = ({ data }) => resolve(data);
        }),
      socket,
    );
    expect(answer).toBe('through the edge');
    expect(wentByHttps(`${encodeURIComponent(socket)}&service=web_ui`)).toBe(true);
    await page.context().close();
  });

  test.each([
    ['no host', () => ({})],
    ['HTTPS paths that are no list', () => ({ host, httpsPaths: '{' })],
    ['a host that is none', () => ({ host: '' })],
  ])('with %s the page goes on natively', async (_, script: () => Record<string, string>) => {
    const page = await openUi(script());
    const isNative = await page.evaluate(() => {
      const frame = document.body.appendChild(document.createElement('iframe'))
        .contentWindow as unknown as typeof globalThis;
      const names = (scope: typeof globalThis) =>
        Object.getOwnPropertyDescriptor(scope.XMLHttpRequest.prototype, 'send')?.value.toString();
      return names(globalThis) === names(frame);
    });
    expect(isNative).toBe(true);
    expect(await fetchText(page, '/v1/test/say?text=native')).toBe('native');
    expect(wentByHttps('/v1/test/say?text=native')).toBe(true);
    await page.context().close();
  });
});
