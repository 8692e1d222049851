import { IDBFactory } from 'fake-indexeddb';
import 'fake-indexeddb/auto';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Answer, type Conversation, newConversation, type Question } from './conversation.ts';
import { type DatabaseRecords, openDatabase } from './database.ts';
import { MemoryRecords, type Records } from './records.ts';
import { SafeRecords } from './safe-records.ts';
import { search } from './search.ts';

const conversation = (id: string, title = id): Conversation => ({ ...newConversation(id, 1), title });
const question = (id: string, of: string, text = id): Question => {
  return { id, conversation: of, turn: 1, role: 'user', text, attachments: [] };
};
const answer = (id: string, of: string, state: Answer['state'], text = id): Answer => {
  return { id, conversation: of, turn: 1, role: 'assistant', text, state, model: '', reasoning: '', startedAt: 1 };
};
const ids = (items: { id: string }[]) => items.map(({ id }) => id).sort();

beforeEach(() => {
  // What `idb` uses is the global one; every test has a device of its own.
  globalThis.indexedDB = new IDBFactory();
});

/** Takes nothing, as a full disk. */
class FullRecords extends MemoryRecords {
  full = false;

  override async write(change: Parameters<MemoryRecords['write']>[0]): Promise<void> {
    if (this.full) throw new DOMException('full', 'QuotaExceededError');
    await super.write(change);
  }

  override async replace(message: Parameters<MemoryRecords['replace']>[0]): Promise<boolean> {
    if (this.full) throw new DOMException('full', 'QuotaExceededError');
    return await super.replace(message);
  }
}

const noTrouble = (error: unknown) => {
  throw error;
};

describe.each<[string, () => Promise<Records>]>([
  ['the memory', async () => new MemoryRecords()],
  ['a database', openDatabase],
  ['a database that works', async () => new SafeRecords(openDatabase, noTrouble)],
  [
    'a database that cannot be opened',
    async () =>
      new SafeRecords(
        () => Promise.reject(new Error()),
        () => {},
      ),
  ],
])('records in %s', (_, open) => {
  test('are kept, found and deleted', async () => {
    const records = await open();
    await records.write({
      conversations: [conversation('a'), conversation('b')],
      messages: [question('a1', 'a'), answer('a2', 'a', 'running'), answer('b1', 'b', 'done')],
    });
    expect(ids(await records.conversations())).toEqual(['a', 'b']);
    expect(ids(await records.messages('a'))).toEqual(['a1', 'a2']);
    expect(ids(await records.running())).toEqual(['a2']);
    expect(await records.replace(answer('a2', 'a', 'done', 'whole'))).toBe(true);
    expect(await records.message('a2')).toMatchObject({ text: 'whole' });
    expect(await records.running()).toEqual([]);
    expect(await records.patch('a', { title: 'new' })).toBe(true);
    await records.write({ gone: { messages: ['a1'], conversations: ['b'] } });
    expect(await records.conversations()).toEqual([conversation('a', 'new')]);
    expect(ids([...(await records.messages('a')), ...(await records.messages('b'))])).toEqual(['a2']);
  });

  test('that are gone do not come back by a change', async () => {
    const records = await open();
    expect(await records.replace(question('x', 'a'))).toBe(false);
    expect(await records.patch('a', { title: 'x' })).toBe(false);
    expect([await records.conversations(), await records.messages('a')]).toEqual([[], []]);
  });

  test('are searched word by word, in titles and texts', async () => {
    const records = await open();
    const conversations = [conversation('a', 'About fjords'), conversation('b', 'Other')];
    const long = `${'x '.repeat(100)}the Deep water${' y'.repeat(100)}`;
    const thought = '<think>secret</think>shallow';
    await records.write({
      conversations,
      messages: [question('a1', 'a', 'How?'), answer('a2', 'a', 'done', long), answer('b1', 'b', 'done', thought)],
    });
    const found = async (query: string) =>
      (await search(records, conversations, query)).map((one) => one.conversation.id);
    expect(await found('FJORD')).toEqual(['a']);
    expect(await found('fjord deep')).toEqual(['a']);
    expect(await found('deep shallow')).toEqual([]);
    expect(await found('secret')).toEqual([]);
    expect(await found(' ')).toEqual(['a', 'b']);
    expect((await search(records, conversations, 'deep'))[0]?.excerpt).toMatch(/^…x .*the Deep water y.*…$/);
  });
});

test('two pages of a browser have the same', async () => {
  const [one, two] = [await openDatabase(), await openDatabase()];
  await one.write({ conversations: [conversation('a')] });
  expect(ids(await two.conversations())).toEqual(['a']);
});

test('a database that the browser has closed behind the page is opened once more', async () => {
  const opened: DatabaseRecords[] = [];
  const open = async () => {
    const database = await openDatabase();
    opened.push(database);
    return database;
  };
  const records = new SafeRecords(open, noTrouble);
  await records.write({ conversations: [conversation('a')], messages: [answer('a1', 'a', 'running')] });
  opened[0]?.close();
  await Promise.all([
    records.replace(answer('a1', 'a', 'done', 'whole')),
    records.write({ conversations: [conversation('b')] }),
  ]);
  expect(opened).toHaveLength(2);
  expect(ids(await records.conversations())).toEqual(['a', 'b']);
  expect(await (await openDatabase()).message('a1')).toMatchObject({ text: 'whole' });
});

test('what a full device does not take stays with the page, which is told, and goes to the device when it can', async () => {
  const device = new FullRecords();
  const troubles: unknown[] = [];
  const records = new SafeRecords(
    async () => device,
    (error) => troubles.push(error),
  );
  await records.write({
    conversations: [conversation('a')],
    messages: [question('a1', 'a'), answer('a2', 'a', 'running')],
  });
  device.full = true;
  await records.write({ conversations: [conversation('b')], messages: [question('b1', 'b')] });
  expect(await records.replace(answer('a2', 'a', 'running', 'longer'))).toBe(true);
  expect(await records.replace(answer('a2', 'a', 'done', 'whole'))).toBe(true);
  // Once: an answer that comes is written twice in a second.
  expect(troubles).toHaveLength(1);
  expect(ids(await records.conversations())).toEqual(['a', 'b']);
  expect(await records.message('a2')).toMatchObject({ text: 'whole' });
  expect(await records.running()).toEqual([]);
  await records.write({ gone: { conversations: ['a'] } });
  expect(ids(await records.conversations())).toEqual(['b']);
  expect(await records.messages('a')).toEqual([]);
  device.full = false;
  await records.write({ conversations: [conversation('b')], messages: [question('b1', 'b')] });
  expect(ids(await device.messages('b'))).toEqual(['b1']);
});
