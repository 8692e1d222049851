import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { PATIENCE } from '../../shared/test-patience.ts';
import { Clients } from './chat-client.ts';
import { Chats } from './chats.ts';
import type { Answer, Message } from './conversation.ts';
import type { Locks } from './locks.ts';
import { type Change, MemoryRecords, type Records } from './records.ts';
import { event, failure, TestHost } from './test-host.ts';

/** As the browser’s, for tabs that are objects here. */
class TestLocks implements Locks {
  readonly #last = new Map<string, Promise<unknown>>();

  async hold<Value>(name: string, signal: AbortSignal, run: () => Promise<Value>): Promise<Value> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const gone = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const mine = Promise.withResolvers<void>();
    this.#last.set(
      name,
      before.then(() => mine.promise),
    );
    try {
      await Promise.race([before, gone]);
      return await run();
    } finally {
      mine.resolve();
    }
  }
}

let records: MemoryRecords;
let host: TestHost;
let locks: TestLocks;
let tabs: Chats[];
let unauthorized: unknown[];
let clock: number;
let ids: number;

beforeEach(() => {
  records = new MemoryRecords();
  host = new TestHost();
  locks = new TestLocks();
  tabs = [];
  unauthorized = [];
  clock = 1_000;
  ids = 0;
});
afterEach(() => {
  for (const tab of tabs) tab.stop();
});

function openTab(
  given: { records?: Records; locks?: Locks; connected?: boolean; shown?: () => Promise<void> } = {},
): Chats & { clients: Clients } {
  const clients = new Clients();
  if (given.connected !== false) clients.set('home', host);
  const tab = new Chats({
    records: given.records ?? records,
    clients,
    locks: given.locks ?? locks,
    newId: () => `id${ids++}`,
    now: () => clock++,
    pause: async () => {},
    shown: given.shown ?? (async () => {}),
    tell: (news) => {
      for (const other of tabs) if (other !== tab) void other.hear(news);
    },
    unauthorized: (error) => unauthorized.push(error),
  });
  tabs.push(tab);
  return Object.assign(tab, { clients });
}

const said = (tab: Chats) => tab.state.messages.map(({ role, text }) => `${role}: ${text}`);
const lastAnswer = (tab: Chats) => tab.state.messages.at(-1) as Answer;
const until = (check: () => unknown) => vi.waitUntil(check, { ...PATIENCE, interval: 2 });
const asked = () => host.responses.length;

async function answered(tab: Chats, question: string, answer: string): Promise<void> {
  const before = asked();
  await tab.send(question, [], 'qwen3');
  await until(() => asked() > before);
  host.say(event(answer));
  host.end();
  await until(() => lastAnswer(tab).state === 'done');
}

test('a question and its answer become a conversation that is still there in another visit', async () => {
  const tab = openTab();
  await answered(tab, 'What is a fjord?', 'A long inlet.');
  expect(said(tab)).toEqual(['user: What is a fjord?', 'assistant: A long inlet.']);
  expect(host.responses[0]?.body).toMatchObject({
    model: 'qwen3',
    messages: [{ role: 'user', content: 'What is a fjord?' }],
    stream: true,
  });
  const other = openTab();
  await other.start(tab.state.current.id);
  expect(said(other)).toEqual(said(tab));
  expect(other.state.conversations.map(({ title }) => title)).toEqual(['What is a fjord?']);
  expect(lastAnswer(other).held).toBeUndefined();
});

/** What a page that is closed in the middle leaves behind: nothing that it writes arrives any more. */
class ClosingRecords extends MemoryRecords {
  closed = false;

  override async replace(message: Message): Promise<boolean> {
    return this.closed ? await new Promise<never>(() => {}) : await records.replace(message);
  }

  override write(change: Change): Promise<void> {
    return records.write(change);
  }
}

const heldId = () => host.responses[0]?.id ?? '';

