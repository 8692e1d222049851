/** A part of the dashboard that comes from the edge: loading, shown, empty, or failed. */
import { ApiError } from '../access/api-error.ts';
import { errorText } from '../access/error-text.ts';
import { h } from '../look/element.ts';
import type { Visit } from './visit.ts';

export interface PanelOptions<Data> {
  id: string;
  title: string;
  /** One sentence on what this is for. */
  about: string;
  /** Beside the title. */
  action?: HTMLElement;
  load(): Promise<Data>;
  show(data: Data): HTMLElement[];
  /** Shown in place of nothing. */
  empty: HTMLElement;
  /** Looked at again from time to time. */
  changesByItself?: boolean;
}

export class Panel<Data> {
  readonly element: HTMLElement;
  readonly changesByItself: boolean;
  readonly #visit: Visit;
  readonly #options: PanelOptions<Data>;
  readonly #body: HTMLElement;
  #newest = 0;
  /** As JSON. */
  #shown: string | undefined;

  constructor(visit: Visit, options: PanelOptions<Data>) {
    this.#visit = visit;
    this.#options = options;
    this.changesByItself = options.changesByItself ?? false;
    const { id, title, about, action } = options;
    this.#body = h('div', { class: 'panel-body', 'aria-busy': 'true' }, skeleton());
    this.element = h(
      'section',
      { class: 'panel', 'aria-labelledby': `${id}-title`, 'data-testid': `panel-${id}` },
      h('div', { class: 'panel-head' }, h('h1', { id: `${id}-title` }, title), action),
      h('p', { class: 'quiet-text' }, about),
      this.#body,
    );
  }

  /** What is shown stays until there is something newer. */
  async refresh(): Promise<void> {
    const number = ++this.#newest;
    this.#body.setAttribute('aria-busy', 'true');
    try {
      const data = await this.#options.load();
      if (number !== this.#newest) return;
      const shown = JSON.stringify(data);
      // Nothing is moved from under a pointer or a reader without need.
      if (shown === this.#shown) return;
      const content = this.#options.show(data);
      this.#replace(content.length === 0 ? [this.#options.empty] : content);
      this.#shown = shown;
    } catch (error) {
      if (number !== this.#newest) return;
      if (error instanceof ApiError && error.code === 'E_UNAUTHORIZED') return this.#visit.signedOut();
      // What was there is better than a passing failure of a look that nobody asked for.
      if (this.#shown === undefined) this.#replace([this.#failure(error)]);
    } finally {
      if (number === this.#newest) this.#body.removeAttribute('aria-busy');
    }
  }

  #replace(content: HTMLElement[]): void {
    // Whoever has opened a part of the list, or walked to it with the keyboard, is still there afterwards.
    const focused = document.activeElement?.closest<HTMLElement>('[data-focus]')?.dataset.focus;
    const inside = this.#body.contains(document.activeElement);
    this.#body.replaceChildren(...content);
    if (!inside) return;
    const again = [...this.#body.querySelectorAll<HTMLElement>('[data-focus]')].find(
      (at) => at.dataset.focus === focused,
    );
    again?.focus();
  }

  #failure(error: unknown): HTMLElement {
    const { message, hint } = errorText(error);
    return h(
      'div',
      { class: 'stack', role: 'alert' },
      h(
        'div',
        { class: 'notice' },
        h('strong', { class: 'notice-title' }, message),
        hint !== undefined && h('span', { class: 'notice-hint' }, hint),
      ),
      h(
        'div',
        { class: 'actions start' },
        h('button', { class: 'button quiet', type: 'button', click: () => void this.refresh() }, 'Try again'),
      ),
    );
  }
}

/** About as high as what comes. */
function skeleton(): HTMLElement {
  return h(
    'div',
    { class: 'skeleton', role: 'status' },
    h('span', { class: 'visually-hidden' }, 'Loading…'),
    h('i'),
    h('i'),
  );
}

/** For `empty`. */
export function nothing(title: string, ...more: (Node | string)[]): HTMLElement {
  return h('div', { class: 'empty' }, h('p', { class: 'empty-title' }, title), ...more);
}
