/** Event handler attributes (WHATWG HTML, section 8.1.8.1) for classes that the platform does not make. */

type Handler = ((this: EventTarget, event: Event) => unknown) | null;

export class EventHandlers {
  readonly #target: EventTarget;
  readonly #handlers = new Map<string, Handler>();

  constructor(target: EventTarget) {
    this.#target = target;
  }

  get(type: string): Handler {
    return this.#handlers.get(type) ?? null;
  }

  /** What is no function is null. A handler keeps the place among the listeners that the first one took. */
  set(type: string, value: unknown): void {
    if (!this.#handlers.has(type) && typeof value === 'function') {
      this.#target.addEventListener(type, (event) => this.get(type)?.call(this.#target, event));
    }
    if (this.#handlers.has(type) || typeof value === 'function') {
      this.#handlers.set(type, typeof value === 'function' ? (value as Handler) : null);
    }
  }
}
