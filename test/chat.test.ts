/** The chat page with an edge that answers from memory: conversations on the device, and what a person does with them. */
import { readFile } from 'node:fs/promises';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { chatArchive } from './chat-archive.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { fillAccount, HOST_KEYS } from './fake-account.ts';
import { FakeEdge } from './fake-edge.ts';

const PHONE = { width: 390, height: 844 };

let browser: Browser;
let context: BrowserContext;
let edge: FakeEdge;
const errors: string[] = [];
beforeAll(async () => {
  if (withoutChromium === false) browser = await launchChromium();
});
afterAll(() => browser?.close());
beforeEach(async () => {
  errors.length = 0;
  edge = await FakeEdge.start();
  fillAccount(edge);
  await newContext();
});
afterEach(async () => {
  await context?.close();
  await edge.close();
  // Also what a policy refuses.
  expect(errors).toEqual([]);
});

const it = test.skipIf(withoutChromium);

async function newContext(options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  await context?.close();
  context = await browser.newContext(options);
  context.setDefaultTimeout(30_000);
  await context.addCookies([edge.signIn('owner')]);
}

async function open(): Promise<Page> {
  const page = await context.newPage();
  page.on('pageerror', ({ message }) => errors.push(message));
  page.on('console', (message) => {
    if (message.type() === 'error' && /Content Security Policy|Trusted/.test(message.text()))
      errors.push(message.text());
  });
  await page.goto(`${edge.origin}/#host=home&key=${HOST_KEYS.home}`);
  await page.getByTestId('model').and(page.locator(':enabled')).waitFor();
  return page;
}

const focused = (page: Page) => page.evaluate(() => document.activeElement?.getAttribute('data-testid'));

async function say(page: Page, text: string): Promise<void> {
  await page.getByTestId('prompt').fill(text);
  await page.getByTestId('prompt').press('Enter');
}

async function ask(page: Page, text: string): Promise<void> {
  const before = await page.getByTestId('regenerate').count();
  await say(page, text);
  if (before > 0) await page.getByTestId('message-user').filter({ hasText: text }).waitFor();
  await page.getByTestId('regenerate').waitFor();
}

const texts = async (page: Page, testid: string) => {
  const found = await page.getByTestId(testid).locator('.message-text, .markdown').allTextContents();
  return found.map((text) => text.trim());
};
const titles = (page: Page) => page.locator('.conversation-title').allTextContents();
/** What was asked of the model, newest last. */
function recordRequests(page: Page): Record<string, unknown>[] {
  const bodies: Record<string, unknown>[] = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/v1/chat/completions')) bodies.push(request.postDataJSON() as Record<string, unknown>);
  });
  return bodies;
}

it('conversations stay on the device, are opened, renamed, deleted and brought back', async () => {
  const page = await open();
  await ask(page, 'What is a fjord?');
  await page.getByTestId('new-chat').click();
  await expect.poll(() => page.getByTestId('message-user').count()).toBe(0);
  await ask(page, 'And a strait?');
  await expect.poll(() => titles(page)).toEqual(['And a strait?', 'What is a fjord?']);
  await page.reload();
  await expect.poll(() => texts(page, 'message-user')).toEqual(['And a strait?']);
  await page.getByTestId('conversation').last().locator('.conversation-open').click();
  await expect.poll(() => texts(page, 'message-user')).toEqual(['What is a fjord?']);
  expect(await page.title()).toContain('What is a fjord?');

  await page.getByTestId('conversation').last().hover();
  await page.getByTestId('conversation-menu').last().click();
  await page.getByTestId('rename').click();
  await page.getByTestId('rename-field').waitFor();
  await page.keyboard.type('Inlets');
  await page.keyboard.press('Enter');
  await expect.poll(() => titles(page)).toEqual(['And a strait?', 'Inlets']);
  await expect.poll(() => focused(page)).toBe('conversation-menu');

  await page.getByTestId('conversation-menu').last().click();
  await page.getByTestId('delete').click();
  await expect.poll(() => titles(page)).toEqual(['And a strait?']);
  await expect.poll(() => focused(page)).toBe('new-chat');
  await expect.poll(() => page.getByTestId('message-user').count()).toBe(0);
  await page.getByTestId('notice').getByRole('button', { name: 'Undo' }).click();
  await expect.poll(() => titles(page)).toEqual(['And a strait?', 'Inlets']);
});

