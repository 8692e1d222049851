/** Conversations in a database that may fail: what it does not take stays in the memory, and the person is told. */
import type { Answer, Conversation, Message } from './conversation.ts';
import { type Change, MemoryRecords, type Records } from './records.ts';

export class SafeRecords implements Records {
  readonly #open: () => Promise<Records>;
  #database: Promise<Records | undefined>;
  readonly #trouble: (error: unknown) => void;
  /** What the database did not take; it goes before what that has. */
  readonly #memory = new MemoryRecords();
  /** Deleted, though the database could not be told. */
  readonly #gone = new Set<string>();
  /** The person was told, and nothing was kept since. */
  #isTold = false;

  /** `trouble`: this device does not keep what it should. */
  constructor(open: () => Promise<Records>, trouble: (error: unknown) => void) {
    this.#trouble = trouble;
    this.#open = open;
    this.#database = open().catch((error: unknown) => {
      trouble(error);
      return undefined;
    });
  }

  async conversations(): Promise<Conversation[]> {
    const kept = await this.#read((database) => database.conversations(), []);
    return this.#both(kept, await this.#memory.conversations());
  }

  async messages(conversation: string): Promise<Message[]> {
    const kept = await this.#read((database) => database.messages(conversation), []);
    return this.#both(kept, await this.#memory.messages(conversation));
  }

  async message(id: string): Promise<Message | undefined> {
    if (this.#gone.has(id)) return undefined;
    const known = await this.#memory.message(id);
    return known ?? (await this.#read((database) => database.message(id), undefined));
  }

  async running(): Promise<Answer[]> {
    const kept = await this.#read((database) => database.running(), []);
    const answers: Answer[] = [];
    for (const { id } of this.#both(kept, await this.#memory.running())) {
      const answer = await this.message(id);
      if (answer?.role === 'assistant' && answer.state === 'running') answers.push(answer);
    }
    return answers;
  }

  async each(visit: (message: Message) => void): Promise<void> {
    const seen = new Set<string>();
    await this.#memory.each((message) => {
      seen.add(message.id);
      visit(message);
    });
    const visitOther = (message: Message) => {
      if (!seen.has(message.id) && !this.#gone.has(message.id)) visit(message);
    };
    await this.#read((database) => database.each(visitOther), undefined);
  }

  async write(change: Change): Promise<void> {
    const { conversations = [], messages = [], gone = {} } = change;
    const left = [...(gone.conversations ?? []), ...(gone.messages ?? [])];
    const put = [...conversations, ...messages].map(({ id }) => id);
    try {
      const written = await this.#use(async (database) => {
        await database.write(change);
        return true;
      });
      if (written === undefined) throw new Error('no database');
      this.#isTold = false;
      for (const id of [...left, ...put]) this.#gone.delete(id);
      const conversationsGone = [...(gone.conversations ?? []), ...conversations.map(({ id }) => id)];
      const messagesGone = [...(gone.messages ?? []), ...messages.map(({ id }) => id)];
      // A conversation that the database has taken may have messages that only the memory has.
      const others = (await Promise.all(conversations.map(({ id }) => this.#memory.messages(id)))).flat();
      await this.#memory.write({
        gone: { conversations: conversationsGone, messages: messagesGone },
        messages: others.filter(({ id }) => !messagesGone.includes(id)),
      });
    } catch (error) {
      this.#report(error);
      for (const id of left) this.#gone.add(id);
      for (const id of put) this.#gone.delete(id);
      await this.#memory.write(change);
    }
  }

  async replace(message: Message): Promise<boolean> {
    if (this.#gone.has(message.id)) return false;
    if (await this.#memory.replace(message)) return true;
    try {
      return (await this.#use((database) => database.replace(message))) ?? false;
    } catch (error) {
      this.#report(error);
      await this.#memory.write({ messages: [message] });
      return true;
    }
  }

  async patch(id: string, fields: Partial<Omit<Conversation, 'id'>>): Promise<boolean> {
    if (this.#gone.has(id)) return false;
    if (await this.#memory.patch(id, fields)) return true;
    try {
      return (await this.#use((database) => database.patch(id, fields))) ?? false;
    } catch (error) {
      this.#report(error);
      const known = (await this.conversations()).find((conversation) => conversation.id === id);
      if (known !== undefined) await this.#memory.write({ conversations: [{ ...known, ...fields }] });
      return known !== undefined;
    }
  }

  #both<Item extends Conversation | Message>(kept: readonly Item[], memory: readonly Item[]): Item[] {
    const items = new Map([...kept, ...memory].map((item) => [item.id, item]));
    const isGone = (item: Item) => 'conversation' in item && this.#gone.has(item.conversation);
    return [...items.values()].filter((item) => !this.#gone.has(item.id) && !isGone(item));
  }

  async #read<Value>(read: (database: Records) => Promise<Value>, otherwise: Value): Promise<Value> {
    try {
      return (await this.#use(read)) ?? otherwise;
    } catch (error) {
      this.#report(error);
      return otherwise;
    }
  }

  /** Undefined where there is no database. One that the browser has closed behind the page is opened once more. */
  async #use<Value>(use: (database: Records) => Promise<Value>): Promise<Value | undefined> {
    const opened = this.#database;
    const database = await opened;
    if (database === undefined) return undefined;
    try {
      return await use(database);
    } catch (error) {
      // As Safari does to pages that were in the background for long.
      if (!(error instanceof DOMException) || error.name !== 'InvalidStateError') throw error;
      if (this.#database === opened) this.#database = this.#open().catch(() => database);
      const again = await this.#database;
      if (again === undefined || again === database) throw error;
      return await use(again);
    }
  }

  #report(error: unknown): void {
    void this.#database.then((database) => {
      // Without one the person was told at once.
      if (database === undefined || this.#isTold) return;
      this.#isTold = true;
      this.#trouble(error);
    });
  }
}
