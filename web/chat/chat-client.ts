/** What the chat needs of the client of a host. */
import type { Client } from '../client/index.ts';

export type ChatClient = Pick<Client, 'fetch' | 'resume' | 'release'>;

/** The client of the moment; answers outlive a client that is replaced by another one of the same host. */
export class Clients {
  #current: { host: string; client: ChatClient } | undefined;
  readonly #waiting = new Set<() => void>();

  get host(): string | undefined {
    return this.#current?.host;
  }

  set(host: string, client: ChatClient): void {
    this.#current = { host, client };
    for (const look of this.#waiting) look();
  }

  clear(): void {
    this.#current = undefined;
  }

  /** As soon as there is one of this host. @throws the signal's reason */
  async of(host: string, signal: AbortSignal): Promise<ChatClient> {
    signal.throwIfAborted();
    if (this.#current?.host === host) return this.#current.client;
    const { promise, resolve, reject } = Promise.withResolvers<ChatClient>();
    const look = () => {
      if (this.#current?.host === host) resolve(this.#current.client);
    };
    const give = () => reject(signal.reason);
    this.#waiting.add(look);
    signal.addEventListener('abort', give);
    try {
      return await promise;
    } finally {
      this.#waiting.delete(look);
      signal.removeEventListener('abort', give);
    }
  }
}
