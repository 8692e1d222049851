/** A visit of the page: who is here, and which host they want. */

import type { Me, ServedUpstream, UsableHost } from '../../shared/account-api.ts';
import { parsePairingSecret } from '../../shared/device-identity.ts';
import { ApiError } from '../access/api-error.ts';
import { browserName } from '../access/device-name.ts';
import type { EdgeApi } from '../access/edge-api.ts';
import { errorLine, errorText, isUnauthorized } from '../access/error-text.ts';
import { type ChatLink, parseChatLink } from '../access/link.ts';
import type { Pins } from '../access/pins.ts';
import type { Clients } from '../chat/chat-client.ts';
import { type Client, type ConnectOptions, connect } from '../client/index.ts';
import { pause } from '../client/pause.ts';
import type { Forced } from '../connection/indicator.tsx';
import { enter } from './enter.ts';
import { dropHeadStart, takeHeadStart } from './head.ts';
import { chooseHost, rememberedHost, rememberHost, takeOldAccess } from './host-choice.ts';
import { adviceStatus, HostConnection } from './host-connection.ts';
import { MissingPartError, RELOAD } from './later-part.ts';
import type { PageStore } from './page-state.ts';
import { confirmHostKey, pinLinkKey } from './trust.ts';

/** An edge may be started later than the page. */
const RETRY_MS = 5_000;

/** The fragment may hold secrets: out of the address bar before anyone can read over a shoulder or copy it. */
export function takeFragment(): ChatLink {
  const link = parseChatLink(location.hash);
  if (location.hash !== '') history.replaceState(null, '', location.pathname + location.search);
  return link;
}

export interface VisitOptions {
  page: PageStore;
  clients: Clients;
  api: EdgeApi;
  pins: Pins;
  storage: () => Storage;
}

export class Visit {
  readonly #options: VisitOptions;
  /** Of the last `begin`: whatever came before it is over. */
  #visit = new AbortController();
  #connection: HostConnection | undefined;
  /** Begun by `#connectEarly`, and not taken yet. */
  #early: { id: string; client: Client } | undefined;
  #host: string | undefined;

  constructor(options: VisitOptions) {
    this.#options = options;
  }

