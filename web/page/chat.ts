/** One conversation with the host: what was said, and the answer that is coming. */

import { errorText, isUnauthorized } from '../access/error-text.ts';
import type { Client } from '../client/index.ts';
import { type ChatMessage, complete } from './completion.ts';
import { Composer, type ComposerParts } from './composer.ts';
import { Conversation } from './conversation.ts';

export interface ChatParts extends ComposerParts {
  list: HTMLElement;
  welcome: HTMLElement;
  model: HTMLSelectElement;
}

export class Chat {
  readonly #parts: ChatParts;
  readonly #composer: Composer;
  readonly #conversation: Conversation;
  readonly #unauthorized: (error: unknown) => void;
  readonly #messages: ChatMessage[] = [];
  #client: Client | undefined;
  #running: AbortController | undefined;

  /** `unauthorized`: the edge no longer knows the token. */
  constructor(parts: ChatParts, unauthorized: (error: unknown) => void) {
    this.#parts = parts;
    this.#unauthorized = unauthorized;
    this.#conversation = new Conversation(parts.list);
    this.#composer = new Composer(parts, {
      send: (text) => this.#send(text),
      stop: () => this.#running?.abort(),
    });
  }

  /** Talks to this client from now on; undefined while there is none. */
  set client(client: Client | undefined) {
    this.#client = client;
  }

  /** The models were looked up: without one there is nothing to send to. */
  set ready(ready: boolean) {
    this.#composer.ready = ready;
  }

  #send(text: string): void {
    this.#parts.welcome.remove();
    const last = this.#messages.at(-1);
    // Many models refuse two messages of one side in a row, which an answer that failed would leave.
    if (last?.role === 'user') last.content += `\n\n${text}`;
    else this.#messages.push({ role: 'user', content: text });
    this.#conversation.addUser(text);
    void this.#answer();
  }

  async #answer(): Promise<void> {
    const client = this.#client;
    if (client === undefined) return;
    const running = new AbortController();
    this.#running = running;
    this.#composer.running = true;
    const answer = this.#conversation.addAnswer();
    try {
      for await (const delta of complete(client.fetch, this.#parts.model.value, this.#messages, running.signal)) {
        if (delta.type === 'text') answer.append(delta.text);
        else if (answer.text === '') answer.remark('The model is thinking…');
      }
      answer.finish();
      if (answer.text === '') answer.remark('The model answered with nothing.');
    } catch (error) {
      if (running.signal.aborted) {
        answer.finish();
        answer.remark('Stopped.');
      } else {
        answer.fail(errorText(error), () => void this.#answer());
        if (isUnauthorized(error)) this.#unauthorized(error);
        return;
      }
    } finally {
      this.#running = undefined;
      this.#composer.running = false;
    }
    if (answer.text !== '') this.#messages.push({ role: 'assistant', content: answer.text });
  }
}
