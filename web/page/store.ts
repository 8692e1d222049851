/** State that components show: it is replaced, never changed. */
export interface Watched<State> {
  readonly state: State;
  /** Calls `listener` at every change, until the returned function is called. */
  subscribe(listener: () => void): () => void;
}

export class Store<State extends object> implements Watched<State> {
  #state: State;
  readonly #listeners = new Set<() => void>();

  constructor(state: State) {
    this.#state = state;
  }

  get state(): State {
    return this.#state;
  }

  set(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
