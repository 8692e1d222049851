/** The messages on the page. Text only: nothing that a model says becomes markup. */

import type { ErrorText } from '../access/error-text.ts';
import { create } from '../look/element.ts';

/** Who is this near to the end wants to see what comes. */
const NEAR_END_PX = 80;

export class Conversation {
  readonly #list: HTMLElement;
  /** The person is at the end; growing content alone does not change that, scrolling does. */
  #following = true;
  #scrollDue = false;

  constructor(list: HTMLElement) {
    this.#list = list;
    list.addEventListener('scroll', () => {
      this.#following = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX;
    });
    // The keyboard of a phone, or a composer of several lines.
    new ResizeObserver(() => this.#follow()).observe(list);
  }

  addUser(text: string): void {
    const message = create('article', 'message message-user');
    message.dataset.testid = 'message-user';
    message.append(create('span', 'visually-hidden', 'You: '), create('p', 'message-text', text));
    this.#list.append(message);
    this.#following = true;
    this.#follow();
  }

  addAnswer(): Answer {
    // Only the newest answer can be tried again.
    for (const button of this.#list.querySelectorAll('.retry')) button.remove();
    const answer = new Answer(() => this.#follow());
    this.#list.append(answer.element);
    this.#follow();
    return answer;
  }

  /** Once per frame: the layout for every token would make the page slow. */
  #follow(): void {
    if (!this.#following || this.#scrollDue) return;
    this.#scrollDue = true;
    requestAnimationFrame(() => {
      this.#scrollDue = false;
      this.#list.scrollTop = this.#list.scrollHeight;
    });
  }
}

/** One answer while it comes. */
export class Answer {
  readonly element = create('article', 'message message-assistant');
  readonly #paragraph = create('p', 'message-text');
  readonly #text = new Text();
  readonly #aside = create('p', 'aside');
  readonly #grown: () => void;

  constructor(grown: () => void) {
    this.#grown = grown;
    this.element.dataset.testid = 'message-assistant';
    this.element.setAttribute('aria-busy', 'true');
    this.#paragraph.append(this.#text);
    this.element.append(create('span', 'visually-hidden', 'Model: '), this.#paragraph);
  }

  get text(): string {
    return this.#text.data;
  }

  append(text: string): void {
    this.#aside.remove();
    this.#text.appendData(text);
    this.#grown();
  }

  /** A remark of the page itself, such as that the model thinks. */
  remark(text: string): void {
    if (this.#aside.isConnected && this.#aside.textContent === text) return;
    this.#aside.textContent = text;
    this.element.append(this.#aside);
    this.#grown();
  }

  /** No more text comes. */
  finish(): void {
    this.element.removeAttribute('aria-busy');
    if (this.text === '') this.#paragraph.remove();
  }

  fail({ message, hint }: ErrorText, retry: () => void): void {
    this.#aside.remove();
    this.finish();
    const notice = create('div', 'notice');
    notice.setAttribute('role', 'alert');
    notice.append(create('strong', 'notice-title', message));
    if (hint !== undefined) notice.append(create('span', 'notice-hint', hint));
    const button = create('button', 'retry', 'Try again');
    button.setAttribute('type', 'button');
    button.addEventListener('click', () => {
      this.element.remove();
      retry();
    });
    this.element.append(notice, button);
    this.#grown();
  }
}
