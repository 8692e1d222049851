/**
 * The cookies that the host's web UI sets as HttpOnly, which no browser gets: a jar for each client, in memory.
 * What a UI may do with cookies is RFC 6265, as tough-cookie has it.
 */
import { Cookie, CookieJar, MemoryCookieStore } from 'tough-cookie';
import type { Grant } from '../shared/grant.ts';

/** Of signed-in browsers, API keys and guests; more than an agent has sessions are long gone, or a flood. */
export const MAX_COOKIE_JARS = 64;
/** RFC 6265, section 6.1, wants browsers to keep at least 50 of a host. With the sizes below a jar is under 300 kB. */
export const MAX_COOKIES_PER_JAR = 50;
/** Name and value together, and each attribute: browsers drop what is longer (RFC 6265bis, section 5.6). */
export const MAX_COOKIE_BYTES = 4096;
const MAX_ATTRIBUTE_BYTES = 1024;

/**
 * For all UIs: a jar is one host's, and Domain is ignored. The browser's side is HTTPS, so it is that by which `Secure`
 * and the prefixes of names are judged, whatever the UI's own address is.
 */
const ORIGIN = 'https://web-ui.host';

export class CookieJars {
  readonly #now: () => number;
  /** The one that was not used for the longest time is first. */
  readonly #jars = new Map<string, HiddenCookies>();

  /** `now`: milliseconds since 1970, by which cookies expire. */
  constructor(now: () => number) {
    this.#now = now;
  }

  of(grant: Grant): HiddenCookies {
    const name = `${grant.subject}/${grant.browser ?? ''}`;
    const jar = this.#jars.get(name) ?? new HiddenCookies(this.#now);
    this.#jars.delete(name);
    if (this.#jars.size >= MAX_COOKIE_JARS) this.#dropOne();
    this.#jars.set(name, jar);
    return jar;
  }

  /** All of `subject`. A request that is still under way keeps the dropped jar to itself. */
  drop(subject: string): void {
    for (const name of [...this.#jars.keys()]) if (subjectOf(name) === subject) this.#jars.delete(name);
  }

  /** Of the subject that has most: a guest who signs in again and again logs nobody else out. */
  #dropOne(): void {
    const bySubject = Map.groupBy(this.#jars.keys(), subjectOf);
    const [greatest] = [...bySubject.values()].sort((a, b) => b.length - a.length);
    this.#jars.delete(greatest?.[0] ?? '');
  }
}

/** Neither it nor what follows it has a slash. */
function subjectOf(name: string): string {
  return name.slice(0, name.indexOf('/'));
}

/** The jar of one client. Paths are the UI's own, absolute and normalised. */
export class HiddenCookies {
  readonly #now: () => number;
  readonly #store = new MemoryCookieStore();
  readonly #jar = new CookieJar(this.#store, { prefixSecurity: 'silent', rejectPublicSuffixes: false });

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Takes one `Set-Cookie` of the response to a request for `path`. One that is not HttpOnly replaces the one of the same
   * name and path as well, and is then the browser's. Returns false for one that is too long, or none at all.
   */
  take(setCookie: string, path: string): boolean {
    const cookie = Cookie.parse(setCookie);
    if (cookie === undefined || !isShort(cookie)) return false;
    cookie.domain = null;
    cookie.extensions = null;
    // The library would count Max-Age from when a cookie was last used.
    const expiry = cookie.expiryTime(new Date(this.#now())) ?? Number.POSITIVE_INFINITY;
    const date = new Date(expiry);
    cookie.maxAge = null;
    cookie.expires = Number.isNaN(date.getTime()) ? 'Infinity' : date;
    const stored = this.#jar.setCookieSync(cookie, urlOf(path));
    if (stored === undefined) return true;
    if (!stored.httpOnly || expiry <= this.#now()) this.#remove(stored);
    else this.#makeRoom();
    return true;
  }

  clear(): void {
    for (const cookie of this.#all()) this.#remove(cookie);
  }

  /** `name=value` of those that belong to a request for `path`, in the order of RFC 6265, section 5.4. */
  cookiesFor(path: string): { name: string; pair: string }[] {
    this.#removeExpired();
    // `expire` would go by the system's clock.
    const cookies = this.#jar.getCookiesSync(urlOf(path), { expire: false, sort: true });
    return cookies.map((cookie) => ({ name: cookie.key, pair: cookie.cookieString() }));
  }

  #makeRoom(): void {
    if (this.#all().length <= MAX_COOKIES_PER_JAR) return;
    this.#removeExpired();
    // Stable: among equals the one that was made first goes first.
    const all = this.#all().toSorted((a, b) => usedAt(a) - usedAt(b));
    for (const cookie of all.slice(0, Math.max(0, all.length - MAX_COOKIES_PER_JAR))) this.#remove(cookie);
  }

  #removeExpired(): void {
    const now = this.#now();
    for (const cookie of this.#all()) {
      if (cookie.expires instanceof Date && cookie.expires.getTime() <= now) this.#remove(cookie);
    }
  }

  #all(): Cookie[] {
    let all: Cookie[] = [];
    // The store is synchronous.
    this.#store.getAllCookies((_error, cookies) => {
      all = cookies ?? [];
    });
    return all;
  }

  #remove({ domain, path, key }: Cookie): void {
    if (domain !== null && path !== null) this.#store.removeCookie(domain, path, key, () => {});
  }
}

function urlOf(path: string): URL {
  return new URL(ORIGIN + path);
}

function isShort({ key, value, path }: Cookie): boolean {
  return key.length + value.length <= MAX_COOKIE_BYTES && (path ?? '').length <= MAX_ATTRIBUTE_BYTES;
}

function usedAt({ lastAccessed }: Cookie): number {
  return lastAccessed instanceof Date ? lastAccessed.getTime() : 0;
}
