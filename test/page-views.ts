/** Every view of the pages, in every state that looks different: for eyes, and for what machines can find. */
import type { Browser, Page } from 'playwright-core';
import { chatArchive, MARKDOWN_ANSWER, REASONING } from './chat-archive.ts';
import { fillAccount, HOST_KEYS } from './fake-account.ts';
import { FAKE_INVITATION, FAKE_OWNER_TOKEN, FakeEdge } from './fake-edge.ts';

export interface View {
  path: string;
  /** Who looks; nobody by default. */
  as?: 'owner' | 'guest';
  prepare?(edge: FakeEdge): void;
  act?(page: Page): Promise<void>;
}

const empty = (edge: FakeEdge) => {
  edge.hosts = [];
  edge.keys = [];
  edge.invitations = [];
  edge.passkeys = [];
  edge.sessions = [];
  edge.events = [];
};
const withoutPasskeys = (edge: FakeEdge) => {
  edge.passkeys = [];
};
const locked = (edge: FakeEdge) => {
  edge.lockedFor = 299;
};
const click = (testid: string) => (page: Page) => page.getByTestId(testid).first().click();

/** With some conversations on the device, and the newest open. */
export async function withConversations(page: Page): Promise<void> {
  const buffer = Buffer.from(chatArchive(Date.now()));
  await page.getByTestId('import').setInputFiles({ name: 'chats.json', mimeType: 'application/json', buffer });
  await page.getByTestId('notice').getByLabel('Close').click();
  if (isPhone(page)) await click('open-conversations')(page);
  await page.getByTestId('conversation').first().locator('.conversation-open').click();
  await page.getByTestId('message-assistant').first().waitFor();
  await page.waitForTimeout(250);
}

const isPhone = (page: Page) => (page.viewportSize()?.width ?? 0) < 900;

async function openSidebar(page: Page): Promise<void> {
  if (isPhone(page)) await click('open-conversations')(page);
  await page.waitForTimeout(300);
}

async function say(page: Page, text: string): Promise<void> {
  await page.getByTestId('model').and(page.locator(':enabled')).waitFor();
  await page.getByTestId('prompt').fill(text);
  await page.getByTestId('prompt').press('Enter');
}

const CHAT = `/#host=home&key=${HOST_KEYS.home}`;

