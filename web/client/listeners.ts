/** Who wants to know what: `Events` names each event's value. */
export class Listeners<Events> {
  readonly #all = new Map<keyof Events, Set<(value: never) => void>>();

  /** Calls `listener` at every `tell`, until the returned function is called. */
  add<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): () => void {
    // An entry of its own, so that adding a listener twice and removing it once leaves one.
    const entry = (value: Events[Name]) => listener(value);
    const set = this.#all.get(name) ?? new Set();
    this.#all.set(name, set.add(entry));
    return () => set.delete(entry);
  }

  tell<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of [...(this.#all.get(name) ?? [])] as ((value: Events[Name]) => void)[]) {
      try {
        listener(value);
      } catch (error) {
        // A listener's mistake must not break the connection; the page's console shows it.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
