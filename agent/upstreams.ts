/**
 * The LLM servers that the agent knows: which of them are up, what they are called, and what models they have. It looks
 * at their ports every few seconds, without a request, and asks more of those that have just begun to answer.
 */
import type { UpstreamReport } from './agent-report.ts';
import { identifyServer, type LocalServer, PREFERENCE } from './discovery.ts';
import type { Log } from './log.ts';
import type { ListedModel } from './model-list.ts';
import { ModelNames } from './model-names.ts';
import { nodeEnvironment } from './runtime.ts';
import { type OwnHeaders, ShortNames, Upstream } from './upstream.ts';
import { accepts, listModels } from './upstream-probe.ts';

/** A server that starts or dies is noticed within 5 s; a look takes up to 1.5 s. */
const WATCH_MS = 3_000;
/**
 * After a port answers like no LLM server: one may be starting. Then never, until the port has been closed: most likely
 * it is somebody's web server, which logs every question.
 */
const IDENTIFY_AGAIN_MS: readonly number[] = [3_000, 9_000, 27_000, 81_000];
/** A server that was found and has been gone for so long is no server of this machine any more. */
const FORGET_MS = 10 * 60_000;
/** Lists of models are not asked for again so soon, however often clients ask. */
const LIST_AGE_MS = 2_000;
/** After a search that found nothing, requests do not start another one for this long. */
const SEARCH_PAUSE_MS = 2_000;
/** Several servers that start together are one piece of news. */
const NEWS_MS = 250;

/** Header fields for the servers: those that name theirs, and those that do not say whose they are. */
export interface UpstreamHeaders {
  readonly any: OwnHeaders;
  readonly of: Readonly<Record<string, OwnHeaders>>;
}

export interface UpstreamsOptions {
  /** Those that were found so far. */
  servers: readonly LocalServer[];
  /** Base URLs that the user has set: known also while nothing answers there, and preferred in this order. */
  configured?: readonly string[];
  /** The user's names for them, by URL. */
  names?: Readonly<Record<string, string>>;
  /** Other base URLs at which servers may start. */
  candidates?: readonly string[];
  headers?: UpstreamHeaders;
  /** Looks for servers when a request comes and none is known. */
  search?(): Promise<readonly LocalServer[]>;
  /** The servers, or their models, are others than before. */
  changed?(): void;
  log?: Log;
  /** How it looks at servers, and its clock; tests have their own. */
  accepts?(url: string): Promise<boolean>;
  identify?(url: string): Promise<LocalServer | undefined>;
  list?(url: string, own: OwnHeaders): Promise<ListedModel[] | undefined>;
  now?(): number;
  timer?(ms: number, run: () => void): () => void;
}

/** Those of all servers, and of the owners of a path or two; they are asked for several times in each request. */
const NAMES_KEPT = 4;

interface NamesOf {
  /** Servers, and their lists as they were. */
  readonly lists: readonly unknown[];
  readonly names: ModelNames<Upstream>;
}

/** An address at which a server is or may be. */
interface Place {
  readonly url: string;
  readonly isConfigured: boolean;
  server: Upstream | undefined;
  /** Something accepted a connection at the last look. */
  accepts: boolean;
  /** How often it was asked in vain what it is, and when it may be asked again. */
  attempts: number;
  retryAt: number;
  looking: Promise<void> | undefined;
}

export class Upstreams {
  readonly #options: UpstreamsOptions;
  readonly #places: Place[] = [];
  readonly #shortNames: ShortNames;
  readonly #now: () => number;
  readonly #timer: (ms: number, run: () => void) => () => void;
  #namesOf: readonly NamesOf[] = [];
  #searching: Promise<void> | undefined;
  #searchedAt = Number.NEGATIVE_INFINITY;
  #refreshing: Promise<void> | undefined;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #cancelLook = () => {};
  #cancelNews: (() => void) | undefined;
  #closed = false;

  constructor(options: UpstreamsOptions) {
    this.#options = options;
    this.#now = options.now ?? nodeEnvironment.now;
    this.#shortNames = new ShortNames(options.names ?? {});
    this.#timer = options.timer ?? nodeEnvironment.timer;
    for (const url of options.configured ?? []) this.#placeOf(url, true);
    for (const url of options.candidates ?? []) this.#placeOf(url);
    for (const server of options.servers) this.#adopt(this.#placeOf(server.url), server);
  }

  /** Begins to look. */
  start(): void {
    this.#lookAround();
  }

