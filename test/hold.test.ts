/** A reload of the page in the middle of an answer, on every path: the next page reads on, and the model runs once. */
import { createHash, randomBytes } from 'node:crypto';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Client } from '../web/client/index.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { openLibraryPage } from './client-page.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

/** Where the page keeps what it has read, in hexadecimal digits. */
const KEPT = 'kept';

type Way = Extract<Client['path'], 'direct' | 'relay' | 'tunnel'>;

async function loadLibrary(page: Page): Promise<void> {
  await page.addScriptTag({
    type: 'module',
    content: `import * as library from '/_direct/client.js'; globalThis.library = library;`,
  });
  await page.waitForFunction(() => globalThis.library !== undefined);
}

async function connectBy(page: Page, way: Way): Promise<void> {
  await page.evaluate(
    ({ host, token, way }) => {
      globalThis.client = globalThis.library.connect({
        url: location.origin,
        host,
        token,
        webrtc: way === 'direct',
        // Without sockets there is no relay.
        environment: way === 'tunnel' ? { WebSocket: undefined } : {},
      });
    },
    { host: HOST_ID, token: OWNER_TOKEN, way },
  );
  await page.waitForFunction((way) => globalThis.client.path === way, way);
}

/** Asks, and keeps what comes as it comes; resolves when the answer has begun. */
async function ask(page: Page, id: string, model: string): Promise<void> {
  await page.evaluate(
    async ({ id, model, kept }) => {
      sessionStorage.setItem(kept, '');
      const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'go' }] });
      const response = await globalThis.client.fetch(`/v1/chat/completions?${id}`, { method: 'POST', body, hold: id });
      const reader = response.body?.getReader();
      const keep = async () => {
        for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
          const digits = [...part.value].map((byte) => byte.toString(16).padStart(2, '0')).join('');
          sessionStorage.setItem(kept, sessionStorage.getItem(kept) + digits);
        }
      };
      void keep().catch(() => {});
    },
    { id, model, kept: KEPT },
  );
  await page.waitForFunction((kept) => (sessionStorage.getItem(kept) ?? '').length > 4_000, KEPT);
}

/** All of the answer: what the page before has kept, and the rest. */
async function readOn(page: Page, id: string): Promise<{ before: Buffer; rest: Buffer; type: string | null }> {
  const { before, rest, type } = await page.evaluate(
    async ({ id, kept }) => {
      const before = sessionStorage.getItem(kept) ?? '';
      const response = await globalThis.client.resume(id, before.length / 2);
      const bytes = new Uint8Array(await response.arrayBuffer());
      const rest = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
      return { before, rest, type: response.headers.get('content-type') };
    },
    { id, kept: KEPT },
  );
  return { before: Buffer.from(before, 'hex'), rest: Buffer.from(rest, 'hex'), type };
}

const newId = () => randomBytes(18).toString('base64url');

describe.skipIf(withoutChromium)(`a held response (${withoutChromium || 'real'})`, () => {
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });
  const asked = (id: string) => stack.fake.requests.filter(({ url }) => url.includes(id));

  test.each<[Way, Way]>([
    ['direct', 'direct'],
    ['relay', 'relay'],
    ['tunnel', 'tunnel'],
    ['direct', 'tunnel'],
    ['tunnel', 'direct'],
  ])('that was asked for by %s is read on after a reload, by %s', async (first, second) => {
    const { page } = await openLibraryPage(browser, stack);
    await connectBy(page, first);
    const id = newId();
    await ask(page, id, 'tokens-400-at-100');
    expect(asked(id)[0]?.sentSha256).toBeUndefined();
    await page.reload();
    await loadLibrary(page);
    await connectBy(page, second);
    const { before, rest, type } = await readOn(page, id);
    expect(before.length).toBeGreaterThan(2_000);
    expect(type).toContain('text/event-stream');
    const sha256 = createHash('sha256').update(before).update(rest).digest('hex');
    expect(asked(id).map(({ sentSha256 }) => sentSha256)).toEqual([sha256]);
    // It is over now, and still there for a page that is reloaded once more.
    await page.reload();
    await loadLibrary(page);
    await connectBy(page, first);
    const again = await readOn(page, id);
    expect(again.rest.equals(rest)).toBe(true);
    await page.context().close();
  });

  test.each<Way>(['direct', 'tunnel'])('by %s goes on after an abort, and ends when it is released', async (way) => {
    const { page } = await openLibraryPage(browser, stack);
    await connectBy(page, way);
    const id = newId();
    const outcome = await page.evaluate(async (id) => {
      const abort = new AbortController();
      const body = JSON.stringify({ model: 'tokens-100000-at-50', stream: true, messages: [] });
      const init = { method: 'POST', body, hold: id, signal: abort.signal };
      const response = await globalThis.client.fetch(`/v1/chat/completions?${id}`, init);
      abort.abort();
      const aborted = await response.text().catch((error: Error) => error.name);
      const resumed = await globalThis.client.resume(id, 0);
      const first = await resumed.body?.getReader().read();
      await globalThis.client.release(id);
      const after = await globalThis.client.resume(id, 0);
      const { error } = (await after.json()) as { error: { code: string } };
      return { aborted, isRead: (first?.value?.length ?? 0) > 0, status: after.status, code: error.code };
    }, id);
    expect(outcome).toEqual({ aborted: 'AbortError', isRead: true, status: 404, code: 'E_NOT_FOUND' });
    await expect.poll(() => asked(id).map(({ aborted }) => aborted)).toEqual([true]);
    await page.context().close();
  });
});
