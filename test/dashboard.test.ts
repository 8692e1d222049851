import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ERRORS } from '../shared/errors.ts';
import { addAuthenticator, launchChromium, withoutChromium } from './chromium.ts';
import { fillAccount, HOST_KEYS } from './fake-account.ts';
import { FAKE_INVITATION, FAKE_OWNER_TOKEN, FakeEdge } from './fake-edge.ts';

/** What Chromium says of answers that the tests ask for; everything else in its console is a mistake. */
const EXPECTED_LINES = /the server responded with a status of (4|5)\d\d|WebSocket connection to .* failed/;

describe.skipIf(withoutChromium)('the dashboard in Chromium', () => {
  let browser: Browser;
  let edge: FakeEdge;
  let context: BrowserContext;
  /** Console lines and exceptions, and requests to other origins: there must be none. */
  let complaints: string[];

  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser?.close());
  beforeEach(async () => {
    edge = await FakeEdge.start();
    fillAccount(edge);
    complaints = [];
    context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] });
    context.setDefaultTimeout(20_000);
    context.on('request', (request) => {
      if (new URL(request.url()).origin !== edge.origin) complaints.push(`request to ${request.url()}`);
    });
    context.on('console', (message) => {
      const text = message.text();
      if (['error', 'warning'].includes(message.type()) && !EXPECTED_LINES.test(text)) complaints.push(text);
    });
    context.on('weberror', (error) => complaints.push(error.error().message));
  });
  afterEach(async () => {
    await context.close();
    await edge.close();
    expect(complaints).toEqual([]);
  });

  async function open(path: string, as?: 'owner' | 'guest'): Promise<Page> {
    if (as !== undefined) await context.addCookies([edge.signIn(as)]);
    const page = await context.newPage();
    await page.goto(edge.origin + path);
    return page;
  }

  const pins = (page: Page) =>
    page.evaluate(() => JSON.parse(localStorage.getItem('direct-agent.pins') ?? '{}') as Record<string, string>);
  /** In localStorage before the first page, as an earlier visit left it. */
  const stored = (name: string, value: string) =>
    context.addInitScript(
      (entry) => {
        // Playwright's own empty page has no storage.
        if (location.protocol !== 'http:' || sessionStorage.getItem('stored') !== null) return;
        sessionStorage.setItem('stored', '1');
        localStorage.setItem(entry.name, entry.value);
      },
      { name, value },
    );
  const pinned = (key: string) => stored('direct-agent.pins', JSON.stringify({ home: key }));
  const text = (page: Page, testid: string) => page.getByTestId(testid).first().textContent();

  describe('sign-in', () => {
    test('says what is wrong, and lets the right token in without keeping it', async () => {
      const page = await open('/_direct/');
      await page.getByTestId('access-token').fill('wrong');
      await page.getByTestId('access-connect').click();
      await expect.poll(() => text(page, 'sign-in-error')).toContain('does not know this token');
      await page.getByTestId('access-token').fill(FAKE_OWNER_TOKEN);
      await page.getByTestId('access-token').press('Enter');
      await page.getByTestId('panel-hosts').waitFor();
      const kept = await page.evaluate(() =>
        JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
      );
      expect(kept).not.toContain(FAKE_OWNER_TOKEN);
      expect(page.url()).not.toContain(FAKE_OWNER_TOKEN);
    });

    test('says how long a lock lasts, and asks the edge for nothing meanwhile', async () => {
      edge.lockedFor = 75;
      const page = await open('/_direct/');
      await page.getByTestId('access-token').fill('wrong');
      await page.getByTestId('access-connect').click();
      await expect.poll(() => text(page, 'sign-in-error')).toMatch(/Try again in 1:1\d/);
      expect(await page.getByTestId('access-connect').isDisabled()).toBe(true);
      await page.getByTestId('access-token').press('Enter');
      expect(edge.asked.filter(({ path }) => path === '/sign-in')).toHaveLength(1);
    });

    test('by passkey works after one was added from the hint', async () => {
      edge.passkeys = [];
      const page = await open('/_direct/', 'owner');
      await addAuthenticator(page);
      await page.getByTestId('passkey-hint').getByRole('button', { name: 'Add a passkey' }).click();
      await page.getByTestId('passkey-name').fill('Test device');
      await page.getByRole('button', { name: 'Continue' }).click();
      await expect.poll(() => edge.passkeys.map(({ name }) => name)).toEqual(['Test device']);
      await expect.poll(() => page.getByTestId('passkey-hint').count()).toBe(0);
      await page.getByTestId('menu').click();
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByTestId('use-passkey').click();
      await page.getByTestId('panel-hosts').waitFor();
    });

    test('the hint of a passkey stays away once it was dismissed', async () => {
      edge.passkeys = [];
      const page = await open('/_direct/', 'owner');
      await page.getByRole('button', { name: 'Not now' }).click();
      await page.reload();
      await page.getByTestId('host').first().waitFor();
      expect(await page.getByTestId('passkey-hint').count()).toBe(0);
    });

    test('says that there is no TURN server, or that a provider fails, and nothing where all is well', async () => {
      const page = await open('/_direct/', 'owner');
      await page.getByTestId('host').first().waitFor();
      expect(await page.getByTestId('turn-note').isVisible()).toBe(false);

      edge.ice = { source: 'default', turn: false, providers: [] };
      await page.reload();
      await expect.poll(() => text(page, 'turn-note')).toContain('There is no TURN server.');

      const failing = { succeeded_at: null, failed_at: Date.now(), failing: true, reason: 'HTTP 401' };
      const coturn = { source: 'coturn', succeeded_at: 1, failed_at: null, failing: false, reason: null } as const;
      edge.ice = { source: 'coturn', turn: true, providers: [{ source: 'cloudflare', ...failing }, coturn] };
      await page.reload();
      await expect.poll(() => text(page, 'turn-note')).toContain('Cloudflare’s TURN service fails: HTTP 401');
      expect(await text(page, 'turn-note')).toContain('Your TURN server is used in its place.');

      edge.ice = { source: 'configuration', turn: false, providers: [{ source: 'cloudflare', ...failing }] };
      await page.reload();
      await expect.poll(() => text(page, 'turn-note')).toContain('ICE_SERVERS names no TURN server, and keeps');
      expect(await text(page, 'turn-note')).not.toContain('HTTP 401');
    });

    test('a guest is told that this is the owner’s', async () => {
      const page = await open('/_direct/', 'guest');
      await page.getByText('You are here as a guest').waitFor();
      expect(edge.asked.map(({ path }) => path)).toEqual(['/me']);
    });

    test('an edge that forgot the session leads back to it', async () => {
      const page = await open('/_direct/', 'owner');
      await page.getByTestId('host').first().waitFor();
      edge.forgetSessions();
      await page.getByTestId('section-keys').click();
      await page.getByTestId('sign-in').waitFor();
    });
  });

  describe('hosts', () => {
    test('are shown with presence, models, fingerprint and a link that carries the pin', async () => {
      await pinned(HOST_KEYS.home);
      const page = await open('/_direct/', 'owner');
      const [home, attic] = [page.getByTestId('host').nth(0), page.getByTestId('host').nth(1)];
      await home.waitFor();
      expect(await home.getByTestId('presence').textContent()).toMatch(/^Online since \d\d:\d\d|^Online since \w+ \d/);
      expect(await attic.getByTestId('presence').textContent()).toBe('Offline');
      await expect.poll(() => home.getByTestId('fingerprint').textContent()).toMatch(/^([0-9a-f]{4} ){8}$/);
      expect(await home.textContent()).toContain('The key that this browser knows');
      expect(await attic.textContent()).toContain('Not pinned');
      const links = page.getByTestId('open-chat');
      expect(await links.nth(0).getAttribute('href')).toBe(`/_direct/chat#host=home&key=${HOST_KEYS.home}`);
      // What the edge says alone is not passed off as known.
      expect(await links.nth(1).getAttribute('href')).toBe('/_direct/chat#host=attic');
    });

    test('say what they do just now, while somebody looks, and nothing where they do not say', async () => {
      const page = await open('/_direct/', 'owner');
      const lines = page.getByTestId('host').first().getByTestId('activity').locator('li');
      await expect
        .poll(() => lines.allTextContents())
        .toEqual([
          '3 sessions: 2 direct, 1 through the edge',
          '2 requests running, 54 tokens a second',
          'One request waits for Ollama',
          'llama.cpp does not answer',
          expect.stringMatching(/^148 answered, 1 failed since .*\d\d:\d\d, by agent 0\.1\.0$/),
        ]);
      const attic = page.getByTestId('host').nth(1);
      expect(await attic.getByTestId('activity').isVisible()).toBe(false);
      expect(await attic.getByText('Now', { exact: true }).isVisible()).toBe(false);
      expect(edge.asked.filter(({ path }) => path.endsWith('/report')).map(({ path }) => path)).toEqual([
        '/hosts/home/report',
      ]);
      const home = edge.reports.get('home');
      if (home !== undefined) {
        const sessions = { direct: 0, turn: 0, relay: 1, tunnel: 0, none: 0 };
        const requests = { running: 0, finished: 150, failed: 0 };
        edge.reports.set('home', { ...home, sessions, requests, tokens_per_second: 0, upstreams: [] });
      }
      // As after somebody comes back to the tab.
      await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
      await expect
        .poll(() => lines.allTextContents())
        .toEqual([
          'One session, through the edge',
          'No requests running',
          expect.stringMatching(/^150 answered since /),
        ]);
      edge.reports.clear();
      await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
      await expect.poll(() => page.getByTestId('activity').first().isVisible()).toBe(false);
    });

    test('whose key is not the pinned one are marked', async () => {
      await pinned(HOST_KEYS.other);
      const page = await open('/_direct/', 'owner');
      await page.getByText('This browser knows another key').waitFor();
      expect(await page.getByTestId('open-chat').first().getAttribute('href')).toContain(HOST_KEYS.other);
    });

    test('have their web UI switched on after a warning, and off again', async () => {
      const page = await open('/_direct/', 'owner');
      const attic = page.getByTestId('host').filter({ hasText: 'attic' });
      expect(await attic.getByTestId('web-ui').textContent()).toContain('switched off');
      expect(await attic.getByTestId('web-ui-open').count()).toBe(0);
      await attic.getByTestId('web-ui-switch').click();
      expect(await text(page, 'confirm')).toContain('can do here what you can');
      await page.getByRole('button', { name: 'Cancel' }).click();
      expect(edge.hosts[1]?.web_ui).toBe(false);
      await attic.getByTestId('web-ui-switch').click();
      await page.getByRole('button', { name: 'Switch on', exact: true }).click();
      await attic.getByTestId('web-ui-open').waitFor();
      expect(edge.hosts[1]).toMatchObject({ web_ui: true, name: 'attic' });
      await attic.getByTestId('web-ui-switch').click();
      await page.getByRole('button', { name: 'Switch off', exact: true }).click();
      await expect.poll(() => attic.getByTestId('web-ui').textContent()).toContain('switched off');
    });

    test('can be renamed, and removed after a question', async () => {
      const page = await open('/_direct/', 'owner');
      await page.getByTestId('host').first().getByRole('button', { name: 'Rename' }).click();
      await page.getByRole('dialog').getByLabel('Name').fill('Cellar');
      await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click();
      await page.getByRole('heading', { name: 'Cellar' }).waitFor();
      await page.getByTestId('host').first().getByRole('button', { name: 'Remove', exact: true }).click();
      // Enter takes the way out.
      await page.keyboard.press('Enter');
      await expect.poll(() => page.getByTestId('confirm').count()).toBe(0);
      expect(edge.hosts).toHaveLength(2);
      await page.getByTestId('host').first().getByRole('button', { name: 'Remove', exact: true }).click();
      edge.failNext = 'E_INTERNAL';
      await page.getByRole('button', { name: 'Remove host' }).click();
      await page.getByTestId('confirm').locator('.notice').waitFor();
      await page.getByRole('button', { name: 'Remove host' }).click();
      await expect.poll(() => page.getByTestId('host').count()).toBe(1);
    });

    test('show and forget their devices', async () => {
      const page = await open('/_direct/', 'owner');
      await page.getByTestId('devices').locator('summary').click();
      await page.getByRole('button', { name: 'Remove Safari on iPhone' }).click();
      await page.getByRole('button', { name: 'Remove device' }).click();
      await expect.poll(() => page.getByTestId('device').count()).toBe(1);
      expect(edge.devices.get('home')?.map(({ id }) => id)).toEqual(['laptop']);
    });

    test('that are none yet come with the command to add one', async () => {
      edge.hosts = [];
      const page = await open('/_direct/', 'owner');
      await page.getByText(`npx direct-agent login ${edge.origin}`).waitFor();
      await page.getByRole('button', { name: 'Copy' }).click();
      await page.getByText('Copied').waitFor();
      expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(`npx direct-agent login ${edge.origin}`);
    });

    test('that do not load can be tried again', async () => {
      const page = await open('/_direct/#activity', 'owner');
      await page.getByTestId('audit').waitFor();
      edge.failNext = 'E_INTERNAL';
      await page.getByTestId('section-hosts').click();
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.getByTestId('host').first().waitFor();
    });
  });

  test('an API key is made with its scopes, shown once and revoked', async () => {
    const page = await open('/_direct/#keys', 'owner');
    await page.getByTestId('create-key').click();
    const form = page.getByTestId('key-form');
    await form.getByTestId('key-name').fill('Test');
    await form.getByText('All hosts').click();
    await form.getByRole('button', { name: 'Make key' }).click();
    await form.getByText('Choose at least one host').waitFor();
    await form.getByLabel('Home server').check();
    await form.getByText('All models').click();
    await form.getByLabel('qwen3:8b').check();
    await form.getByText('Only some paths').click();
    await form.getByTestId('key-prefixes').fill('/v1/chat/\n/v1/models');
    await form.getByLabel('Requests per minute').fill('7');
    await form.getByLabel('Expires after').selectOption('Never');
    await form.getByRole('button', { name: 'Make key' }).click();
    const made = page.getByTestId('key-made');
    const key = (await made.getByTestId('new-key').textContent()) ?? '';
    expect(key).toMatch(/^dak_/);
    expect(await made.textContent()).toContain(`${edge.origin}/v1`);
    expect(await made.textContent()).toContain('"Direct-Host": "home"');
    expect(edge.asked.find(({ method, path }) => method === 'POST' && path === '/keys')?.body).toEqual({
      name: 'Test',
      hosts: ['home'],
      prefixes: ['/v1/chat/', '/v1/models'],
      models: ['qwen3:8b'],
      expires_at: null,
      requests_per_minute: 7,
    });
    await made.getByRole('button', { name: 'Done' }).click();
    await expect.poll(() => page.getByTestId('key').count()).toBe(4);
    expect(await page.content()).not.toContain(key);
    await page.getByRole('button', { name: 'Revoke Test' }).click();
    await page.getByRole('button', { name: 'Revoke key' }).click();
    await expect.poll(() => page.getByTestId('key').count()).toBe(3);
  });

  test('an invitation is made with the keys in its link, and revoked', async () => {
    await pinned(HOST_KEYS.home);
    const page = await open('/_direct/#invitations', 'owner');
    await page.getByTestId('create-invitation').click();
    await page.getByTestId('invitation-name').fill('Aunt');
    await page.getByTestId('invitation-form').getByLabel('Home server').check();
    await page.getByTestId('invitation-form').getByLabel('attic').check();
    await page.getByRole('button', { name: 'Make link' }).click();
    expect(await text(page, 'invitation-link')).toBe(
      `${edge.origin}/_direct/invite#invite=${FAKE_INVITATION}&keys=home:${HOST_KEYS.home},attic:${HOST_KEYS.attic}`,
    );
    await page.getByRole('img', { name: 'QR code' }).waitFor();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Revoke the invitation of Aunt' }).click();
    await page.getByRole('button', { name: 'Revoke invitation' }).click();
    await expect.poll(() => edge.invitations.length).toBe(2);
  });

  test('sessions and passkeys are listed and ended', async () => {
    const page = await open('/_direct/#sign-in', 'owner');
    await page.getByRole('button', { name: 'Remove YubiKey' }).click();
    await page.getByRole('button', { name: 'Remove passkey' }).click();
    await expect.poll(() => page.getByTestId('passkey').count()).toBe(1);
    expect(await page.getByTestId('session').first().textContent()).toContain('This one');
    await page.getByRole('button', { name: 'Sign out Safari on iPhone' }).click();
    await page.getByTestId('confirm').getByRole('button', { name: 'Sign out' }).click();
    await expect.poll(() => page.getByTestId('session').count()).toBe(2);
    await page.getByRole('button', { name: 'Sign out Chrome on Linux' }).click();
    await page.getByTestId('confirm').getByRole('button', { name: 'Sign out' }).click();
    await page.getByTestId('sign-in').waitFor();
  });

  test('the audit log goes on where it ended', async () => {
    const page = await open('/_direct/#activity', 'owner');
    await page.getByTestId('audit-more').click();
    await expect.poll(() => page.getByTestId('audit').locator('li').count()).toBe(130);
    expect(await page.getByTestId('audit-more').isVisible()).toBe(false);
    expect(edge.asked.at(-1)?.path).toBe('/audit?before=31');
  });

  describe('an approval', () => {
    const link = (key: string, code = 'WDJB-MJHT') => `/_direct/approve#code=${code}&key=${key}`;

    test('goes on after the sign-in, pins the key of the link and opens the chat', async () => {
      const page = await open(link(HOST_KEYS.studio));
      await page.getByTestId('access-token').waitFor();
      expect(page.url()).toBe(`${edge.origin}/_direct/approve`);
      // A reload in between loses nothing.
      await page.reload();
      await page.getByTestId('access-token').fill(FAKE_OWNER_TOKEN);
      await page.getByTestId('access-token').press('Enter');
      await page.getByText('The same as in the link').waitFor();
      expect(await page.locator('.facts').textContent()).toContain('203.0.113.7');
      await page.getByTestId('host-name').fill('Studio');
      await page.getByTestId('approve').click();
      const chat = page.getByTestId('open-chat');
      expect(await chat.getAttribute('href')).toBe(`/_direct/chat#host=studio&key=${HOST_KEYS.studio}`);
      expect(await pins(page)).toEqual({ studio: HOST_KEYS.studio });
      expect(edge.asked.at(-1)?.body).toEqual({ user_code: 'WDJB-MJHT', name: 'Studio' });
      expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    });

    test('stops when the edge shows another key than the link', async () => {
      const page = await open(link(HOST_KEYS.other), 'owner');
      await page.getByTestId('key-mismatch').waitFor();
      expect(await page.getByTestId('approve').count()).toBe(0);
      expect(await pins(page)).toEqual({});
    });

    test('stops for a key that was cut off, too', async () => {
      const page = await open(link(HOST_KEYS.studio.slice(0, 30)), 'owner');
      await page.getByTestId('key-mismatch').waitFor();
      expect(await page.getByTestId('approve').count()).toBe(0);
    });

    test('with a typed code waits until the fingerprint was compared', async () => {
      const page = await open('/_direct/approve', 'owner');
      await page.getByTestId('user-code').fill('wdjb mjht');
      await page.getByTestId('user-code').press('Enter');
      await page.getByTestId('approve').click();
      expect(edge.asked.some(({ path }) => path === '/device/approve')).toBe(false);
      await page.getByTestId('compared').check();
      await page.getByTestId('approve').click();
      await page.getByTestId('open-chat').waitFor();
      expect(await pins(page)).toEqual({ studio: HOST_KEYS.studio });
    });

    test('of a known host says so', async () => {
      const page = await open(link(HOST_KEYS.attic, 'KNWN-HOST'), 'owner');
      await page.getByText('This edge knows it as “attic”').waitFor();
    });

    test('replaces another pin only after two steps', async () => {
      await stored('direct-agent.pins', JSON.stringify({ studio: HOST_KEYS.other }));
      const page = await open(link(HOST_KEYS.studio), 'owner');
      await page.getByTestId('approve').click();
      await page.getByTestId('key-changed').waitFor();
      await page.keyboard.press('Escape');
      await page.keyboard.press('Escape');
      expect(await page.getByTestId('key-changed').isVisible()).toBe(true);
      expect(await pins(page)).toEqual({ studio: HOST_KEYS.other });
      await page.getByTestId('set-up-anew').click();
      expect(await page.getByTestId('use-new-key').isDisabled()).toBe(true);
      await page.getByTestId('key-compared').check();
      await page.getByTestId('use-new-key').click();
      await page.getByTestId('open-chat').waitFor();
      expect(await pins(page)).toEqual({ studio: HOST_KEYS.studio });
    });

    test('can be denied', async () => {
      const page = await open(link(HOST_KEYS.studio), 'owner');
      await page.getByTestId('deny').click();
      await page.getByRole('heading', { name: 'Denied' }).waitFor();
      expect([edge.logins.has('WDJB-MJHT'), await pins(page)]).toEqual([false, {}]);
    });

    test('that has expired, before or while one looks, says so', async () => {
      const page = await open(link(HOST_KEYS.studio, 'GONE-GONE'), 'owner');
      await page.getByText('No agent waits with this code').waitFor();
      const login = edge.logins.get('WDJB-MJHT');
      if (login !== undefined) login.expires_at = Date.now() + 1_500;
      await page.goto(edge.origin + link(HOST_KEYS.studio));
      await page.getByRole('heading', { name: 'The code has expired' }).waitFor();
    });
  });

  describe('an invitation', () => {
    const link = `/_direct/invite#invite=${FAKE_INVITATION}&keys=home:${HOST_KEYS.home}`;

    test('is accepted by a press only, pins the keys and opens the chat', async () => {
      const page = await open(link);
      await page.getByTestId('accept').waitFor();
      expect(page.url()).toBe(`${edge.origin}/_direct/invite`);
      expect(edge.asked.map(({ path }) => path)).toEqual(['/me']);
      await page.getByTestId('accept').click();
      await page.getByTestId('prompt').waitFor();
      expect(await pins(page)).toEqual({ home: HOST_KEYS.home });
      await expect.poll(() => page.locator('#host').textContent()).toBe('Home server');
      await page.getByTestId('menu').click();
      expect(await page.getByText('Dashboard').count()).toBe(0);
    });

    test('that was revoked says so', async () => {
      const page = await open(link.replace(FAKE_INVITATION, 'dai_old'));
      await page.getByTestId('accept').click();
      await page.getByText('This invitation is not valid any more').waitFor();
      expect(await pins(page)).toEqual({});
    });

    test('whose link was cut off says so', async () => {
      const page = await open('/_direct/invite');
      await page.getByText('The link is not complete').waitFor();
    });
  });

  describe('the chat', () => {
    test('signs in with the token of a link, keeps none, and forgets the one of older versions', async () => {
      await stored('direct-agent.access', '{"host":"home","token":"old"}');
      const page = await open(`/#host=attic&key=${HOST_KEYS.attic}&token=${FAKE_OWNER_TOKEN}`);
      await expect.poll(() => page.getByTestId('host').inputValue()).toBe('attic');
      expect(page.url()).toBe(`${edge.origin}/`);
      const kept = await page.evaluate(() => JSON.stringify({ ...localStorage }));
      expect(kept).not.toContain('token');
      expect(await pins(page)).toEqual({ attic: HOST_KEYS.attic });
    });

    test('asks who is there, also with a wrong link, and remembers the host that was chosen', async () => {
      const page = await open('/#host=home&token=wrong');
      await expect.poll(() => text(page, 'sign-in-error')).toContain('token of this link');
      await page.getByTestId('access-token').fill(`${edge.origin}/#host=attic&token=${FAKE_OWNER_TOKEN}`);
      await page.getByTestId('access-connect').click();
      await expect.poll(() => page.getByTestId('host').inputValue()).toBe('attic');
      await page.getByTestId('host').selectOption('home');
      await page.reload();
      await expect.poll(() => page.getByTestId('host').inputValue()).toBe('home');
      await page.getByTestId('menu').click();
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByTestId('sign-in').waitFor();
    });

    test('with a link of another key than the pinned one stays with the pin unless a person insists', async () => {
      await pinned(HOST_KEYS.home);
      const page = await open(`/#host=home&key=${HOST_KEYS.other}`, 'owner');
      await page.getByTestId('key-changed').waitFor();
      await page.getByTestId('keep-key').click();
      await expect.poll(() => page.getByTestId('key-changed').count()).toBe(0);
      expect(await pins(page)).toEqual({ home: HOST_KEYS.home });
    });

    test('of an owner without hosts says what to do', async () => {
      edge.hosts = [];
      const page = await open('/', 'owner');
      await page.getByText('npx direct-agent login').waitFor();
    });

    test('waits for an edge that does not answer', async () => {
      edge.failNext = 'E_INTERNAL';
      const page = await open('/', 'owner');
      await page.locator('#status', { hasText: ERRORS.E_INTERNAL.message }).waitFor();
      await expect.poll(() => page.getByTestId('host').inputValue()).toBe('home');
    });
  });
});