  close(): void {
    this.#closed = true;
    this.#cancelLook();
    this.#cancelNews?.();
  }

  /** All that are known, those that are up first, best first. */
  get known(): readonly Upstream[] {
    const rank = ({ server, isConfigured }: Place, index: number) =>
      (server?.isUp ? 0 : 1e6) + (isConfigured ? 0 : 1e4 + 100 * PREFERENCE.indexOf(server?.kind ?? 'openai')) + index;
    return this.#places
      .map((place, index) => ({ server: place.server, rank: rank(place, index) }))
      .sort((a, b) => a.rank - b.rank)
      .flatMap(({ server }) => server ?? []);
  }

  /** Those that are up, for people. */
  get servers(): readonly LocalServer[] {
    return this.known.filter(({ isUp }) => isUp).map((server) => server.describe());
  }

  /** For `status`; `load` says what runs at a server and what waits for it. */
  reports(load: (name: string) => { running: number; waiting: number }): UpstreamReport[] {
    const known = this.known;
    return known.map(({ kind, label, name, url, models, isUp }) => {
      const isAmbiguous = known.some((other) => other.name !== name && other.label === label);
      return {
        kind,
        name: isAmbiguous ? `${label} (${name})` : label,
        url,
        models,
        state: isUp ? 'up' : 'down',
        ...load(name),
      };
    });
  }

  /** All that are known. While there is none, a request looks for one that was started meanwhile. */
  async ready(): Promise<readonly Upstream[]> {
    if (this.known.length === 0) await this.#searchAgain();
    return this.known;
  }

  /** The names of the models of `servers`, of all unless told otherwise. */
  names(servers: readonly Upstream[] = this.known): ModelNames<Upstream> {
    const lists = servers.flatMap((server) => [server, server.models]);
    const isThis = (cached: NamesOf) =>
      cached.lists.length === lists.length && cached.lists.every((l, i) => l === lists[i]);
    const known = this.#namesOf.find(isThis);
    if (known !== undefined) return known.names;
    const names = new ModelNames(servers);
    this.#namesOf = [{ lists, names }, ...this.#namesOf].slice(0, NAMES_KEPT);
    return names;
  }

  /**
   * The header fields for `server`. Those that do not say whose they are go to the only server, or to the only one that
   * asks for a key: a key of one is none of the others' business.
   */
  headersOf(server: Upstream): OwnHeaders {
    const { any = {}, of = {} } = this.#options.headers ?? {};
    const named = of[server.name] ?? {};
    const known = this.known;
    const asking = known.filter(({ asksForKey, name }) => asksForKey && of[name] === undefined);
    const isForThis = known.length === 1 || (asking.length === 1 && asking[0] === server);
    return isForThis ? { ...any, ...named } : named;
  }

  /** A request found nobody there. */
  failed(server: Upstream): void {
    const place = this.#places.find((candidate) => candidate.server === server);
    if (place === undefined) return;
    this.#down(place);
    // It may have been for a moment.
    void this.#look(place);
  }