test('an answer goes on in the next visit from the byte after the last one kept', async () => {
  const device = new ClosingRecords();
  const shown = () => (device.closed ? new Promise<never>(() => {}) : Promise.resolve());
  const first = openTab({ records: device, locks: new TestLocks(), shown });
  await first.send('Tell me', [], 'qwen3');
  await until(() => asked() === 1);
  clock += 1_000;
  host.say(event('one '), 'data: {"choices":[{"de');
  await until(() => lastAnswer(first).text === 'one ');
  const { id, conversation } = lastAnswer(first);
  device.closed = true;
  host.say('lta":{"content":"two "}}]}\n\n');
  await until(() => lastAnswer(first).text === 'one two ');
  host.lose();
  const length = new TextEncoder().encode(event('one ')).length;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(host.released).toEqual([]);
  expect(await records.message(id)).toMatchObject({ text: 'one ', state: 'running', held: { bytes: length } });

  const second = openTab();
  await second.start(conversation);
  await until(() => lastAnswer(second).text === 'one two ');
  host.say(event('three'));
  host.end();
  await until(() => lastAnswer(second).state === 'done');
  expect(lastAnswer(second).text).toBe('one two three');
  expect(host.resumed).toEqual([[heldId(), length]]);
  expect(host.released).toContain(heldId());
  expect(await records.message(id)).toEqual(lastAnswer(second));
});

test('an answer of another host waits for that', async () => {
  const tab = openTab();
  await answered(tab, 'a', 'b');
  const { conversation } = lastAnswer(tab);
  const held = { host: 'attic', id: heldId(), bytes: 0 };
  await records.write({ messages: [{ ...lastAnswer(tab), state: 'running', text: '', held }] });
  const next = openTab();
  await next.start(conversation);
  expect(host.resumed).toEqual([]);
  next.clients.set('attic', host);
  await until(() => lastAnswer(next).state === 'done');
  expect(lastAnswer(next).text).toBe('b');
});

test('what the host holds no more stays as far as it came, and can be asked for again', async () => {
  const tab = openTab();
  await answered(tab, 'a', 'b');
  const { conversation } = lastAnswer(tab);
  const held = { host: 'home', id: 'gone', bytes: 10 };
  const broken: Answer = { ...lastAnswer(tab), state: 'running', text: 'half of', held };
  await records.write({ messages: [broken] });
  const next = openTab();
  await next.start(conversation);
  await until(() => lastAnswer(next).state === 'broken');
  expect(lastAnswer(next).text).toBe('half of');
  await next.regenerate(broken.id, 'qwen3');
  await until(() => asked() === 2);
  host.say(event('whole'));
  host.end();
  await until(() => lastAnswer(next).state === 'done');
  expect(said(next)).toEqual(['user: a', 'assistant: whole']);
});

test('a lost connection is no end: the rest is read from the host', async () => {
  const tab = openTab();
  await tab.send('a', [], 'qwen3');
  await until(() => asked() === 1);
  host.say(event('one '));
  await until(() => lastAnswer(tab).text === 'one ');
  host.lose();
  await until(() => host.resumed.length === 1);
  host.say(event('two'));
  host.end();
  await until(() => lastAnswer(tab).state === 'done');
  expect(lastAnswer(tab).text).toBe('one two');
});

test('a request that never arrived fails with the reason, not with what the host lacks', async () => {
  const tab = openTab();
  host.refuse = failure('E_PATH_LOST');
  await tab.send('a', [], 'qwen3');
  await until(() => lastAnswer(tab).state === 'failed');
  expect(lastAnswer(tab).error?.message).toBe('The connection to the host was lost.');
});

test.each([
  ['an error of the server', () => host.lose(failure('E_UPSTREAM_FAILED')), 'The LLM server broke off'],
  ['its words in the answer', () => host.say('data: {"error":"out of memory"}\n\n'), 'out of memory'],
])('%s ends the answer, with what came', async (_, happen, words) => {
  const tab = openTab();
  await tab.send('a', [], 'qwen3');
  await until(() => asked() === 1);
  host.say(event('one '));
  await until(() => lastAnswer(tab).text === 'one ');
  happen();
  await until(() => lastAnswer(tab).state === 'failed');
  expect(lastAnswer(tab)).toMatchObject({ text: 'one ', error: { message: expect.stringContaining(words) } });
  expect(host.resumed).toEqual([]);
});

