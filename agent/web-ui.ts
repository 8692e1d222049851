/**
 * The host's own web UI as an upstream (PROTOCOL.md, section 6): which requests may reach it, and what is changed in
 * their fields, so that a UI which believes to be alone on this machine works at another address.
 */
import { DirectError } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import type { HeaderList, RequestHead } from '../shared/head.ts';
import { parseOpenTarget } from '../shared/target.ts';
import { DIRECT_CREDENTIALS, DIRECT_WEB_UI } from '../shared/web-ui.ts';
import { CookieJars, type HiddenCookies } from './cookie-jars.ts';
import { prefixOf, type Routed } from './routed.ts';

export interface WebUiOptions {
  /** Base URL of the UI, without a slash at the end. */
  base: string;
  /** Paths that stay on plain HTTPS, with all below them. */
  httpsPaths: readonly string[];
  /** Milliseconds since 1970; tests have their own. */
  now?(): number;
  log(line: string): void;
}

export class WebUi {
  readonly #base: URL;
  readonly #httpsPaths: string;
  readonly #log: (line: string) => void;
  readonly #jars: CookieJars;

  constructor({ base, httpsPaths, now = () => Date.now(), log }: WebUiOptions) {
    this.#base = new URL(base);
    this.#httpsPaths = JSON.stringify({ https_paths: httpsPaths });
    this.#log = log;
    this.#jars = new CookieJars(now);
  }

  /** Forgets the logins of `subject`. */
  revoke(subject: string): void {
    this.#jars.drop(subject);
  }

