/** Conversations in the browser’s IndexedDB. */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { Answer, Conversation, Message } from './conversation.ts';
import type { Change, Records } from './records.ts';

const NAME = 'direct-agent.chats';
const VERSION = 1;

interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation };
  messages: { key: string; value: Message; indexes: { conversation: string; state: string } };
}

/** @throws DOMException where the browser has no place for us: private windows of some, a full disk. */
export async function openDatabase(): Promise<DatabaseRecords> {
  const database = await openDB<Schema>(NAME, VERSION, {
    upgrade(database) {
      database.createObjectStore('conversations', { keyPath: 'id' });
      const messages = database.createObjectStore('messages', { keyPath: 'id' });
      messages.createIndex('conversation', 'conversation');
      // Questions have none, and are not in it.
      messages.createIndex('state', 'state');
    },
    // A newer version of the page wants to upgrade it.
    blocking: (_current, _next, event) => (event.target as IDBDatabase).close(),
  });
  return new DatabaseRecords(database);
}

export class DatabaseRecords implements Records {
  readonly #database: IDBPDatabase<Schema>;

  constructor(database: IDBPDatabase<Schema>) {
    this.#database = database;
  }

  conversations(): Promise<Conversation[]> {
    return this.#database.getAll('conversations');
  }

  messages(conversation: string): Promise<Message[]> {
    return this.#database.getAllFromIndex('messages', 'conversation', conversation);
  }

  message(id: string): Promise<Message | undefined> {
    return this.#database.get('messages', id);
  }

  async running(): Promise<Answer[]> {
    const found = await this.#database.getAllFromIndex('messages', 'state', 'running');
    return found.filter((message): message is Answer => message.role === 'assistant');
  }

  async each(visit: (message: Message) => void): Promise<void> {
    let cursor = await this.#database.transaction('messages').store.openCursor();
    while (cursor !== null) {
      visit(cursor.value);
      cursor = await cursor.continue();
    }
  }

  async write({ conversations = [], messages = [], gone = {} }: Change): Promise<void> {
    const transaction = this.#database.transaction(['conversations', 'messages'], 'readwrite');
    const stores = {
      conversations: transaction.objectStore('conversations'),
      messages: transaction.objectStore('messages'),
    };
    const work: Promise<unknown>[] = [transaction.done];
    for (const id of gone.messages ?? []) work.push(stores.messages.delete(id));
    for (const id of gone.conversations ?? []) {
      work.push(stores.conversations.delete(id));
      const of = stores.messages.index('conversation').getAllKeys(id);
      work.push(of.then((keys) => Promise.all(keys.map((key) => stores.messages.delete(key)))));
    }
    for (const conversation of conversations) work.push(stores.conversations.put(conversation));
    for (const message of messages) work.push(stores.messages.put(message));
    await Promise.all(work);
  }

  async replace(message: Message): Promise<boolean> {
    const transaction = this.#database.transaction('messages', 'readwrite');
    const known = (await transaction.store.getKey(message.id)) !== undefined;
    await Promise.all([known && transaction.store.put(message), transaction.done]);
    return known;
  }

  async patch(id: string, fields: Partial<Omit<Conversation, 'id'>>): Promise<boolean> {
    const transaction = this.#database.transaction('conversations', 'readwrite');
    const found = await transaction.store.get(id);
    await Promise.all([found && transaction.store.put({ ...found, ...fields }), transaction.done]);
    return found !== undefined;
  }

  close(): void {
    this.#database.close();
  }
}
