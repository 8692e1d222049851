import { createHash } from 'node:crypto';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { openClientPage, untilPath } from './client-page.ts';
import { testBytes } from './fake-llm.ts';
import { type Office, startOffice } from './office.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

describe.skipIf(withoutChromium)('where WebSockets are blocked', () => {
  let stack: Stack;
  let office: Office;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
    office = await startOffice(stack.edge.url);
    await stack.stopAgent();
    await stack.startAgent({ signalingUrl: `${office.url}/_direct/h/${HOST_ID}` });
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
    office?.close();
  });

  test('the agent polls, and browsers connect directly all the same', async () => {
    expect(stack.log.join('\n')).toContain('link: connected to the edge by HTTPS polling');
    const { page } = await openClientPage(browser, stack);
    await untilPath(page, 'direct');
    expect(await page.evaluate(async () => (await globalThis.client.fetch('/v1/models')).status)).toBe(200);
    await page.context().close();
  });

  test('a browser that has to poll as well connects directly', async () => {
    const { page, console } = await openClientPage(browser, stack, '?webrtc_diag=1', office.url);
    await untilPath(page, 'direct');
    expect(console.join('\n')).toMatch(/poll/i);
    await page.context().close();
  });
});

describe('the tunnel, where the agent can only poll', () => {
  let stack: Stack;
  let office: Office;
  beforeAll(async () => {
    stack = await Stack.start();
    office = await startOffice(stack.edge.url);
    await stack.stopAgent();
    await stack.startAgent({ signalingUrl: `${office.url}/_direct/h/${HOST_ID}` }, { webSocketRetryMs: 500 });
  });
  afterAll(async () => {
    await stack?.close();
    office?.close();
  });

  const ask = (path: string, init: RequestInit = {}) =>
    fetch(stack.edge.url + path, { ...init, headers: { authorization: `Bearer ${OWNER_TOKEN}` } });
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  const requestsOf = (what: string) => office.requests.filter((request) => request === what).length;

  test('serves requests, many at a time', async () => {
    expect(stack.log.join('\n')).toContain('link: connected to the edge by HTTPS polling');
    const paths = Array.from({ length: 50 }, (_, i) => `/v1/test/echo?i=${i}`);
    const urls = await Promise.all(
      paths.map(async (path) => ((await (await ask(path)).json()) as { url: string }).url),
    );
    expect(urls).toEqual(paths);
  });

  test('streams: what the upstream has said is there while it goes on', async () => {
    const abort = new AbortController();
    const response = await ask('/v1/test/trickle?ms=100&n=1000000&type=text/event-stream', { signal: abort.signal });
    let text = '';
    for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += part;
      if (text.split('\n').length > 10) break;
    }
    abort.abort();
    expect(text).toMatch(/^0\n1\n2\n3\n4\n/);
  });

  test('carries megabytes in both directions, compared by hash', async () => {
    const size = 5_000_000;
    const up = testBytes(size);
    const uploaded = await ask('/v1/test/sink', { method: 'POST', body: new Uint8Array(up) });
    expect(await uploaded.json()).toEqual({ bytes: size, sha256: sha256(up) });
    const downloaded = await ask(`/v1/test/bytes?n=${size}`);
    expect(sha256(new Uint8Array(await downloaded.arrayBuffer()))).toBe(sha256(testBytes(size)));
  });

  test('costs nothing but the polls when there is nothing to do', async () => {
    // What the requests before have left to say.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const [polls, posts] = [requestsOf('GET signal'), requestsOf('POST channels')];
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    // A poll is held for 10 s, so that at most one ends meanwhile.
    expect(requestsOf('GET signal') - polls).toBeLessThanOrEqual(1);
    expect(requestsOf('POST channels')).toBe(posts);
  });

  test('goes back to the WebSocket by itself: what was under way fails with a code, what follows works', async () => {
    const thinking = ask('/v1/test/trickle?ms=600000', { method: 'POST', body: '{}' });
    await expect.poll(() => stack.fake.requests.some(({ url }) => url.includes('600000'))).toBe(true);
    const response = await thinking;
    office.webSockets = 'pass';
    await expect.poll(() => stack.log.join('\n')).toContain('link: connected to the edge by WebSocket');
    await expect(response.text()).rejects.toThrow();
    const posts = requestsOf('POST channels');
    const text = await (await ask('/v1/test/trickle?ms=5&n=20')).text();
    expect(text).toBe(Array.from({ length: 20 }, (_, line) => `${line}\n`).join(''));
    expect(requestsOf('POST channels')).toBe(posts);
  });
});