it('an answer is asked for again, and a question asked otherwise cuts the conversation there', async () => {
  const page = await open();
  const asked = recordRequests(page);
  await ask(page, 'one');
  await ask(page, 'two');
  edge.answer = { deltas: [{ content: 'Another answer.' }], ends: true };
  await page.getByTestId('regenerate').click();
  await expect.poll(() => texts(page, 'message-assistant')).toEqual(['This is the fake answer.', 'Another answer.']);
  await page.getByTestId('prompt').press('ArrowUp');
  await page.getByTestId('edit-field').press('Escape');
  await expect.poll(() => page.getByTestId('edit-field').count()).toBe(0);
  expect(await focused(page)).toBe('edit');
  await page.getByTestId('message-user').first().hover();
  await page.getByTestId('edit').first().click();
  await page.getByTestId('edit-field').fill('One?');
  await page.getByTestId('edit-field').press('Enter');
  await expect.poll(() => texts(page, 'message-user')).toEqual(['One?']);
  expect(await focused(page)).toBe('prompt');
  await expect.poll(() => texts(page, 'message-assistant')).toEqual(['Another answer.']);
  expect(asked.at(-1)?.messages).toEqual([{ role: 'user', content: 'One?' }]);
});

it('the system prompt and the parameters are the conversation’s, and what is wrong is said', async () => {
  const page = await open();
  const asked = recordRequests(page);
  await page.getByTestId('settings').click();
  await page.getByTestId('system-prompt').fill('Be short.');
  await page.getByTestId('setting-temperature').fill('9');
  await page.getByTestId('settings-save').click();
  await page.getByText('Temperature is a number from 0 to 2.').waitFor();
  await page.getByTestId('setting-temperature').fill('0.5');
  await page.getByTestId('stop-texts').fill('END\n\\n\\n');
  await page.getByTestId('settings-save').click();
  await ask(page, 'one');
  expect(asked[0]).toMatchObject({
    messages: [
      { role: 'system', content: 'Be short.' },
      { role: 'user', content: 'one' },
    ],
    temperature: 0.5,
    stop: ['END', '\n\n'],
  });
  expect(asked[0]).not.toHaveProperty('top_p');
  await page.reload();
  await page.getByTestId('settings').click();
  await expect.poll(() => page.getByTestId('system-prompt').inputValue()).toBe('Be short.');
  await page.keyboard.press('Escape');
  await page.getByTestId('new-chat').click();
  await ask(page, 'two');
  expect(asked[1]).not.toHaveProperty('temperature');
});

it('all texts are searched, and the keyboard does without a mouse', async () => {
  const page = await open();
  const buffer = Buffer.from(chatArchive(Date.now()));
  await page.getByTestId('import').setInputFiles({ name: 'chats.json', mimeType: 'application/json', buffer });
  await expect.poll(() => page.getByTestId('conversation').count()).toBe(7);
  await page.keyboard.press('Control+k');
  await page.keyboard.type('glacier moraine');
  await expect.poll(() => titles(page)).toEqual(['What is a fjord?']);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await expect.poll(() => texts(page, 'message-user')).toEqual(['What is a fjord?']);
  await page.keyboard.press('Control+Shift+O');
  await page.locator('#welcome').waitFor();
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('prompt');
  edge.answer = { deltas: [{ content: 'It goes on' }], ends: false };
  await page.keyboard.type('and on');
  await page.keyboard.press('Enter');
  await page.getByTestId('stop').waitFor();
  await page.getByText('It goes on').first().waitFor();
  await page.keyboard.press('Control+k');
  await page.keyboard.type('nowhere');
  await page.getByText('Nothing was found.').waitFor();
  await page.keyboard.press('Escape');
  await expect.poll(() => page.getByTestId('conversation').count()).toBe(8);
  expect(await page.getByTestId('stop').isVisible()).toBe(true);
  await page.keyboard.press('Escape');
  await page.getByText('Stopped.').waitFor();
});

