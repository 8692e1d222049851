/** The connection to one host: follows it, and finds out which models there are, until it is closed. */
import type { ServedUpstream, UsableHost } from '../../shared/account-api.ts';
import { isPathKind } from '../../shared/path.ts';
import { warnOfChangedKey } from '../access/changed-key.ts';
import { codeOf, errorLine } from '../access/error-text.ts';
import type { Pins } from '../access/pins.ts';
import type { Clients } from '../chat/chat-client.ts';
import { listModels } from '../chat/models.ts';
import type { Client } from '../client/index.ts';
import { pause } from '../client/pause.ts';
import type { PageStore, Status } from './page-state.ts';
import { advice, isKeyCode } from './trust.ts';

/** A model server at home may be started later than the page. */
const RETRY_MS = 5_000;

export interface HostConnectionOptions {
  info: UsableHost;
  client: Client;
  /** Aborted when it is closed. */
  looking: AbortController;
  /** It was opened by a pairing link. */
  pairing: boolean;
  pins: Pins;
  page: PageStore;
  clients: Clients;
  /** Of the host, if the edge tells. */
  serves: () => Promise<readonly ServedUpstream[]>;
  /** The edge does not know this browser any more. */
  refused: (error: unknown) => void;
  /** Connects anew, because a person asks for it. */
  again: () => void;
}

export class HostConnection {
  readonly #options: HostConnectionOptions;
  readonly #closed: AbortController;

  constructor(options: HostConnectionOptions) {
    this.#options = options;
    this.#closed = options.looking;
  }

  /** It may be closed when this returns. */
  start(): void {
    const { client, info, page, pins, clients } = this.#options;
    page.set({ client });
    clients.set(info.id, client);
    client.on('state', () => this.#look());
    client.on('path', () => this.#look());
    client.on('hostKey', (key) => pins.set(info.id, key));
    this.#look();
    if (!this.#closed.signal.aborted) void this.#lookForModels();
  }

  close(): void {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    const { client, clients, page } = this.#options;
    clients.clear();
    page.set({ ready: false });
    client.close();
  }

  #look(): void {
    const { client } = this.#options;
    if (this.#closed.signal.aborted || client.error === undefined) return;
    const { code } = client.error;
    // Where nothing can prove a key, the client says so by its error, and goes on through the edge.
    if (isKeyCode(code) && client.path !== 'offline') return;
    this.#blocked(code, client.error);
  }

  /** Ends the connection for errors that only a person can do something about; others pass. Tells which it was. */
  #blocked(code: string | undefined, error: unknown): boolean {
    const { info, pins, page, refused, again } = this.#options;
    if (code === 'E_UNAUTHORIZED') {
      refused(error);
      return true;
    }
    if (code === 'E_HOST_KEY_CHANGED') {
      this.close();
      const pinned = pins.get(info.id) ?? '';
      const other = info.host_key !== null && info.host_key !== pinned ? info.host_key : undefined;
      void warnOfChangedKey({ host: info.name, pinned, other, source: 'edge' });
      return true;
    }
    const known = adviceStatus(code, again);
    if (known === undefined) return false;
    this.close();
    page.set({ status: known });
    return true;
  }

  /** Until there is one; says on the page what is in the way. */
  async #lookForModels(): Promise<void> {
    const { client, page } = this.#options;
    const { signal } = this.#closed;
    while (!signal.aborted) {
      try {
        const models = await listModels(client);
        if (signal.aborted) return;
        if (models.length > 0) {
          page.set({ models, ready: true, status: { text: this.#welcome() } });
          const serves = await this.#options.serves();
          if (!signal.aborted) page.set({ serves });
          return;
        }
        page.set({ models, status: { text: 'The host has no model yet. Load one in your LLM server.' } });
      } catch (error) {
        if (signal.aborted) return;
        if (this.#blocked(codeOf(error), error)) return;
        page.set({ status: { text: errorLine(error) } });
      }
      await this.#nextLook();
    }
  }

  #welcome(): string {
    const { client, info, pairing } = this.#options;
    // An answer of the host by a path of its own: it has accepted this browser.
    const paired = pairing && isPathKind(client.path);
    return paired ? `This browser is paired with “${info.name}” now.` : '';
  }

  /** A while, or until the path changes. */
  async #nextLook(): Promise<void> {
    const changed = new AbortController();
    const off = this.#options.client.on('path', () => changed.abort());
    await pause(RETRY_MS, changed.signal, this.#closed.signal);
    off();
  }
}

/** What a person may do about it; undefined for what passes. */
export function adviceStatus(code: string | undefined, run: () => void): Status | undefined {
  const known = advice(code);
  if (known === undefined) return undefined;
  const { text, again } = known;
  return again === undefined ? { text } : { text, action: { label: again, run } };
}
