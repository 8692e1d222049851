/** The answers that are coming to this tab. A closed tab’s are taken over by the next one that looks. */
import type { Clients } from './chat-client.ts';
import type { Answer } from './conversation.ts';
import type { Locks } from './locks.ts';
import type { Records } from './records.ts';
import { type ReplyEnd, runReply } from './reply.ts';
import type { RequestBody } from './request.ts';

export interface RepliesOptions {
  records: Records;
  clients: Clients;
  locks: Locks;
  now: () => number;
  pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Over when a person has the page before them. */
  shown: () => Promise<void>;
  /** An answer is not as it was. */
  changed: (answer: Answer) => void;
  /** One that this tab read is at its end, and kept. */
  ended: (end: ReplyEnd) => void;
  /** The device has it in another form than before. */
  saved: (answer: Answer) => void;
}

interface Running {
  conversation: string;
  stop: AbortController;
  /** Over when the device has the answer’s beginning. */
  kept: Promise<void>;
  answer: Answer;
  /** This tab is the one that reads it. */
  reads: boolean;
}

export class Replies {
  readonly #options: RepliesOptions;
  readonly #running = new Map<string, Running>();

  constructor(options: RepliesOptions) {
    this.#options = options;
  }

  /** Of this tab, as far as it has come: newer than what is kept. */
  answer(id: string): Answer | undefined {
    const running = this.#running.get(id);
    return running?.reads === true ? running.answer : undefined;
  }

  /** Asks for it. The device has it when `kept` is over, which the request does not wait for. */
  start(answer: Answer, host: string, body: RequestBody, kept: Promise<void>): void {
    void this.#run(answer, kept, async (stop) => this.#read(answer, host, body, stop));
  }

  /** Goes on with one that a tab has begun, when that is gone and the host is there. */
  resume({ id, conversation }: Pick<Answer, 'id' | 'conversation'>): void {
    void this.#options.records.message(id).then((message) => {
      if (message?.role !== 'assistant' || message.conversation !== conversation) return;
      void this.#run(message, Promise.resolve(), async (stop) => {
        // The tab that had it has brought it further, or to its end.
        const now = await this.#options.records.message(id);
        if (now?.role !== 'assistant' || now.state !== 'running') return;
        if (now.held === undefined) return await this.#end(id, { answer: { ...now, state: 'broken' } });
        await this.#read(now, now.held.host, undefined, stop);
      });
    });
  }

  stop(conversation: string): void {
    for (const running of this.#running.values()) if (running.conversation === conversation) running.stop.abort();
  }

  /** Keeps what came so far, before the page may be gone. */
  flush(): void {
    for (const { answer, reads } of this.#running.values()) if (reads) void this.#save(answer);
  }

  async #run(answer: Answer, kept: Promise<void>, run: (stop: AbortController) => Promise<void>): Promise<void> {
    const { id, conversation } = answer;
    if (this.#running.has(id)) return;
    const stop = new AbortController();
    this.#running.set(id, { conversation, stop, kept, answer, reads: false });
    try {
      await this.#options.locks.hold(`answer.${id}`, stop.signal, () => run(stop));
    } catch (error) {
      // Stopped while another tab had it: that one goes on.
      if (!stop.signal.aborted) throw error;
    } finally {
      this.#running.delete(id);
    }
  }

  async #read(answer: Answer, host: string, body: RequestBody | undefined, stop: AbortController): Promise<void> {
    const { clients, now, pause, shown } = this.#options;
    const running = this.#running.get(answer.id);
    if (running !== undefined) running.reads = true;
    const changed = (next: Answer) => {
      if (running !== undefined) running.answer = next;
      this.#options.changed(next);
    };
    const save = (next: Answer) => {
      // It was deleted, perhaps in another tab: nobody wants the rest.
      void this.#save(next).then((known) => known || stop.abort());
    };
    const end = await runReply(answer, body, { host, clients, signal: stop.signal, now, pause, shown, changed, save });
    await this.#end(answer.id, end);
  }

  async #end(id: string, end: ReplyEnd): Promise<void> {
    const running = this.#running.get(id);
    // Whoever flushes or looks meanwhile must not bring back what was before the end.
    if (running !== undefined) running.answer = end.answer;
    await this.#save(end.answer);
    this.#running.delete(id);
    this.#options.ended(end);
  }

  async #save(answer: Answer): Promise<boolean> {
    await this.#running.get(answer.id)?.kept;
    const known = await this.#options.records.replace(answer);
    if (known) this.#options.saved(answer);
    return known;
  }
}
