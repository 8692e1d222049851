/** One LLM server, as long as the agent knows of it. */
import type { LocalServer, ServerKind } from './discovery.ts';
import type { ListedModel } from './model-list.ts';

/** Header fields for one server, such as its API key. */
export type OwnHeaders = Readonly<Record<string, string>>;

export class Upstream {
  /** Short and without a slash, for clients: `ollama`, `vllm-2`. */
  readonly name: string;
  /** Base URL without a slash at the end. */
  readonly url: string;
  readonly kind: ServerKind;
  /** For people. */
  readonly label: string;
  /** It asks for a key, or nobody knows what it asks for. */
  readonly asksForKey: boolean;
  isUp = true;
  /** When it was last seen, on the clock of `Upstreams`. */
  seenAt: number;
  #models: readonly string[];
  #list: readonly ListedModel[] | undefined;
  /** When the list came. */
  listedAt = Number.NEGATIVE_INFINITY;
  /** Whether its list of models could be read. */
  isListed: boolean;

  constructor(name: string, found: LocalServer, isIdentified: boolean, now: number) {
    this.name = name;
    this.url = found.url;
    this.kind = found.kind;
    this.label = found.name;
    this.asksForKey = found.needsKey || !isIdentified;
    this.isListed = isIdentified && !found.needsKey;
    this.#models = found.models;
    this.seenAt = now;
  }

  get models(): readonly string[] {
    return this.#models;
  }

  /** The models with what the server says of them, or with what every client expects. */
  get list(): readonly ListedModel[] {
    return this.#list ?? this.#models.map((id) => ({ id, object: 'model', created: 0, owned_by: this.name }));
  }

  /** Returns whether the names are others than before. */
  take(list: readonly ListedModel[], now: number): boolean {
    const models = list.map(({ id }) => id);
    const isNew = models.join('\n') !== this.#models.join('\n');
    this.#list = list;
    this.#models = models;
    this.isListed = true;
    this.listedAt = now;
    return isNew;
  }

  /** For the dashboard and the log. */
  describe(): LocalServer {
    const { kind, label: name, url, models } = this;
    return { kind, name, url, models, needsKey: this.asksForKey && !this.isListed };
  }
}

/** The names of servers: by kind, a number behind those that come later, unless the user has chosen others. */
export class ShortNames {
  /** By URL. */
  readonly #chosen: Readonly<Record<string, string>>;
  /** By kind and URL: a server that comes back is called as before. */
  readonly #given = new Map<string, string>();

  constructor(chosen: Readonly<Record<string, string>>) {
    this.#chosen = chosen;
  }

  of(url: string, kind: ServerKind): string {
    const key = `${kind} ${url}`;
    let name = this.#chosen[url] ?? this.#given.get(key);
    const taken = new Set([...this.#given.values(), ...Object.values(this.#chosen)]);
    for (let n = 1; name === undefined; n++) {
      const next = n === 1 ? kind : `${kind}-${n}`;
      if (!taken.has(next)) name = next;
    }
    this.#given.set(key, name);
    return name;
  }
}
