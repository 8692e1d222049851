/** Which key each host has, as this browser learned it from outside the edge: localStorage `direct-agent.pins`. */

const STORAGE_KEY = 'direct-agent.pins';

export class Pins {
  readonly #storage: () => Storage;
  /** Where the browser forbids storage, for as long as the page lives. */
  #memory: Record<string, string> = {};

  constructor(storage: () => Storage) {
    this.#storage = storage;
  }

  /** The key of this host, base64url; undefined if this browser has none. */
  get(host: string): string | undefined {
    const pins = this.#load();
    return Object.hasOwn(pins, host) ? pins[host] : undefined;
  }

  /** What a key from elsewhere is to the pin. A changed one is for a person to judge. */
  compare(host: string, key: string): 'new' | 'same' | 'changed' {
    const pin = this.get(host);
    return pin === undefined ? 'new' : pin === key ? 'same' : 'changed';
  }

  set(host: string, key: string): void {
    // Read again: another tab may have added one.
    this.#save({ ...this.#load(), [host]: key });
  }

  delete(host: string): void {
    const { [host]: _, ...rest } = this.#load();
    this.#save(rest);
  }

  #load(): Record<string, string> {
    try {
      const stored: unknown = JSON.parse(this.#storage().getItem(STORAGE_KEY) ?? '{}');
      if (typeof stored !== 'object' || stored === null || Array.isArray(stored)) return this.#memory;
      const pins = Object.entries(stored).filter(([, key]) => typeof key === 'string');
      return { ...Object.fromEntries(pins), ...this.#memory };
    } catch {
      return this.#memory;
    }
  }

  #save(pins: Record<string, string>): void {
    try {
      this.#storage().setItem(STORAGE_KEY, JSON.stringify(pins));
      this.#memory = {};
    } catch {
      this.#memory = pins;
    }
  }
}