  /** With what an older version of this page has left, too. */
  start(link: ChatLink): void {
    void this.begin({ ...takeOldAccess(this.#options.storage), ...link });
  }

  async begin(given: ChatLink, problem?: string): Promise<void> {
    this.#visit.abort();
    this.#visit = new AbortController();
    const { signal } = this.#visit;
    const { api, page } = this.#options;
    this.#leave();
    this.#dropEarly();
    let next = given;
    if (problem === undefined && given.token === undefined) this.#connectEarly(given);
    dropHeadStart();
    while (!signal.aborted) {
      try {
        const signedIn = () => this.#connectEarly(given);
        const anonymous = () => this.#dropEarly();
        const { me, link } = await enter({ api, link: next, problem, signedIn, anonymous, signal });
        signal.throwIfAborted();
        return await this.#entered(me, link, signal);
      } catch (error) {
        if (signal.aborted) return;
        // Once is enough for a token that the edge may have taken.
        if (error instanceof ApiError) next = withoutToken(next);
        const action = error instanceof MissingPartError ? { action: RELOAD } : {};
        page.set({ status: { text: errorLine(error), ...action } });
        await pause(RETRY_MS, signal);
      }
    }
  }

  /** To another host of the list. */
  switchTo(id: string): void {
    void this.#switchTo(id, {}, this.#visit.signal);
  }

  /** Makes the connection anew, in the way that a person wants. */
  reconnect(forced: Forced): void {
    this.#options.page.set({ forced });
    const { host } = this.#options.page.state;
    if (host !== undefined) this.#connectTo(this.#known(host), {});
  }

  /** The edge does not know this browser any more. */
  async refused(error: unknown): Promise<void> {
    const { message } = errorText(error);
    await this.begin(this.#host === undefined ? {} : { host: this.#host }, `${message} Sign in again.`);
  }

  /** Leaves the chat for the chosen host's own web UI, which is at the root of this address. */
  async openWebUi(): Promise<void> {
    const { api, page } = this.#options;
    const { host } = page.state;
    if (host === undefined) return;
    try {
      await api.chooseWebUi(host);
      location.assign('/');
    } catch (error) {
      page.set({ status: { text: errorLine(error) } });
    }
  }

  async signOut(): Promise<void> {
    const { api, page } = this.#options;
    const { me } = page.state;
    try {
      if (me?.session !== undefined) await api.signOut();
    } catch (error) {
      // Who leaves a device that others use must know.
      if (!isUnauthorized(error)) return page.set({ status: { text: `You are still signed in. ${errorLine(error)}` } });
    }
    // Its session would let the browser in again at once.
    if (me?.access === true) location.assign('/cdn-cgi/access/logout');
    else await this.begin({});
  }

  /**
   * Connects to the host of this visit before the edge has said who is there, which saves a round trip; not where a
   * person may be asked something first. What becomes of it nobody looks at before `#connectTo` takes it.
   */
  #connectEarly({ host: named, key, pair }: ChatLink): void {
    const { storage, pins } = this.#options;
    const id = named ?? this.#host ?? rememberedHost(storage);
    if (id === undefined || pair !== undefined) return;
    const pinned = pins.get(id) ?? key;
    if (pinned === undefined || (key !== undefined && key !== pinned)) return;
    this.#dropEarly();
    const environment = takeHeadStart(id);
    const options = { ...clientOptions(id), hostKey: pinned };
    this.#early = { id, client: connect(environment === undefined ? options : { ...options, environment }) };
  }

  #dropEarly(): void {
    this.#early?.client.close();
    this.#early = undefined;
  }

  #leave(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  async #entered(me: Me, link: ChatLink, signal: AbortSignal): Promise<void> {
    const { page, storage } = this.#options;
    const chosen = chooseHost(me.hosts, link.host, this.#host ?? rememberedHost(storage));
    page.set({ me, hosts: withHost(me.hosts, chosen), host: chosen });
    if (chosen !== undefined) return await this.#switchTo(chosen, link, signal);
    const owner = `There is no host yet. On the machine with your models run: npx direct-agent login ${location.origin}`;
    page.set({
      client: undefined,
      status: { text: me.kind === 'owner' ? owner : 'You have no access to any host at the moment.' },
    });
  }

  async #switchTo(id: string, link: ChatLink, signal: AbortSignal): Promise<void> {
    const { page, pins, storage } = this.#options;
    this.#leave();
    this.#host = id;
    page.set({ host: id, models: [], serves: [], forced: {} });
    rememberHost(id, storage);
    const info = this.#known(id);
    if (link.key !== undefined) await pinLinkKey(pins, id, info.name, link.key);
    if (!signal.aborted && this.#host === id) this.#connectTo(info, link);
  }

  #connectTo(info: UsableHost, { pair }: ChatLink): void {
    const { page, clients, pins } = this.#options;
    this.#leave();
    const again = () => this.#connectTo(info, {});
    if (pair !== undefined && parsePairingSecret(pair) === undefined) {
      const status = adviceStatus('E_PAIRING', again);
      if (status !== undefined) page.set({ status });
      return;
    }
    page.set({ status: { text: '' } });
    const { forced } = page.state;
    const isForced = Object.keys(forced).length > 0;
    const begun = this.#early?.id === info.id && pair === undefined && !isForced ? this.#early.client : undefined;
    if (begun === undefined) this.#dropEarly();
    this.#early = undefined;
    const looking = new AbortController();
    this.#connection = new HostConnection({
      info,
      client: begun ?? this.#connect(info, pair, looking.signal),
      looking,
      pairing: pair !== undefined,
      pins,
      page,
      clients,
      serves: () => this.#serves(info.id),
      refused: (error) => void this.refused(error),
      again,
    });
    this.#connection.start();
  }

  #connect(info: UsableHost, pair: string | undefined, signal: AbortSignal): Client {
    const { page, pins } = this.#options;
    const pinned = pins.get(info.id);
    return connect({
      ...clientOptions(info.id),
      ...page.state.forced,
      ...(pinned === undefined ? {} : { hostKey: pinned }),
      ...(pair === undefined ? {} : { pairing: pair }),
      confirmHostKey: ({ hostKey }) => confirmHostKey(info.name, hostKey, signal),
    });
  }

  /** Only the owner is told. */
  async #serves(id: string): Promise<readonly ServedUpstream[]> {
    const { api, page } = this.#options;
    if (page.state.me?.kind !== 'owner') return [];
    try {
      const { hosts } = await api.hosts();
      return hosts.find((host) => host.id === id)?.serves ?? [];
    } catch {
      // The models are there, in one group.
      return [];
    }
  }

  #known(id: string): UsableHost {
    return this.#options.page.state.hosts.find((host) => host.id === id) ?? unknownHost(id);
  }
}

function clientOptions(id: string): ConnectOptions {
  return {
    url: location.origin,
    host: id,
    credentials: 'cookie',
    device: 'auto',
    deviceName: browserName(navigator.userAgent),
  };
}

/** Hosts of agents with a token of their own are in no list. */
function withHost(hosts: readonly UsableHost[], id: string | undefined): readonly UsableHost[] {
  return id === undefined || hosts.some((known) => known.id === id) ? hosts : [...hosts, unknownHost(id)];
}

function unknownHost(id: string): UsableHost {
  return { id, name: id, host_key: null, online: false };
}

function withoutToken({ token: _, ...rest }: ChatLink): ChatLink {
  return rest;
}