it('all conversations go out as a file and come in again, one as Markdown, and a hostile file stays out', async () => {
  const page = await open();
  await ask(page, 'What is a fjord?');
  const [all] = await Promise.all([page.waitForEvent('download'), page.getByTestId('export').click()]);
  const file = await readFile(await all.path());
  expect(JSON.parse(file.toString())).toMatchObject({ format: 'direct-agent.chats', version: 1 });
  await page.getByTestId('conversation-menu').click();
  const [one] = await Promise.all([page.waitForEvent('download'), page.getByTestId('export-markdown').click()]);
  expect(one.suggestedFilename()).toBe('What is a fjord.md');
  // The entry that was chosen is gone; what has the focus then is what it came from.
  expect(await focused(page)).toBe('conversation-menu');
  expect((await readFile(await one.path())).toString()).toContain('## You\n\nWhat is a fjord?\n');

  await newContext();
  const other = await open();
  const give = (text: string | Buffer) =>
    other.getByTestId('import').setInputFiles({
      name: 'chats.json',
      mimeType: 'application/json',
      buffer: Buffer.from(text),
    });
  await give(file);
  await other.getByText('One conversation imported.').waitFor();
  await other.locator('.conversation-open').click();
  await expect.poll(() => texts(other, 'message-assistant')).toEqual(['This is the fake answer.']);
  await give(file);
  await other.getByText('1 was here already.').waitFor();
  await give(file.toString().replace('"role":"user"', '"role":"system"'));
  await other.getByText('A message of the file is of nobody.').waitFor();
  expect(await other.getByTestId('conversation').count()).toBe(1);
});

it('images are made smaller before they go along, from a file and from the clipboard', async () => {
  const page = await open();
  const asked = recordRequests(page);
  const png = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(2000, 1000);
    const context = canvas.getContext('2d');
    for (let x = 0; x < 2000; x += 10) {
      if (context === null) break;
      context.fillStyle = `hsl(${x} 80% 50%)`;
      context.fillRect(x, 0, 10, 1000);
    }
    return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
  });
  await page.getByTestId('files').setInputFiles([
    { name: 'stripes.png', mimeType: 'image/png', buffer: Buffer.from(png) },
    { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('x') },
  ]);
  await page.getByText('“notes.txt” is neither an image nor a recording').waitFor();
  await page.evaluate((bytes) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], 'pasted.png', { type: 'image/png' }));
    document.activeElement?.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));
    document
      .getElementById('prompt')
      ?.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
  }, png);
  await expect.poll(() => page.locator('.attachment img').count()).toBe(2);
  await page.getByLabel('Leave out pasted.png').click();
  await ask(page, 'What is it?');
  const messages = asked[0]?.messages as { content: { type: string; image_url?: { url: string } }[] }[] | undefined;
  const content = messages?.[0]?.content ?? [];
  expect(content.map(({ type }) => type)).toEqual(['text', 'image_url']);
  const size = await page.evaluate(async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    return [image.naturalWidth, image.naturalHeight, url.length < 1_400_000];
  }, content[1]?.image_url?.url ?? '');
  expect(size).toEqual([1568, 784, true]);
  await page.reload();
  await page.locator('.message-image').waitFor();
});

it('says that a part of the page is not to be had any more, and loads the newer page', async () => {
  const page = await open();
  const part = '**/assets/settings-dialog-*';
  await page.route(part, (route) => route.fulfill({ status: 404 }));
  await page.getByTestId('settings').click();
  await page.getByTestId('notice').getByText('Reload the page').waitFor();
  await page.unroute(part);
  await Promise.all([page.waitForEvent('load'), page.getByRole('button', { name: 'Reload' }).click()]);
  await page.getByTestId('settings').click();
  await page.getByTestId('settings-dialog').waitFor();
});

it('reads aloud only where the server can, and says when it cannot', async () => {
  edge.models = ['llama3.2:3b', 'kokoro'];
  const page = await open();
  await ask(page, 'one');
  await page.getByTestId('read-aloud').click();
  await page.getByText('The server of this host cannot read aloud.').waitFor();
  expect(await page.getByTestId('read-aloud').count()).toBe(0);
  expect(await page.getByTestId('dictate').count()).toBe(0);
});

it('two tabs show the same, and neither loses what the other has said', async () => {
  const one = await open();
  await ask(one, 'from one');
  const two = await open();
  await two.locator('.conversation-open').click();
  await ask(two, 'from two');
  await expect.poll(() => texts(one, 'message-user')).toEqual(['from one', 'from two']);
  // While an answer comes nothing is sent, in whichever tab that was asked for.
  await one.getByTestId('send').waitFor();
  await ask(one, 'again from one');
  await expect.poll(() => texts(two, 'message-user')).toEqual(['from one', 'from two', 'again from one']);
});