test('stop ends it at the host, too', async () => {
  const tab = openTab();
  await tab.send('a', [], 'qwen3');
  await until(() => asked() === 1);
  host.say(event('one '));
  await until(() => lastAnswer(tab).text === 'one ');
  tab.stop();
  await until(() => lastAnswer(tab).state === 'stopped');
  expect(lastAnswer(tab).text).toBe('one ');
  await until(() => host.released.includes(heldId()));
});

test('stop in a tab that only looks on ends it in the one that reads', async () => {
  const reader = openTab();
  await reader.send('a', [], 'qwen3');
  await until(() => asked() === 1);
  const other = openTab();
  await other.start(reader.state.current.id);
  other.stop();
  await until(() => lastAnswer(other).state === 'stopped');
  expect(lastAnswer(reader).state).toBe('stopped');
});

test('an answer that an edge refuses because nobody is signed in leads to the sign-in', async () => {
  const tab = openTab();
  host.refuse = Response.json({ error: { code: 'E_UNAUTHORIZED', message: 'no' } }, { status: 401 });
  await tab.send('a', [], 'qwen3');
  await until(() => unauthorized.length === 1);
});

test('a question that is asked otherwise cuts the conversation there', async () => {
  const tab = openTab();
  await answered(tab, 'a', 'b');
  await answered(tab, 'c', 'd');
  const [first] = tab.state.messages;
  await tab.edit(first?.id ?? '', 'A', 'qwen3');
  await until(() => asked() === 3);
  host.end();
  await until(() => lastAnswer(tab).state === 'done');
  expect(said(tab)).toEqual(['user: A', 'assistant: ']);
  expect(await records.messages(tab.state.current.id)).toHaveLength(2);
});

test('a question that is asked otherwise stays in its conversation, whichever is opened meanwhile', async () => {
  const tab = openTab();
  await answered(tab, 'a', 'b');
  const [first] = tab.state.messages;
  tab.begin();
  await answered(tab, 'c', 'd');
  const other = tab.state.current.id;
  await tab.open(first?.conversation ?? '');
  const edited = tab.edit(first?.id ?? '', 'A', 'qwen3');
  await Promise.all([edited, tab.open(other)]);
  await until(() => asked() === 3);
  host.end();
  const answerThere = async () => (await tab.messagesOf(first?.conversation ?? '')).at(-1);
  await vi.waitFor(async () => expect(await answerThere()).toMatchObject({ state: 'done' }), PATIENCE);
  expect((await tab.messagesOf(first?.conversation ?? '')).map(({ text }) => text)).toEqual(['A', '']);
  expect(said(tab)).toEqual(['user: c', 'assistant: d']);
  expect(await tab.messagesOf(other)).toHaveLength(2);
});

test('whoever presses twice is answered once', async () => {
  const tab = openTab();
  await answered(tab, 'a', 'b');
  const { id } = lastAnswer(tab);
  await Promise.all([tab.regenerate(id, 'qwen3'), tab.regenerate(id, 'qwen3')]);
  await until(() => asked() === 2);
  host.end();
  await until(() => lastAnswer(tab).state === 'done');
  expect(asked()).toBe(2);
  expect(await records.messages(tab.state.current.id)).toHaveLength(2);
});

test('what was asked before the list was there stays open', async () => {
  const before = openTab();
  await answered(before, 'a', 'b');
  const tab = openTab();
  const started = tab.start(before.state.current.id);
  await Promise.all([tab.send('c', [], 'qwen3'), started]);
  expect(said(tab)[0]).toBe('user: c');
});

