import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fingerprint } from '../shared/fingerprint.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { OWNER_TOKEN, Stack } from './stack.ts';

describe.skipIf(withoutChromium)('the chat page in Chromium', () => {
  let stack: Stack;
  let browser: Browser;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start(), launchChromium()]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });

  async function open(url: string): Promise<Page> {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(url);
    return page;
  }

  test('opening the URL chats over the direct path, streaming', async () => {
    const page = await open(stack.pageUrl);
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('⚡ direct');
    await page.getByTestId('model').selectOption('fake');
    await page.getByTestId('prompt').fill('hello home');
    await page.getByTestId('prompt').press('Enter');
    await expect
      .poll(() => page.getByTestId('message-assistant').last().textContent())
      .toContain('This is the fake answer to: hello home');
    expect(await page.getByTestId('message-user').last().textContent()).toContain('hello home');
    expect(stack.log.join('\n')).toContain('proxy: POST /v1/chat/completions 200');
    await page.context().close();
  });

  test('a message that was sent before the models were known goes out when they are', async () => {
    const page = await open(stack.pageUrl);
    await page.getByTestId('prompt').fill('too early');
    await page.getByTestId('prompt').press('Enter');
    await expect.poll(() => page.getByTestId('message-assistant').last().textContent()).toContain('to: too early');
    expect(await page.getByTestId('message-user').count()).toBe(1);
    await page.context().close();
  });

  test('the token leaves the address bar and survives a reload', async () => {
    const page = await open(stack.pageUrl);
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    expect(page.url()).not.toContain(OWNER_TOKEN);
    await page.reload();
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    await page.context().close();
  });

  test('stop ends the reply and the upstream’s work', async () => {
    const page = await open(stack.pageUrl);
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    await page.getByTestId('model').selectOption('slow-first-byte');
    await page.getByTestId('prompt').fill('take your time');
    await page.getByTestId('send').click();
    await expect.poll(() => stack.fake.requests.at(-1)?.url).toBe('/v1/chat/completions');
    await page.getByTestId('stop').click();
    await expect.poll(() => stack.fake.requests.at(-1)?.aborted).toBe(true);
    await expect.poll(() => page.getByTestId('send').isVisible()).toBe(true);
    await page.context().close();
  });

  test('errors of the model are shown in words, and the chat goes on', async () => {
    const page = await open(stack.pageUrl);
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    for (const [model, words] of [
      ['error-429', 'Rate limit'],
      ['error-mid-stream', 'had an error'],
      ['abort-mid-stream', 'broke off'],
    ] as const) {
      await page.getByTestId('model').selectOption(model);
      await page.getByTestId('prompt').fill(`try ${model}`);
      await page.getByTestId('send').click();
      await expect.poll(() => page.locator('body').textContent()).toContain(words);
    }
    await page.context().close();
  });

  test('a wrong token is explained, and the right one works from the form', async () => {
    const page = await open(stack.pageUrl.replace(OWNER_TOKEN, 'wrong'));
    await expect.poll(() => page.locator('body').textContent()).toContain('token');
    expect(await page.getByTestId('path').count()).toBeLessThanOrEqual(1);
    await expect.poll(() => page.locator('input[type=password]').count()).toBe(1);
    await page.locator('input[type=password]').fill(OWNER_TOKEN);
    await page.locator('input[type=password]').press('Enter');
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    await page.context().close();
  });

  test('the page and its files come with the header fields that protect them', async () => {
    const html = await (await fetch(stack.edge.url)).text();
    const script = /src="(\/_direct\/assets\/[^"]+\.js)"/.exec(html)?.[1] ?? 'none';
    for (const path of ['/', '/_direct/chat', '/_direct/client.js', script]) {
      const { status, headers } = await fetch(stack.edge.url + path);
      expect([path, status, headers.get('x-content-type-options'), headers.get('referrer-policy')]).toEqual([
        path,
        200,
        'nosniff',
        'no-referrer',
      ]);
    }
    expect((await fetch(stack.edge.url + script)).headers.get('cache-control')).toContain('immutable');
  });

  test('without a link the page asks for what it needs', async () => {
    const page = await open(`${stack.edge.url.replace('127.0.0.1', 'localhost')}/`);
    await expect.poll(() => page.locator('input[type=password]').count()).toBe(1);
    await page.context().close();
  });

  test('a host that this browser meets without a link is used once a person has compared its fingerprint', async () => {
    const page = await open(stack.pageUrl.replace(/&key=[^&]*/, ''));
    const question = page.getByTestId('confirm-host-key');
    await expect.poll(() => question.textContent()).toContain(await fingerprint(stack.hostKey));
    expect(await page.getByTestId('path').textContent()).not.toContain('direct');
    await question.getByRole('button', { name: 'It differs' }).click();
    await expect.poll(() => page.locator('#status').textContent()).toContain('nothing was sent to it');
    await page.getByRole('button', { name: 'Compare again' }).click();
    await question.getByRole('button', { name: 'It is the same' }).click();
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    // Once for all.
    await page.reload();
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    await page.context().close();
  });

  test('a host with another key than the pinned one is not used, and the page says why', async () => {
    const page = await open(stack.pageUrl.replace(stack.hostKey, `${'x'.repeat(42)}A`));
    await expect.poll(() => page.getByTestId('key-changed').textContent()).toContain('Nothing was sent to it');
    expect(await page.getByTestId('use-new-key').count()).toBe(0);
    await page.context().close();
  });

  test('a model that answers with HTML runs nothing', async () => {
    const page = await open(stack.pageUrl);
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    await page.getByTestId('model').selectOption('fake');
    await page.getByTestId('prompt').fill('<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>');
    await page.getByTestId('send').click();
    await expect.poll(() => page.getByTestId('message-assistant').last().textContent()).toContain('<script>');
    expect(await page.evaluate(() => 'hacked' in window)).toBe(false);
    await page.context().close();
  });

  test('an agent that goes away and comes back is used again without a reload', async () => {
    const page = await open(stack.pageUrl);
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    await stack.stopAgent();
    await expect.poll(() => page.getByTestId('path').textContent()).not.toContain('direct');
    await stack.startAgent();
    await expect.poll(() => page.getByTestId('path').textContent(), { timeout: 30_000 }).toContain('direct');
    await page.getByTestId('model').selectOption('fake');
    await page.getByTestId('prompt').fill('again');
    await page.getByTestId('send').click();
    await expect.poll(() => page.getByTestId('message-assistant').last().textContent()).toContain('to: again');
    await page.context().close();
  });
});
