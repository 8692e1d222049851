/** The conversations of this device, the one that is open, and what a person may do with them. */
import { isUnauthorized } from '../access/error-text.ts';
import type { Clients } from './chat-client.ts';
import {
  type Answer,
  type Attachment,
  byAge,
  type Conversation,
  inOrder,
  type Kept,
  type Message,
  newConversation,
  nextTurn,
  type Question,
  titleFrom,
} from './conversation.ts';
import type { Locks } from './locks.ts';
import type { Records } from './records.ts';
import { Replies } from './replies.ts';
import type { ReplyEnd } from './reply.ts';
import { requestBody } from './request.ts';
import { type Found, search } from './search.ts';

export interface ChatsState {
  /** Newest first. */
  conversations: readonly Conversation[];
  /** The open one; not in the list before its first message. */
  current: Conversation;
  messages: readonly Message[];
  /** Whether `messages` are there. */
  loaded: boolean;
}

/** What one tab tells the others. */
export interface News {
  /** It, or the list, is not as it was. */
  conversation: string;
  /** Its answer is to end, in whatever tab that comes. */
  stop?: true;
}

export interface ChatsOptions {
  records: Records;
  clients: Clients;
  locks: Locks;
  newId: () => string;
  now: () => number;
  pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Over when a person has the page before them: one that is being closed ends nothing. */
  shown: () => Promise<void>;
  /** Tells the other tabs. */
  tell: (news: News) => void;
  /** The edge does not know this browser any more. */
  unauthorized: (error: unknown) => void;
}

export class Chats {
  readonly #options: ChatsOptions;
  readonly #replies: Replies;
  readonly #listeners = new Set<() => void>();
  #state: ChatsState;

  constructor(options: ChatsOptions) {
    this.#options = options;
    this.#state = { conversations: [], current: this.#fresh(), messages: [], loaded: true };
    const { records, clients, locks, now, pause, shown, tell } = options;
    const changed = (answer: Answer) => this.#show(answer);
    const ended = (end: ReplyEnd) => this.#ended(end);
    const saved = ({ conversation }: Answer) => tell({ conversation });
    this.#replies = new Replies({ records, clients, locks, now, pause, shown, changed, ended, saved });
  }

  get state(): ChatsState {
    return this.#state;
  }