  /** @throws DirectError `E_BAD_TARGET`, `E_FORBIDDEN` */
  admit(head: RequestHead, grant: Grant): Routed {
    if (grant.prefixes !== undefined || grant.models !== undefined) {
      throw new DirectError('E_FORBIDDEN', 'the credential is for certain paths or models, and not for the web UI');
    }
    if (grant.web_ui !== true) {
      throw new DirectError('E_FORBIDDEN', 'the owner has not switched on the web UI of this host');
    }
    // All of them would share one login.
    if (grant.subject === 'anonymous') throw new DirectError('E_FORBIDDEN', 'the web UI is for those who signed in');
    const { path, query } = parseOpenTarget(head.path);
    const base = this.#base;
    const isAnonymous = head.headers.some(([name, value]) => name === DIRECT_CREDENTIALS && value === 'omit');
    const cookies = cookiesOf(head.headers);
    const kept = isAnonymous ? undefined : { jar: this.#jars.of(grant), cookies };
    const shown = publicAddress(head.headers);
    const uiPath = prefixOf(base) + path;
    return {
      // Ours replaces it.
      head: { ...head, headers: head.headers.filter(([name]) => name !== 'cookie') },
      base,
      target: uiPath + query,
      own: {
        ...forwarded(shown),
        ...provenance(head.headers, shown, base),
        ...(kept && withHidden(kept, uiPath)),
      },
      received: (fields) => this.#received(fields, kept, uiPath, shown),
    };
  }

  #received(fields: HeaderList, known: KnownCookies | undefined, uiPath: string, shown: URL | undefined): HeaderList {
    const prefix = prefixOf(this.#base);
    const kept: HeaderList = [];
    // First: what the same response sets is new (Clear Site Data, section 4.1).
    if (fields.some(([name, value]) => name === 'clear-site-data' && /"(?:cookies|\*)"/.test(value)))
      known?.jar.clear();
    for (const [name, value] of fields) {
      if (name === DIRECT_WEB_UI) continue;
      if (name === 'set-cookie') {
        if (known === undefined) continue;
        const taken = known.jar.take(value, uiPath);
        if (!isHttpOnly(value)) kept.push([name, forBrowser(value, prefix)]);
        else if (!taken) this.#log('web UI: a cookie is dropped, as browsers would: it is too long, or has no name');
        // It replaces the browser's one, or ends it, as when a person logs out.
        else if (known.cookies.has(nameOf(value))) kept.push([name, forBrowser(ended(value), prefix)]);
      } else if (name === 'location' || name === 'content-location') {
        kept.push([name, fromPublic(value, shown, this.#base)]);
      } else kept.push([name, value]);
    }
    const isPage = fields.some(([name, value]) => name === 'content-type' && /^text\/html\s*(?:;|$)/i.test(value));
    return isPage ? [...kept, [DIRECT_WEB_UI, this.#httpsPaths]] : kept;
  }
}

// ---- where the UI is seen --------------------------------------------------------------------

/** The address that edge or client name in the head, each field once and well-formed. */
function publicAddress(headers: HeaderList): URL | undefined {
  const only = (wanted: string) => {
    const [value, ...more] = headers.filter(([name]) => name === wanted).map(([, value]) => value);
    return more.length === 0 ? value : undefined;
  };
  const [host = '', scheme = ''] = [only('x-forwarded-host'), only('x-forwarded-proto')];
  if (!/^https?$/.test(scheme) || !/^(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i.test(host))
    return undefined;
  return URL.parse(`${scheme}://${host}`) ?? undefined;
}

function forwarded(shown: URL | undefined): Record<string, string> {
  if (shown === undefined) return {};
  return { 'x-forwarded-host': shown.host, 'x-forwarded-proto': shown.protocol.slice(0, -1) };
}

/** What comes from the UI's own page looks to it as if that had been opened on this machine; what is foreign, foreign. */
function provenance(headers: HeaderList, shown: URL | undefined, base: URL): Record<string, string> {
  if (shown === undefined) return {};
  const fields: Record<string, string> = {};
  for (const [name, value] of headers) {
    if (name === 'origin' && value !== shown.origin) fields.origin = value;
    if (name !== 'referer') continue;
    const url = URL.parse(value);
    if (url?.origin === shown.origin) fields.referer = base.origin + prefixOf(base) + url.pathname + url.search;
  }
  return fields;
}

/** An address that the UI made of what it was told about its public one, as the UI's own. */
function fromPublic(location: string, shown: URL | undefined, base: URL): string {
  // With a scheme or an authority; others are paths already.
  if (shown === undefined || !/^(?:https?:)?\/\//i.test(location)) return location;
  const url = URL.parse(location, base.href);
  // UIs that believe one of the two fields get the scheme wrong, which would lead from HTTPS to HTTP.
  if (url === null || url.host !== shown.host) return location;
  return base.origin + url.pathname + url.search + url.hash;
}

// ---- cookies ---------------------------------------------------------------------------------

/** What goes with a request of a client. */
interface KnownCookies {
  /** On the host. */
  jar: HiddenCookies;
  /** The client's own, pairs by name. */
  cookies: ReadonlyMap<string, readonly string[]>;
}

function cookiesOf(headers: HeaderList): Map<string, string[]> {
  const pairs = headers
    .filter(([name]) => name === 'cookie')
    .flatMap(([, value]) => value.split(';'))
    .map((pair) => pair.trim());
  return Map.groupBy(
    pairs.filter((pair) => pair !== ''),
    nameOf,
  );
}

/** Of a pair, or of a `Set-Cookie`. */
function nameOf(text: string): string {
  return text.split(/[=;]/, 1)[0]?.trim() ?? '';
}

/** The client's cookies with those that it must not see. It cannot overwrite these, as no script in a browser can. */
function withHidden({ jar, cookies }: KnownCookies, uiPath: string): Record<string, string> {
  const hidden = jar.cookiesFor(uiPath);
  const names = new Set(hidden.map(({ name }) => name));
  const own = [...cookies].flatMap(([name, pairs]) => (names.has(name) ? [] : pairs));
  const cookie = [...hidden.map(({ pair }) => pair), ...own].join('; ');
  return cookie === '' ? {} : { cookie };
}

/** As browsers read attributes (RFC 6265, section 5.2). */
function attributes(setCookie: string): { name: string; value: string; text: string }[] {
  return setCookie
    .split(';')
    .slice(1)
    .map((text) => {
      const [name = '', ...value] = text.split('=');
      return { name: name.trim().toLowerCase(), value: value.join('=').trim(), text };
    });
}

function isHttpOnly(setCookie: string): boolean {
  return attributes(setCookie).some(({ name }) => name === 'httponly');
}

/** What ends the browser's cookie of the same name and path, and says nothing of the value. */
function ended(setCookie: string): string {
  const others = attributes(setCookie).filter(({ name }) => !['httponly', 'max-age', 'expires'].includes(name));
  return [`${nameOf(setCookie)}=`, ...others.map(({ text }) => text), ' Max-Age=0'].join(';');
}

/** Without Domain, which is the UI's, and with Path as the browser sees the address. */
function forBrowser(setCookie: string, prefix: string): string {
  const [pair = ''] = setCookie.split(';', 1);
  const kept = attributes(setCookie).filter(({ name }) => name !== 'domain');
  const texts = kept.map(({ name, value, text }) => {
    const isBelow = name === 'path' && prefix !== '' && (value === prefix || value.startsWith(`${prefix}/`));
    return isBelow ? ` Path=${value.slice(prefix.length) || '/'}` : text;
  });
  return [pair, ...texts].join(';');
}