export const VIEWS: Record<string, View> = {
  'sign-in': { path: '/_direct/', prepare: withoutPasskeys },
  'sign-in-passkey': { path: '/_direct/' },
  'sign-in-locked': {
    path: '/_direct/',
    prepare: locked,
    act: async (page) => {
      await page.getByTestId('access-token').fill('wrong');
      await page.getByTestId('access-connect').click();
      await page.getByTestId('sign-in-error').waitFor();
    },
  },
  hosts: {
    path: '/_direct/',
    as: 'owner',
    prepare: withoutPasskeys,
    act: async (page) => {
      await page.getByTestId('devices').locator('summary').click();
      await page.getByTestId('device').first().waitFor();
      // The click has scrolled there, and the bar stays at the top of what is seen.
      await page.evaluate(() => scrollTo(0, 0));
    },
  },
  'hosts-without-turn': {
    path: '/_direct/',
    as: 'owner',
    prepare: (edge) => {
      edge.ice = { source: 'default', turn: false, providers: [] };
    },
  },
  'hosts-turn-fails': {
    path: '/_direct/',
    as: 'owner',
    prepare: (edge) => {
      const [succeeded_at, failed_at] = [null, Date.now() - 300_000];
      edge.ice = {
        source: 'metered',
        turn: true,
        providers: [
          { source: 'cloudflare', succeeded_at, failed_at, failing: true, reason: 'HTTP 401' },
          { source: 'metered', succeeded_at: Date.now(), failed_at: null, failing: false, reason: null },
        ],
      };
    },
  },
  'hosts-empty': { path: '/_direct/', as: 'owner', prepare: empty },
  'hosts-loading': {
    path: '/_direct/',
    as: 'owner',
    act: (page) => page.evaluate(() => new Promise((r) => setTimeout(r, 300))),
  },
  'host-remove': {
    path: '/_direct/',
    as: 'owner',
    act: (page) => page.getByRole('button', { name: 'Remove', exact: true }).first().click(),
  },
  keys: { path: '/_direct/#keys', as: 'owner' },
  'keys-empty': { path: '/_direct/#keys', as: 'owner', prepare: empty },
  'key-form': {
    path: '/_direct/#keys',
    as: 'owner',
    act: async (page) => {
      await click('create-key')(page);
      await page.getByTestId('key-name').fill('Editor');
      await page.getByText('All models').last().click();
    },
  },
  'key-made': {
    path: '/_direct/#keys',
    as: 'owner',
    act: async (page) => {
      await click('create-key')(page);
      await page.getByTestId('key-name').fill('Editor');
      await page.getByRole('button', { name: 'Make key' }).click();
      await page.getByTestId('key-made').waitFor();
    },
  },
  invitations: { path: '/_direct/#invitations', as: 'owner' },
  'invitation-form': { path: '/_direct/#invitations', as: 'owner', act: click('create-invitation') },
  'invitation-made': {
    path: '/_direct/#invitations',
    as: 'owner',
    act: async (page) => {
      await click('create-invitation')(page);
      await page.getByTestId('invitation-name').fill('Uncle Bob');
      await page.getByTestId('invitation-form').getByLabel('Home server').check();
      await page.getByRole('button', { name: 'Make link' }).click();
      await page.getByTestId('invitation-made').waitFor();
    },
  },
  security: { path: '/_direct/#sign-in', as: 'owner' },
  activity: { path: '/_direct/#activity', as: 'owner' },
  failed: {
    path: '/_direct/#keys',
    as: 'owner',
    act: async (page) => {
      await page.route('**/_direct/api/keys', (route) => route.abort());
      await page.reload();
      await page.getByText('Try again').waitFor();
    },
  },
  'approve-code': { path: '/_direct/approve', as: 'owner' },
  'approve-signed-out': { path: `/_direct/approve#code=WDJB-MJHT&key=${HOST_KEYS.studio}` },
  'approve-new': { path: `/_direct/approve#code=WDJB-MJHT&key=${HOST_KEYS.studio}`, as: 'owner' },
  'approve-typed': { path: '/_direct/approve#code=WDJB-MJHT', as: 'owner' },
  'approve-known': { path: `/_direct/approve#code=KNWN-HOST&key=${HOST_KEYS.attic}`, as: 'owner' },
  'approve-mismatch': { path: `/_direct/approve#code=WDJB-MJHT&key=${HOST_KEYS.other}`, as: 'owner' },
  'approve-unknown': { path: `/_direct/approve#code=NONE-NONE&key=${HOST_KEYS.other}`, as: 'owner' },
  approved: { path: `/_direct/approve#code=WDJB-MJHT&key=${HOST_KEYS.studio}`, as: 'owner', act: click('approve') },
  invite: { path: `/_direct/invite#invite=${FAKE_INVITATION}&keys=home:${HOST_KEYS.home}` },
  'invite-refused': { path: '/_direct/invite#invite=dai_old', act: click('accept') },
  'chat-sign-in': { path: '/' },
  'chat-wrong-link': { path: '/#host=home&token=wrong' },
  chat: {
    path: `/#host=home&token=${FAKE_OWNER_TOKEN}`,
    act: async (page) => {
      await page.getByTestId('prompt').fill('What is a fjord?');
      await page.getByTestId('prompt').press('Enter');
      await page.getByTestId('message-assistant').getByText('This is the fake answer').waitFor();
    },
  },
  'chat-menu': { path: `/#host=home&key=${HOST_KEYS.home}`, as: 'owner', act: click('menu') },
  'chat-connection': {
    path: `/#host=home&key=${HOST_KEYS.home}`,
    as: 'owner',
    act: async (page) => {
      await click('path')(page);
      await page.getByTestId('timeline').waitFor();
    },
  },
  'chat-empty': { path: CHAT, as: 'owner' },
  'chat-conversation': { path: CHAT, as: 'owner', act: withConversations },
  'chat-streaming': {
    path: CHAT,
    as: 'owner',
    prepare: (edge) => {
      edge.answer = {
        deltas: [{ reasoning_content: REASONING }, { content: MARKDOWN_ANSWER.slice(0, 420) }],
        ends: false,
      };
    },
    act: async (page) => {
      await withConversations(page);
      await say(page, 'And how do I measure its depth?');
      await page.getByTestId('message-assistant').last().getByText('sounding').first().waitFor();
    },
  },
  'chat-thinking': {
    path: CHAT,
    as: 'owner',
    prepare: (edge) => {
      edge.answer = { deltas: [{ reasoning_content: REASONING }], ends: false };
    },
    act: async (page) => {
      await say(page, 'How deep is the Sognefjord?');
      await page.getByTestId('reasoning').locator('summary').click();
    },
  },
  'chat-sidebar': {
    path: CHAT,
    as: 'owner',
    act: async (page) => {
      await withConversations(page);
      await openSidebar(page);
      await click('conversation-menu')(page);
    },
  },
  'chat-search': {
    path: CHAT,
    as: 'owner',
    act: async (page) => {
      await withConversations(page);
      await page.keyboard.press('Control+k');
      await page.getByTestId('search').fill('water');
      await page.waitForTimeout(300);
    },
  },
  'chat-deleted': {
    path: CHAT,
    as: 'owner',
    act: async (page) => {
      await withConversations(page);
      await openSidebar(page);
      await click('conversation-menu')(page);
      await click('delete')(page);
      await page.getByTestId('notice').waitFor();
    },
  },
  'chat-settings': {
    path: CHAT,
    as: 'owner',
    act: async (page) => {
      await click('settings')(page);
      await page.getByTestId('system-prompt').fill('You are a sailor. Answer in two sentences.');
      await page.getByTestId('setting-temperature').fill('9');
      await click('settings-save')(page);
    },
  },
  'chat-attachments': {
    path: CHAT,
    as: 'owner',
    prepare: (edge) => {
      edge.models = ['gemma3:12b', 'whisper-1', 'kokoro'];
    },
    act: async (page) => {
      await page.getByTestId('model').and(page.locator(':enabled')).waitFor();
      const image = await page.screenshot();
      const files = [
        { name: 'page.png', mimeType: 'image/png', buffer: image },
        { name: 'gull.wav', mimeType: 'audio/wav', buffer: Buffer.alloc(100) },
      ];
      await page.getByTestId('files').setInputFiles(files);
      await page.locator('.attachment img').waitFor();
      await say(page, 'What is in the picture?');
      await page.getByTestId('read-aloud').waitFor();
      await page.getByTestId('files').setInputFiles(files);
      await page.locator('.attachment img').waitFor();
    },
  },
  'chat-edit': {
    path: CHAT,
    as: 'owner',
    act: async (page) => {
      await withConversations(page);
      await page.getByTestId('prompt').press('ArrowUp');
    },
  },
  'chat-error': {
    path: CHAT,
    as: 'owner',
    prepare: (edge) => {
      edge.answer = 'E_UPSTREAM_UNREACHABLE';
    },
    act: async (page) => {
      await say(page, 'What is a fjord?');
      await page.getByRole('alert').waitFor();
    },
  },
  'chat-offline': {
    path: CHAT,
    as: 'owner',
    act: async (page) => {
      await withConversations(page);
      await page.route('**/v1/**', (route) => route.abort());
      await page.getByTestId('host').selectOption('attic');
      await page.locator('#status:not(:empty)').waitFor();
    },
  },
  'chat-guest': { path: '/', as: 'guest', act: click('menu') },
  'chat-no-host': { path: '/', as: 'owner', prepare: empty },
  'chat-key-changed': {
    path: `/#host=home&key=${HOST_KEYS.home}`,
    as: 'owner',
    act: async (page) => {
      await page.goto(`${new URL(page.url()).origin}/#host=home&key=${HOST_KEYS.other}`);
      await page.getByTestId('set-up-anew').click();
    },
  },
};

