/**
 * What happens in a running agent, in numbers: counted where it happens, and read by whoever asks (agent-report.ts,
 * metrics.ts). Nothing in it tells what was said, or from where.
 */
import type { ErrorCode } from '../shared/errors.ts';
import type { PathKind } from '../shared/path.ts';
import type { LinkReport } from './agent-report.ts';
import { EventCounter, eventForm } from './meter-events.ts';
import { FIRST_BYTE_SECONDS, Histogram, OPEN_SECONDS } from './meter-histogram.ts';
import { Rate } from './meter-rate.ts';

/** `tunnel`: the edge itself is the client. */
export type MeteredPath = PathKind | 'tunnel';

/** What failed: a request that was read, a path that never opened, or the link to the edge. */
export type Failed = 'request' | 'connection' | 'link';

/** Upstreams come from the configuration and from this machine's known ports; the names of more of them are not kept. */
const MAX_UPSTREAMS = 32;

export interface MeterClock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Milliseconds since 1970. */
  wallClock(): number;
}

export interface SessionNumbers {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly tokensPerSecond: number;
}

/** What the proxy tells of one request. */
export interface RequestMeter {
  /** It went to the upstream at `base`, or to the web UI. */
  asked(base: string): void;
  /** The upstream's head has come. */
  answered(contentType: string | undefined): void;
  /** A piece of the upstream's body, as it is passed on. */
  passed(bytes: Uint8Array): void;
  /** Bytes of bodies and of WebSocket messages: to the client, and from it. */
  sent(bytes: number): void;
  received(bytes: number): void;
  /** It is over; with the code of an error, if it went wrong. */
  ended(code: ErrorCode | undefined): void;
}

/** For a proxy whose requests nobody counts. */
export const UNMETERED: RequestMeter = {
  asked() {},
  answered() {},
  passed() {},
  sent() {},
  received() {},
  ended() {},
};

export class Meter {
  readonly clock: MeterClock;
  /** When the agent started, in milliseconds since 1970. */
  readonly startedAt: number;
  /** What an upstream's base URL is called. */
  upstreamName: (base: string) => string = (base) => base;
  readonly requests = { running: 0, finished: 0, failed: 0, cancelled: 0 };
  readonly bytes = { sent: 0, received: 0 };
  tokens = 0;
  readonly connections = new Map<MeteredPath, Histogram>();
  readonly firstBytes = new Map<string, Histogram>();
  readonly failures = new Map<Failed, Map<ErrorCode, number>>();
  readonly #rate: Rate;
  readonly #sessions = new WeakMap<object, SessionMeter>();
  #link: LinkReport;

  constructor(clock: MeterClock = { now: () => performance.now(), wallClock: () => Date.now() }) {
    this.clock = clock;
    this.startedAt = clock.wallClock();
    this.#rate = new Rate(clock.now);
    this.#link = { state: 'down', transport: null, since: this.startedAt, problem: null };
  }

  get tokensPerSecond(): number {
    return this.#rate.perSecond;
  }

  get link(): LinkReport {
    return this.#link;
  }

  linkUp(transport: NonNullable<LinkReport['transport']>): void {
    const since = this.#link.state === 'up' ? this.#link.since : this.clock.wallClock();
    this.#link = { state: 'up', transport, since, problem: null };
  }

  linkDown(problem: string): void {
    const since = this.#link.state === 'down' ? this.#link.since : this.clock.wallClock();
    this.#link = { state: 'down', transport: null, since, problem };
  }

  /** A client's path has opened, so many milliseconds after it was asked for. */
  opened(path: MeteredPath, ms: number): void {
    histogramOf(this.connections, path, OPEN_SECONDS).observe(ms / 1000);
  }

  failed(what: Failed, code: ErrorCode): void {
    const counts = this.failures.get(what) ?? new Map<ErrorCode, number>();
    this.failures.set(what, counts.set(code, (counts.get(code) ?? 0) + 1));
  }

  /** A request begins, in this session. */
  request(session: object): RequestMeter {
    const known = this.#sessions.get(session) ?? new SessionMeter(this.clock.now);
    this.#sessions.set(session, known);
    this.requests.running++;
    return new OneRequest(this, known);
  }

  ofSession(session: object): SessionNumbers {
    return this.#sessions.get(session) ?? { bytesSent: 0, bytesReceived: 0, tokensPerSecond: 0 };
  }

  /** For requests. */
  firstByte(upstream: string, ms: number): void {
    const known = this.firstBytes.has(upstream) || this.firstBytes.size < MAX_UPSTREAMS;
    histogramOf(this.firstBytes, known ? upstream : 'other', FIRST_BYTE_SECONDS).observe(ms / 1000);
  }

  /** For requests. */
  counted(tokens: number): void {
    this.tokens += tokens;
    this.#rate.add(tokens);
  }
}

class SessionMeter implements SessionNumbers {
  bytesSent = 0;
  bytesReceived = 0;
  readonly rate: Rate;

  constructor(now: () => number) {
    this.rate = new Rate(now);
  }

  get tokensPerSecond(): number {
    return this.rate.perSecond;
  }
}

class OneRequest implements RequestMeter {
  readonly #meter: Meter;
  readonly #session: SessionMeter;
  #asked: { upstream: string; at: number } | undefined;
  #events: EventCounter | undefined;
  #hasEnded = false;

  constructor(meter: Meter, session: SessionMeter) {
    this.#meter = meter;
    this.#session = session;
  }

  asked(base: string): void {
    this.#asked = { upstream: this.#meter.upstreamName(base), at: this.#meter.clock.now() };
  }

  answered(contentType: string | undefined): void {
    const form = eventForm(contentType);
    this.#events = form === undefined ? undefined : new EventCounter(form);
  }

  passed(bytes: Uint8Array): void {
    if (this.#asked !== undefined && bytes.length > 0) {
      this.#meter.firstByte(this.#asked.upstream, this.#meter.clock.now() - this.#asked.at);
      this.#asked = undefined;
    }
    const events = this.#events?.count(bytes) ?? 0;
    if (events === 0) return;
    this.#meter.counted(events);
    this.#session.rate.add(events);
  }

  sent(bytes: number): void {
    this.#meter.bytes.sent += bytes;
    this.#session.bytesSent += bytes;
  }

  received(bytes: number): void {
    this.#meter.bytes.received += bytes;
    this.#session.bytesReceived += bytes;
  }

  ended(code: ErrorCode | undefined): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const { requests } = this.#meter;
    requests.running--;
    // Somebody pressed Stop, or closed the page.
    if (code === 'E_CANCELLED') requests.cancelled++;
    else if (code === undefined) requests.finished++;
    else {
      requests.failed++;
      this.#meter.failed('request', code);
    }
  }
}

function histogramOf<K>(all: Map<K, Histogram>, key: K, bounds: readonly number[]): Histogram {
  const known = all.get(key) ?? new Histogram(bounds);
  all.set(key, known);
  return known;
}