  /** Asks for the lists of models again, and looks for servers that have just started. */
  async refresh(): Promise<void> {
    if (this.#refreshing === undefined && this.#now() - this.#refreshedAt < LIST_AGE_MS) return;
    this.#refreshing ??= Promise.all(
      this.#places.map(async (place) => {
        if (place.server?.isUp) return this.#list(place.server);
        // No more often than it would be asked anyway: the questions are for somebody's web server, perhaps.
        if (place.attempts < IDENTIFY_AGAIN_MS.length) place.retryAt = 0;
        await this.#look(place);
      }),
    ).then(() => {
      this.#refreshedAt = this.#now();
      this.#refreshing = undefined;
    });
    await this.#refreshing;
  }

  #placeOf(url: string, isConfigured = false): Place {
    const isAt = (place: Place) => {
      if (place.url === url || place.server?.url === url) return true;
      // Discovery has asked there for what is at ::1, or below a path of term-llm's.
      return !place.isConfigured && `${url.replace('//[::1]', '//127.0.0.1')}/`.startsWith(`${place.url}/`);
    };
    const known = this.#places.find(isAt);
    if (known !== undefined) return known;
    const place: Place = {
      url,
      isConfigured,
      server: undefined,
      accepts: false,
      attempts: 0,
      retryAt: 0,
      looking: undefined,
    };
    this.#places.push(place);
    return place;
  }

  #adopt(place: Place, found: LocalServer): void {
    const isIdentified = found.kind !== 'openai' || found.models.length > 0;
    const name = this.#shortNames.of(place.url, found.kind);
    place.server = new Upstream(name, found, isIdentified, this.#now());
    place.accepts = true;
  }

  // ---- looking -------------------------------------------------------------------------------

  #lookAround(): void {
    if (this.#closed) return;
    this.#cancelLook = this.#timer(WATCH_MS, () => this.#lookAround());
    for (const place of this.#places) void this.#look(place);
  }

  /** Never rejects. */
  #look(place: Place): Promise<void> {
    place.looking ??= this.#lookAt(place)
      .catch((error: unknown) => this.#options.log?.('error', `upstream: cannot look at ${place.url}: ${error}`))
      .finally(() => {
        place.looking = undefined;
      });
    return place.looking;
  }

  async #lookAt(place: Place): Promise<void> {
    const { accepts: isAccepted = accepts } = this.#options;
    const answers = await isAccepted(place.server?.url ?? place.url);
    if (this.#closed) return;
    if (!answers) {
      place.accepts = false;
      place.attempts = 0;
      place.retryAt = 0;
      this.#down(place);
      return;
    }
    place.accepts = true;
    const { server } = place;
    if (server?.isUp) server.seenAt = this.#now();
    // One that lists nothing may be loading, or be about to get its first model.
    if (server?.isUp && server.models.length > 0) return;
    if (this.#now() >= place.retryAt) await this.#identify(place);
  }

  async #identify(place: Place): Promise<void> {
    const { identify = identifyServer } = this.#options;
    const pause = IDENTIFY_AGAIN_MS[place.attempts];
    const before = place.server;
    // What the user has named is a server, whatever it says; and what was one may be loading.
    const last = place.isConfigured || before !== undefined ? IDENTIFY_AGAIN_MS.at(-1) : Number.POSITIVE_INFINITY;
    place.retryAt = this.#now() + (pause ?? last ?? 0);
    place.attempts += 1;
    const found =
      (await identify(place.url)) ?? (place.isConfigured ? unidentified(place.url, before?.describe()) : undefined);
    if (this.#closed || found === undefined) return;
    const wasUp = before?.isUp ?? false;
    this.#adopt(place, found);
    const { server } = place;
    if (server === undefined) return;
    if (server.asksForKey) await this.#list(server);
    if (server.models.length > 0) place.attempts = 0;
    if (wasUp && before?.models.join('\n') === server.models.join('\n')) return;
    if (!wasUp) {
      const count = `${server.models.length} ${server.models.length === 1 ? 'model' : 'models'}`;
      const key = server.isListed || !found.needsKey ? '' : '; it asks for a key, see upstream_headers';
      this.#options.log?.('info', `upstream: ${server.label} at ${server.url} is up (${count}${key})`);
    }
    this.#tell();
  }

  #down(place: Place): void {
    const { server } = place;
    if (server === undefined) return;
    if (server.isUp) {
      server.isUp = false;
      this.#options.log?.('warn', `upstream: ${server.label} at ${server.url} is down`);
      this.#tell();
    }
    if (!place.isConfigured && this.#now() - server.seenAt > FORGET_MS) place.server = undefined;
  }

  async #list(server: Upstream): Promise<void> {
    const { list = listModels } = this.#options;
    if (this.#now() - server.listedAt < LIST_AGE_MS) return;
    const models = await list(server.url, this.headersOf(server));
    if (models !== undefined && server.take(models, this.#now())) this.#tell();
  }

  #tell(): void {
    if (this.#closed) return;
    this.#cancelNews ??= this.#timer(NEWS_MS, () => {
      this.#cancelNews = undefined;
      this.#options.changed?.();
    });
  }

  async #searchAgain(): Promise<void> {
    const { search } = this.#options;
    if (search === undefined || this.#now() - this.#searchedAt < SEARCH_PAUSE_MS) return;
    this.#searching ??= search()
      .then((servers) => {
        for (const server of servers) this.#adopt(this.#placeOf(server.url), server);
        if (servers.length > 0) this.#tell();
      })
      .finally(() => {
        this.#searchedAt = this.#now();
        this.#searching = undefined;
      });
    await this.#searching;
  }
}

/** What the user has named, and nobody recognises. */
export function unidentified(url: string, before?: LocalServer): LocalServer {
  return before ?? { kind: 'openai', name: url, url, models: [], needsKey: false };
}
