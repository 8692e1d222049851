/**
 * The names under which clients know the models of several servers. The first server that has a name keeps it; every
 * model also has its server's name before it, and is listed so where another server has the plain one.
 */

export interface NamedServer {
  /** Short, without a slash: `ollama`, `vllm-2`. */
  readonly name: string;
  readonly models: readonly string[];
}

export interface NamedModel<S> {
  /** As clients see it. */
  readonly id: string;
  readonly server: S;
  /** As the server knows it. */
  readonly model: string;
}

/** Ollama reads a name without a tag as one with `:latest`. */
export function plainName(model: string): string {
  return model.replace(/:latest$/, '');
}

export class ModelNames<S extends NamedServer> {
  readonly #servers: readonly S[];
  /** The first server that has a model, by its plain name. */
  readonly #first = new Map<string, S>();
  /** What each server calls its models, by their names and their plain names. */
  readonly #models = new Map<S, ReadonlyMap<string, string>>();

  /** `servers`: best first. */
  constructor(servers: readonly S[]) {
    this.#servers = servers;
    for (const server of servers) {
      const models = new Map<string, string>();
      for (const model of server.models.toReversed()) models.set(plainName(model), model);
      for (const model of server.models) models.set(model, model);
      this.#models.set(server, models);
      for (const model of server.models) {
        const plain = plainName(model);
        if (!this.#first.has(plain)) this.#first.set(plain, server);
      }
    }
  }

  /** What `asked` names. Plain names come first, because names of models have slashes, too: `org/model`. */
  find(asked: string): NamedModel<S> | undefined {
    const plain = this.#first.get(plainName(asked));
    if (plain !== undefined) return { id: asked, server: plain, model: this.#at(plain, asked) };
    const server = this.#servers.find(({ name }) => asked.startsWith(`${name}/`));
    if (server === undefined) return undefined;
    const rest = asked.slice(server.name.length + 1);
    // Not only what it has listed: it may know other names for it, or have it since a moment ago.
    return rest === '' ? undefined : { id: asked, server, model: this.#at(server, rest) };
  }

  #at(server: S, model: string): string {
    const models = this.#models.get(server);
    return models?.get(model) ?? models?.get(plainName(model)) ?? model;
  }

  /** All models, server by server; each `id` is once there, and `find` leads from it to the model. */
  get all(): readonly NamedModel<S>[] {
    const seen = new Set<string>();
    return this.#servers.flatMap((server) =>
      server.models.flatMap((model) => {
        const id = [model, `${server.name}/${model}`].find((name) => {
          const found = this.find(name);
          return found?.server === server && found.model === model && !seen.has(name);
        });
        if (id === undefined) return [];
        seen.add(id);
        return [{ id, server, model }];
      }),
    );
  }
}

/** Whether both are the same model of the same server. */
export function isSame<S>(one: NamedModel<S>, other: NamedModel<S>): boolean {
  return one.server === other.server && plainName(one.model) === plainName(other.model);
}