it('a browser that keeps nothing is chatted with all the same, and says so', async () => {
  await context.addInitScript(() => {
    Object.defineProperty(globalThis, 'indexedDB', { get: () => undefined });
  });
  const page = await open();
  await page.getByText('This browser does not keep your conversations').waitFor();
  await ask(page, 'one');
  await expect.poll(() => titles(page)).toEqual(['one']);
});

/** A page at the end of an answer that is longer than it; `distance` of the list from its end, in CSS pixels. */
async function openLongAnswer() {
  const lines = Array.from({ length: 120 }, (_, i) => `line ${i}\n\n`).join('');
  edge.answer = { deltas: [{ content: lines }], ends: true };
  const page = await open();
  await ask(page, 'one');
  const list = page.locator('#messages');
  const distance = () => list.evaluate((at) => at.scrollHeight - at.scrollTop - at.clientHeight);
  await expect.poll(distance).toBeLessThan(5);
  return { page, list, distance };
}

it('follows what comes as long as the person is at the end', async () => {
  const { page, list, distance } = await openLongAnswer();
  await list.evaluate((at) => {
    at.scrollTop = 100;
  });
  await page.getByTestId('jump').click();
  await expect.poll(distance).toBeLessThan(5);
  await expect.poll(() => page.getByTestId('jump').isVisible()).toBe(false);
  // The page itself scrolls nowhere.
  expect(await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight)).toBe(true);
});

it('follows what comes also when what is there is laid out anew, which moves nothing by the hand of a person', async () => {
  const { page, list, distance } = await openLongAnswer();
  // As on a slow device between the text of an answer and its Markdown: the browser says that it has scrolled when there
  // is more again.
  await list.evaluate(async (at) => {
    const column = at.firstElementChild as HTMLElement;
    column.style.cssText = 'height: 100px; overflow: hidden';
    await new Promise((resolve) => new ResizeObserver(() => setTimeout(resolve)).observe(column));
    column.style.cssText = '';
    await new Promise((resolve) => at.addEventListener('scroll', resolve, { once: true }));
  });
  await expect.poll(distance).toBeLessThan(5);
  expect(await page.getByTestId('jump').isVisible()).toBe(false);
});

it('on a phone the conversations are a drawer, which has the focus while it is open', async () => {
  await newContext({ viewport: PHONE, hasTouch: true, isMobile: true });
  const page = await open();
  await ask(page, 'What is a fjord?');
  expect(await page.getByTestId('search').isVisible()).toBe(false);
  await page.getByTestId('open-conversations').click();
  await expect.poll(() => page.evaluate(() => document.activeElement?.getAttribute('data-testid'))).toBe('new-chat');
  await page.keyboard.press('Escape');
  await expect
    .poll(() => page.evaluate(() => document.activeElement?.getAttribute('data-testid')))
    .toBe('open-conversations');
  await page.getByTestId('open-conversations').click();
  await page.getByTestId('new-chat').click();
  await page.locator('#welcome').waitFor();
  await expect.poll(() => page.getByTestId('search').isVisible()).toBe(false);
});

it('a theme that was chosen stays, and what is written before the script runs is not lost', async () => {
  const page = await open();
  await page.getByTestId('theme').click();
  await page.getByTestId('theme').click();
  await expect.poll(() => page.evaluate(() => document.documentElement.dataset.theme)).toBe('dark');
  await page.route('**/assets/page-*.js', async (route) => {
    await page.getByPlaceholder('Write a message').fill('early');
    await route.continue();
  });
  await page.reload({ waitUntil: 'commit' });
  await page.getByTestId('send').and(page.locator(':enabled')).waitFor();
  expect(await page.getByTestId('prompt').inputValue()).toBe('early');
  expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe('rgb(22, 23, 26)');
});

it('leads to the web UI of a host that has one, and of no other', async () => {
  const page = await open();
  const chosen = page.waitForRequest((request) => request.url().endsWith('/_direct/api/ui/host'));
  await page.getByTestId('menu').click();
  await page.getByTestId('open-web-ui').click();
  expect((await chosen).postDataJSON()).toEqual({ host: 'home' });
  await page.waitForURL((url) => url.pathname === '/');
  await page.getByTestId('host').selectOption('attic');
  await page.getByTestId('menu').click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
  expect(await page.getByTestId('open-web-ui').count()).toBe(0);
});

it('says so when it could not sign out', async () => {
  const page = await open();
  await page.getByTestId('menu').click();
  edge.failNext = 'E_INTERNAL';
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect.poll(() => page.locator('#status').textContent()).toContain('You are still signed in.');
});
