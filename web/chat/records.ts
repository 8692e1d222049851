/** Where conversations are kept. */
import type { Answer, Conversation, Message } from './conversation.ts';

/** Happens whole or not at all. */
export interface Change {
  conversations?: readonly Conversation[];
  messages?: readonly Message[];
  /** Ids of those that go, a conversation with all its messages. */
  gone?: { conversations?: readonly string[]; messages?: readonly string[] };
}

export interface Records {
  conversations(): Promise<Conversation[]>;
  /** Of one conversation, in any order. */
  messages(conversation: string): Promise<Message[]>;
  message(id: string): Promise<Message | undefined>;
  /** Answers whose end was not seen yet. */
  running(): Promise<Answer[]>;
  /** All that was ever said, one by one: they may be too many for the memory. */
  each(visit: (message: Message) => void): Promise<void>;
  write(change: Change): Promise<void>;
  /** Only what is still there is changed: another tab may have deleted it. Tells whether it was. */
  replace(message: Message): Promise<boolean>;
  /** As `replace`; fields that are not given stay as another tab may have set them. */
  patch(id: string, fields: Partial<Omit<Conversation, 'id'>>): Promise<boolean>;
}

/** As long as the page lives: where the browser forbids storage, and for tests. */
export class MemoryRecords implements Records {
  readonly #conversations = new Map<string, Conversation>();
  readonly #messages = new Map<string, Message>();

  async conversations(): Promise<Conversation[]> {
    return [...this.#conversations.values()];
  }

  async messages(conversation: string): Promise<Message[]> {
    return [...this.#messages.values()].filter((message) => message.conversation === conversation);
  }

  async message(id: string): Promise<Message | undefined> {
    return this.#messages.get(id);
  }

  async running(): Promise<Answer[]> {
    return [...this.#messages.values()].filter(
      (message): message is Answer => message.role === 'assistant' && message.state === 'running',
    );
  }

  async each(visit: (message: Message) => void): Promise<void> {
    for (const message of this.#messages.values()) visit(message);
  }

  async write({ conversations = [], messages = [], gone = {} }: Change): Promise<void> {
    for (const id of gone.messages ?? []) this.#messages.delete(id);
    for (const id of gone.conversations ?? []) {
      this.#conversations.delete(id);
      for (const message of this.#messages.values()) if (message.conversation === id) this.#messages.delete(message.id);
    }
    for (const conversation of conversations) this.#conversations.set(conversation.id, conversation);
    for (const message of messages) this.#messages.set(message.id, message);
  }

  async replace(message: Message): Promise<boolean> {
    if (!this.#messages.has(message.id)) return false;
    this.#messages.set(message.id, message);
    return true;
  }

  async patch(id: string, fields: Partial<Omit<Conversation, 'id'>>): Promise<boolean> {
    const found = this.#conversations.get(id);
    if (found === undefined) return false;
    this.#conversations.set(id, { ...found, ...fields });
    return true;
  }
}