  /** Calls `listener` at every change, until the returned function is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads the list, opens the conversation that was open, and goes on with answers that were coming. */
  async start(open: string | undefined): Promise<void> {
    await this.#list();
    const known = this.#state.conversations.some(({ id }) => id === open);
    if (open !== undefined && known && this.#isFresh()) await this.open(open);
    for (const answer of await this.#options.records.running()) this.#replies.resume(answer);
  }

  // ---- which one is open ----

  begin(): void {
    if (!this.#isFresh()) this.#set({ current: this.#fresh(), messages: [], loaded: true });
  }

  async open(id: string): Promise<void> {
    const current = this.#state.conversations.find((conversation) => conversation.id === id);
    if (current === undefined || this.#state.current.id === id) return;
    this.#set({ current, messages: [], loaded: false });
    await this.#load(id);
  }

  /** Another tab tells something. */
  async hear({ conversation, stop }: News): Promise<void> {
    if (stop === true) return this.#replies.stop(conversation);
    await this.#list();
    const { current, conversations } = this.#state;
    if (current.id !== conversation) return;
    const known = conversations.find(({ id }) => id === conversation);
    if (known === undefined) return this.begin();
    this.#set({ current: known });
    await this.#load(conversation);
  }

  // ---- what is said ----

  /** `model` is asked at the host of the moment. */
  async send(text: string, attachments: readonly Attachment[], model: string): Promise<void> {
    await this.#ask(this.#state.messages, { text, attachments: [...attachments] }, model);
  }

  /** Asks again with another text; what came after goes. */
  async edit(id: string, text: string, model: string): Promise<void> {
    const { messages } = this.#state;
    const at = messages.findIndex((message) => message.id === id);
    const question = messages[at];
    if (question?.role !== 'user' || this.#options.clients.host === undefined) return;
    this.stop();
    await this.#ask(messages.slice(0, at), { text, attachments: question.attachments }, model, messages.slice(at));
  }

  /** Asks for the answer anew; what came after goes. */
  async regenerate(id: string, model: string): Promise<void> {
    const { messages } = this.#state;
    const at = messages.findIndex((message) => message.id === id);
    const answer = messages[at];
    if (answer?.role !== 'assistant' || this.#options.clients.host === undefined) return;
    this.stop();
    await this.#answer(messages.slice(0, at), [], answer.turn, model, messages.slice(at));
  }

  stop(): void {
    const conversation = this.#state.current.id;
    this.#replies.stop(conversation);
    this.#options.tell({ conversation, stop: true });
  }

  /** Keeps what came so far, before the page may be gone. */
  flush(): void {
    this.#replies.flush();
  }

  // ---- the list ----

  async change(id: string, fields: Partial<Pick<Conversation, 'title' | 'system' | 'parameters' | 'model'>>) {
    const { current, conversations } = this.#state;
    if (current.id === id) this.#set({ current: { ...current, ...fields } });
    this.#set({ conversations: conversations.map((one) => (one.id === id ? { ...one, ...fields } : one)) });
    if (await this.#options.records.patch(id, fields)) this.#options.tell({ conversation: id });
  }

  /** Gone from the device. What is returned brings it back. */
  async remove(id: string): Promise<() => Promise<void>> {
    const { records, tell } = this.#options;
    const kept = await this.#kept((conversation) => conversation.id === id);
    this.#replies.stop(id);
    await records.write({ gone: { conversations: [id] } });
    tell({ conversation: id });
    if (this.#state.current.id === id) this.begin();
    await this.#list();
    return () => this.#put(kept);
  }

  search(query: string): Promise<Found[]> {
    return search(this.#options.records, this.#state.conversations, query);
  }

  async messagesOf(id: string): Promise<Message[]> {
    return inOrder(await this.#options.records.messages(id));
  }

  /** All of them, with what was said. */
  all(): Promise<Kept[]> {
    return this.#kept(() => true);
  }

  /** Adds what is new of a file; what this device has already stays as it is. */
  async add(file: readonly Kept[]): Promise<{ added: number; known: number }> {
    const known = new Set((await this.#options.records.conversations()).map(({ id }) => id));
    const added = file.filter(({ conversation: { id } }) => !known.has(id) && known.add(id));
    // Ids of a file’s messages could be those of other conversations here.
    const { newId } = this.#options;
    await this.#put(
      added.map(({ conversation, messages }) => ({
        conversation,
        messages: messages.map((message) => ({ ...message, id: newId() })),
      })),
    );
    return { added: added.length, known: file.length - added.length };
  }

  // ---- inside ----

  #fresh(): Conversation {
    return newConversation(this.#options.newId(), this.#options.now());
  }

  /** Nothing was said in the open one; the list may not have it yet though it was. */
  #isFresh(): boolean {
    const { current, conversations, messages } = this.#state;
    return messages.length === 0 && !conversations.some(({ id }) => id === current.id);
  }

  async #ask(
    before: readonly Message[],
    said: Pick<Question, 'text' | 'attachments'>,
    model: string,
    gone: readonly Message[] = [],
  ): Promise<void> {
    const { newId, now } = this.#options;
    const { id: conversation } = this.#state.current;
    const question: Question = { id: newId(), conversation, turn: nextTurn(before, now()), role: 'user', ...said };
    await this.#answer([...before, question], [question], question.turn, model, gone);
  }

  /**
   * `said` up to the question; `added` are those of it that are not kept yet, and `gone` those that make room. All of it
   * is decided before anything is waited for: meanwhile the person may open another conversation, or press twice.
   */
  async #answer(
    said: readonly Message[],
    added: readonly Question[],
    turn: number,
    model: string,
    gone: readonly Message[],
  ): Promise<void> {
    const { records, clients, newId, now, tell } = this.#options;
    const { host } = clients;
    if (host === undefined) return;
    const { current } = this.#state;
    const [first] = added;
    const title = current.title === '' && first !== undefined ? titleFrom(first) : current.title;
    const conversation = { ...current, title, model, updatedAt: now() };
    const id = newId();
    const answer: Answer = {
      id,
      conversation: current.id,
      turn,
      role: 'assistant',
      text: '',
      state: 'running',
      model,
      reasoning: '',
      startedAt: now(),
      held: { host, id: newId(), bytes: 0 },
    };
    this.#set({ current: conversation, messages: [...said, answer], loaded: true });
    // Without waiting for the device: the request has to leave.
    const kept = records.write({
      conversations: [conversation],
      messages: [...added, answer],
      gone: { messages: gone.map(({ id }) => id) },
    });
    this.#replies.start(answer, host, requestBody(conversation, model, said), kept);
    await kept;
    tell({ conversation: current.id });
    await this.#list();
  }

  #ended({ answer, error }: ReplyEnd): void {
    this.#show(answer);
    void this.#options.records.patch(answer.conversation, { updatedAt: this.#options.now() }).then(() => this.#list());
    if (isUnauthorized(error)) this.#options.unauthorized(error);
  }

  #show(answer: Answer): void {
    const { current, messages } = this.#state;
    if (current.id !== answer.conversation) return;
    this.#set({ messages: messages.map((message) => (message.id === answer.id ? answer : message)) });
  }

  async #load(id: string): Promise<void> {
    const kept = inOrder(await this.#options.records.messages(id));
    if (this.#state.current.id !== id) return;
    this.#set({ messages: kept.map((message) => this.#replies.answer(message.id) ?? message), loaded: true });
    // Of a tab that may be gone.
    for (const message of kept)
      if (message.role === 'assistant' && message.state === 'running') this.#replies.resume(message);
  }

  async #list(): Promise<void> {
    this.#set({ conversations: byAge(await this.#options.records.conversations()) });
  }

  async #kept(which: (conversation: Conversation) => boolean): Promise<Kept[]> {
    const { records } = this.#options;
    const conversations = byAge(await records.conversations()).filter(which);
    return await Promise.all(
      conversations.map(async (conversation) => ({
        conversation,
        messages: inOrder(await records.messages(conversation.id)),
      })),
    );
  }

  async #put(kept: readonly Kept[]): Promise<void> {
    const conversations = kept.map(({ conversation }) => conversation);
    await this.#options.records.write({ conversations, messages: kept.flatMap(({ messages }) => messages) });
    for (const { id } of conversations) this.#options.tell({ conversation: id });
    await this.#list();
  }

  #set(change: Partial<ChatsState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}
