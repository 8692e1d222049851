/** What a request may do (`Grant`): whose it is, which paths it may ask for, and how often. */
import { DirectError } from '../shared/errors.ts';
import { DIRECT_GRANT, decodeGrant, type Grant } from '../shared/grant.ts';
import type { RequestHead } from '../shared/head.ts';
import type { SessionGrant } from '../shared/sessions.ts';

const MINUTE_MS = 60_000;

/** `E_RATE_LIMITED` that knows when to try again. */
export class RateLimited extends DirectError {
  readonly retryAfterMs: number;

  constructor(retryAfterMs: number, detail: string) {
    super('E_RATE_LIMITED', detail);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The head as it may be forwarded: without the edge's field, which no upstream needs and any client may send. */
export function withoutGrant(head: RequestHead): RequestHead {
  return { ...head, headers: head.headers.filter(([name]) => name !== DIRECT_GRANT) };
}

/**
 * The grant of a request with `head` in a session with `grant`. The head is believed only where the edge wrote it.
 * @throws DirectError `E_FORBIDDEN` when there is none: nobody has let the request in.
 */
export function grantOf({ headers }: RequestHead, grant: SessionGrant): Grant {
  if (typeof grant === 'object') return grant;
  const [said, ...more] = grant === 'in-heads' ? headers.filter(([name]) => name === DIRECT_GRANT) : [];
  if (said === undefined || more.length > 0) {
    throw new DirectError('E_FORBIDDEN', 'the edge does not say what the request may do; update it');
  }
  return decodeGrant(said[1]);
}

/** Where a route of KoboldCpp's may begin that is not the target's own beginning. */
const INNER_ROUTE = /(?<!^|^\/(?:sd)?api)\/(?:api|sdapi|v1)\//g;

/**
 * Checks that the target, as target.ts returned it, is one of `prefixes` or below it. `whose` they are begins the
 * refusal.
 * @throws DirectError `E_FORBIDDEN`
 */
export function checkPrefix(
  { path, query }: { path: string; query: string },
  prefixes: readonly string[],
  whose = 'the credential',
): void {
  const target = path + query;
  // KoboldCpp goes by how the whole target ends, so what looks like a route at the end must be allowed as well.
  const routes = [path, ...[...target.matchAll(INNER_ROUTE)].map(({ index }) => target.slice(index))];
  for (const route of routes) {
    const segments = split(route);
    const isBelow = (prefix: string) => split(prefix).every((segment, i) => segment === segments[i]);
    if (prefixes.some(isBelow)) continue;
    throw new DirectError('E_FORBIDDEN', `${whose} is not for ${route.slice(0, 100)}`);
  }
}

function split(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '');
}

/** Counts the requests of each subject, by whatever session or channel they come. */
export class RequestRates {
  readonly #now: () => number;
  /** When the requests of the last minute came, oldest first. A log: counters per minute let twice the limit through. */
  readonly #log = new Map<string, number[]>();

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Counts a request, if the grant has a limit. @throws RateLimited */
  count({ subject, requests_per_minute: limit }: Grant): void {
    if (limit === undefined) return;
    const now = this.#now();
    const recent = (this.#log.get(subject) ?? []).filter((at) => at > now - MINUTE_MS);
    const first = recent[recent.length - limit];
    if (first !== undefined) throw new RateLimited(first + MINUTE_MS - now, `${limit} in a minute for this credential`);
    recent.push(now);
    if (!this.#log.has(subject)) this.#forget(now);
    this.#log.set(subject, recent);
  }

  /** Those who have not asked lately. */
  #forget(now: number): void {
    for (const [subject, times] of this.#log) if ((times.at(-1) ?? 0) <= now - MINUTE_MS) this.#log.delete(subject);
  }
}
