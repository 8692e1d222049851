import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { deviceFlow } from '../agent/device-flow.ts';
import { EdgeApi } from '../agent/edge-api.ts';
import { createPairing } from '../agent/pairing.ts';
import { encodeBase64url } from '../shared/base64url.ts';
import { generateHostKeys, hostKeyBytes } from '../shared/host-identity.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

describe.skipIf(withoutChromium)('the account’s pages with a real edge', () => {
  let stack: Stack;
  let browser: Browser;
  let context: BrowserContext;
  beforeAll(async () => {
    [stack, browser] = await Promise.all([Stack.start({ flags: { access: 'paired' } }), launchChromium()]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    context.setDefaultTimeout(20_000);
  });
  afterEach(() => context?.close());

  async function open(url: string): Promise<Page> {
    const page = await context.newPage();
    await page.goto(url);
    return page;
  }

  async function signIn(page: Page): Promise<void> {
    await page.getByTestId('access-token').fill(OWNER_TOKEN);
    await page.getByTestId('access-token').press('Enter');
  }

  test('an agent logs in, the owner approves it, makes a key and an invitation for it, and removes it', async () => {
    const keys = await generateHostKeys();
    const identity = { keys, hostKey: encodeBase64url(await hostKeyBytes(keys)) };
    const shown = Promise.withResolvers<string>();
    const edge = stack.origin;
    const { signal } = new AbortController();
    const login = deviceFlow({
      api: new EdgeApi({ edge, fetch, signal }),
      edge,
      identity,
      hostName: 'studio',
      serves: [{ name: 'Ollama', models: ['llama3.2:3b'] }],
      now: () => performance.now(),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      signal,
      show: ({ link }) => shown.resolve(link),
      trouble: () => {},
    });
    const page = await open(await shown.promise);
    await signIn(page);
    await page.getByText('The same as in the link').waitFor();
    expect(await page.locator('.facts').textContent()).toContain('llama3.2:3b');
    await page.getByTestId('approve').click();
    const chat = await page.getByTestId('open-chat').getAttribute('href');
    const { host_id, token } = await login;
    expect([chat, token.slice(0, 4)]).toEqual([`/_direct/chat#host=${host_id}&key=${identity.hostKey}`, 'dah_']);

    await page.goto(`${edge}/_direct/`);
    await page.getByText('The key that this browser knows').waitFor();
    await page.getByTestId('section-keys').click();
    await page.getByTestId('create-key').click();
    await page.getByTestId('key-name').fill('A program');
    await page.getByRole('button', { name: 'Make key' }).click();
    const key = (await page.getByTestId('new-key').textContent()) ?? '';
    const ask = () =>
      fetch(`${edge}/v1/models`, { headers: { Authorization: `Bearer ${key}`, 'Direct-Host': host_id } });
    // Its agent is not connected; what counts is that the edge knows the key.
    expect((await ask()).status).toBe(503);
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Revoke A program' }).click();
    await page.getByRole('button', { name: 'Revoke key' }).click();
    await expect.poll(() => page.getByTestId('key').count()).toBe(0);
    expect((await ask()).status).toBe(401);

    await page.getByTestId('section-invitations').click();
    await page.getByTestId('create-invitation').click();
    await page.getByTestId('invitation-name').fill('Guest');
    await page.getByLabel('studio').check();
    await page.getByRole('button', { name: 'Make link' }).click();
    const invitation = (await page.getByTestId('invitation-link').textContent()) ?? '';
    await page.getByRole('button', { name: 'Done' }).click();
    const guests = await browser.newContext();
    const guest = await guests.newPage();
    await guest.goto(invitation);
    await guest.getByTestId('accept').click();
    await expect.poll(() => guest.locator('#host').textContent()).toBe('studio');
    await page.getByRole('button', { name: 'Revoke the invitation of Guest' }).click();
    await page.getByRole('button', { name: 'Revoke invitation' }).click();
    await expect.poll(() => page.getByTestId('invitation').count()).toBe(0);
    await guest.reload();
    await guest.getByTestId('sign-in').waitFor();
    await guests.close();

    await page.getByTestId('section-activity').click();
    await expect.poll(() => page.getByTestId('audit').locator('li').count()).toBeGreaterThan(4);
    await page.getByTestId('section-sign-in').click();
    await expect.poll(() => page.getByTestId('session').first().textContent()).toContain('This one');
    await page.getByTestId('section-hosts').click();
    const studio = page.getByTestId('host').filter({ has: page.getByRole('heading', { name: 'studio' }) });
    await studio.getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByRole('button', { name: 'Remove host' }).click();
    await expect.poll(() => studio.count()).toBe(0);
  });

  test('a browser that opens a pairing link is one of the host’s devices, and one that does not is told how', async () => {
    const page = await open(stack.pageUrl);
    await expect.poll(() => page.locator('#status').textContent()).toContain('direct-agent pair');
    expect(await page.getByTestId('send').isDisabled()).toBe(true);
    const { secret } = await createPairing(stack.folder);
    await page.goto(`${stack.origin}/#host=${HOST_ID}&key=${stack.hostKey}&pair=${secret}`);
    await expect.poll(() => page.locator('#status').textContent()).toContain('is paired');
    expect(page.url()).toBe(`${stack.origin}/`);
    await page.reload();
    await expect.poll(() => page.getByTestId('path').textContent()).toContain('direct');
    // A second browser gets nowhere with the link.
    const others = await browser.newContext();
    const other = await others.newPage();
    await other.goto(`${stack.pageUrl}&pair=${secret}`);
    await expect.poll(() => other.locator('#status').textContent()).toContain('pairing link is wrong');
    await others.close();
  });
});