test('a page that is hidden while an answer ends keeps its end', async () => {
  const written = Promise.withResolvers<void>();
  let isEnding = false;
  const slow = new (class extends MemoryRecords {
    override async replace(message: Message): Promise<boolean> {
      const known = await super.replace(message);
      if (message.role === 'assistant' && message.state === 'done') {
        isEnding = true;
        await written.promise;
      }
      return known;
    }
  })();
  const tab = openTab({ records: slow });
  await tab.send('a', [], 'qwen3');
  await until(() => asked() === 1);
  host.say(event('b'));
  host.end();
  await until(() => isEnding);
  tab.flush();
  written.resolve();
  await until(() => lastAnswer(tab).state === 'done');
  expect(await slow.message(lastAnswer(tab).id)).toMatchObject({ state: 'done' });
});

test('two tabs that ask in the same conversation at once lose nothing', async () => {
  const one = openTab();
  await answered(one, 'a', 'b');
  const two = openTab();
  await two.start(one.state.current.id);
  await Promise.all([one.send('from one', [], 'x'), two.send('from two', [], 'y')]);
  await until(() => asked() === 3);
  for (const response of host.responses.slice(1)) {
    for (const reader of response.readers) {
      reader.enqueue(new TextEncoder().encode(`${event(`for ${String(response.body.model)}`)}data: [DONE]\n\n`));
      reader.close();
    }
    response.readers.clear();
  }
  const all = ['user: a', 'assistant: b', 'user: from one', 'assistant: for x', 'user: from two', 'assistant: for y'];
  await until(() => [one, two].every((tab) => said(tab).toSorted().join() === all.toSorted().join()));
});

test('a tab shows what another one reads, and stops to read what another one deletes', async () => {
  const reader = openTab();
  await reader.send('a', [], 'qwen3');
  await until(() => asked() === 1);
  const other = openTab();
  await other.start(reader.state.current.id);
  clock += 1_000;
  host.say(event('one '));
  await until(() => lastAnswer(other).text === 'one ');
  expect(host.resumed).toEqual([]);
  await other.remove(other.state.current.id);
  clock += 1_000;
  host.say(event('two '));
  await until(() => host.released.length > 0);
  expect(await records.conversations()).toEqual([]);
  await records.each(() => {
    throw new Error('nothing is left');
  });
});

test('what was deleted comes back whole', async () => {
  const tab = openTab();
  await answered(tab, 'a', 'b');
  const { id } = tab.state.current;
  const undo = await tab.remove(id);
  expect([tab.state.conversations, tab.state.messages]).toEqual([[], []]);
  await undo();
  await tab.open(id);
  expect(said(tab)).toEqual(['user: a', 'assistant: b']);
});

test('settings, title and model are the conversation’s, and another tab’s are not overwritten', async () => {
  const tab = openTab();
  await tab.change(tab.state.current.id, { system: 'Be short.', parameters: { temperature: 0 } });
  await answered(tab, 'a', 'b');
  expect(host.responses[0]?.body).toMatchObject({
    messages: [{ role: 'system', content: 'Be short.' }, { role: 'user' }],
    temperature: 0,
  });
  const other = openTab();
  await other.start(undefined);
  await other.change(tab.state.current.id, { title: 'Mine' });
  await until(() => tab.state.current.title === 'Mine');
  await answered(tab, 'c', 'd');
  expect((await records.conversations())[0]).toMatchObject({ title: 'Mine', system: 'Be short.' });
});

test('all conversations go out and come back once, and nothing here is overwritten', async () => {
  const tab = openTab();
  await answered(tab, 'a', 'b');
  const file = await tab.all();
  expect(await tab.add(file)).toEqual({ added: 0, known: 1 });
  const { id } = tab.state.current;
  await tab.remove(id);
  await answered(tab, 'c', 'd');
  expect(await tab.add(file)).toEqual({ added: 1, known: 0 });
  expect(tab.state.conversations).toHaveLength(2);
  await tab.open(id);
  expect(said(tab)).toEqual(['user: a', 'assistant: b']);
});