export const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };

export interface OpenView {
  page: Page;
  close(): Promise<void>;
}

/** Opens a view and does what it takes. Close it also when that fails, which `problem` is told. */
export async function openView(
  browser: Browser,
  name: string,
  options: Parameters<Browser['newContext']>[0],
  problem: (text: string) => void,
): Promise<OpenView> {
  const view = VIEWS[name];
  if (view === undefined) throw new Error(`no view ${name}`);
  const edge = await FakeEdge.start();
  fillAccount(edge);
  view.prepare?.(edge);
  const context = await browser.newContext(options);
  if (view.as !== undefined) await context.addCookies([edge.signIn(view.as)]);
  const page = await context.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of (4|5)\d\d|ERR_FAILED|WebSocket handshake/.test(message.text()))
      problem(message.text());
  });
  page.on('pageerror', (error) => problem(error.message));
  page.setDefaultTimeout(20_000);
  try {
    if (name === 'hosts-loading') edge.delayMs = 700;
    await page.goto(edge.origin + view.path);
    if (name !== 'hosts-loading') await page.waitForLoadState('networkidle');
    await view.act?.(page);
    await page.waitForTimeout(name === 'hosts-loading' ? 700 : 250);
  } catch (error) {
    problem(String(error));
  }
  const close = async () => {
    await context.close();
    await edge.close();
  };
  return { page, close };
}
