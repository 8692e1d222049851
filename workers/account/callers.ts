/** Who has a credential: what the Worker asks once for each request that shows one. */

import type { Service } from '../../shared/head.ts';
import { type Caller, grantOf, mayUse } from '../caller.ts';
import { accepted, type Outcome, refused, unwrap } from '../outcome.ts';
import type { TurnConfiguration } from '../turn/providers.ts';
import type { Guesses } from './guesses.ts';
import type { SiteSessions } from './site-sessions.ts';
import type { CachedTurn } from './turn-credentials.ts';
import type { WebSessions } from './web-sessions.ts';
import { type WebUiAsked, webUiHost } from './web-ui-choice.ts';

/** What a key allows; null is no limit. */
export interface KeyRights {
  id: string;
  hosts: string[] | null;
  prefixes: string[] | null;
  models: string[] | null;
  requestsPerMinute: number | null;
}

/** Of the parts that know credentials, what is needed here. Both refuse with `E_UNAUTHORIZED`. */
export interface CredentialParts {
  readonly guesses: Guesses;
  readonly sessions: WebSessions;
  readonly siteSessions: SiteSessions;
  readonly keys: { authenticateKey(hash: string): Outcome<KeyRights>; uses(id: string, host: string): void };
  readonly turn: { usable(subject: string, configurations: readonly TurnConfiguration[]): CachedTurn | undefined };
  readonly hosts: {
    authenticate(hash: string): Outcome<{ host: string }>;
    list(): { id: string }[];
    withWebUi(): string[];
  };
}

export type Credential =
  /** A bearer without a prefix of ours. The Worker has compared it with OWNER_TOKEN, which it alone has. */
  | { kind: 'owner'; right: boolean }
  /** The Worker has verified that Cloudflare Access let the owner through. */
  | { kind: 'access' }
  | { kind: 'cookie' | 'key' | 'host'; hash: string }
  /** The cookie at the host name of a web UI. */
  | { kind: 'site'; hash: string; site: string };

export interface Question {
  credential: Credential;
  address: string | null;
  /** The host that the request is for; null: whichever is the caller's; absent: it is for none. */
  host?: string | null;
  /** The request may be for a web UI, which then says what `host` is. */
  webUi?: WebUiAsked;
  /** Asks for the caller's TURN credential as well, if there is one of these. */
  turn?: readonly TurnConfiguration[];
}

export interface Answer {
  caller: Caller;
  /** Empty when the request is for no host. */
  host: string;
  /** The request is for the web UI of the host, which the owner has switched on. */
  service?: Service;
  /** The owner has switched on the web UI of the host. */
  webUi?: true;
  turn?: CachedTurn;
}

/** For callers that name no host where there is none or more than one. */
export const DEFAULT_HOST = 'home';

export class Callers {
  readonly #parts: CredentialParts;

  constructor(parts: CredentialParts) {
    this.#parts = parts;
  }

  /**
   * A cookie that names nobody is no credential: browsers send it by themselves. All others are refused with
   * `E_UNAUTHORIZED`, or `E_RATE_LIMITED` while a lock lasts.
   */
  async identify({ credential, address, host, webUi, turn = [] }: Question): Promise<Outcome<Answer>> {
    try {
      const caller = this.#caller(credential, address);
      // A query, which most requests can do without.
      const withWebUi = webUi === undefined && host === undefined ? [] : this.#parts.hosts.withWebUi();
      const usable = withWebUi.filter((id) => mayUse(caller, id));
      const ofWebUi = webUi === undefined ? undefined : webUiHost(usable, webUi);
      const resolved = ofWebUi ?? (host === undefined ? '' : (host ?? this.#hostOf(caller)));
      if (resolved !== '' && 'session' in caller && caller.session !== undefined && mayUse(caller, resolved)) {
        await this.#parts.sessions.uses(caller.session, resolved);
      }
      // Those of chosen hosts are known to be there and nowhere else.
      if (resolved !== '' && caller.kind === 'key' && caller.hosts === null) {
        this.#parts.keys.uses(caller.key, resolved);
      }
      const isClient = turn.length > 0 && mayUse(caller, resolved);
      const cached = isClient ? this.#parts.turn.usable(grantOf(caller).subject, turn) : undefined;
      return accepted({
        caller,
        host: resolved,
        ...(ofWebUi === undefined ? {} : { service: 'web_ui' }),
        ...(withWebUi.includes(resolved) ? { webUi: true } : {}),
        ...(cached === undefined ? {} : { turn: cached }),
      });
    } catch (error) {
      return refused(error);
    }
  }

  #caller(credential: Credential, address: string | null): Caller {
    switch (credential.kind) {
      case 'owner':
        this.#parts.guesses.ownerToken(credential.right, address);
        return { kind: 'owner' };
      case 'access':
        return { kind: 'owner' };
      case 'cookie':
        return this.#parts.sessions.authenticate(credential.hash) ?? { kind: 'anonymous' };
      case 'site':
        return this.#parts.siteSessions.authenticate(credential.hash, credential.site) ?? { kind: 'anonymous' };
      case 'key':
        return ofKey(unwrap(this.#parts.keys.authenticateKey(credential.hash)));
      case 'host':
        return { kind: 'agent', host: unwrap(this.#parts.hosts.authenticate(credential.hash)).host };
    }
  }

  #hostOf(caller: Caller): string {
    const theirs =
      'hosts' in caller && caller.hosts !== null ? caller.hosts : this.#parts.hosts.list().map(({ id }) => id);
    const [only, ...others] = theirs;
    return only !== undefined && others.length === 0 ? only : DEFAULT_HOST;
  }
}

function ofKey({ id, hosts, prefixes, models, requestsPerMinute }: KeyRights): Caller {
  return {
    kind: 'key',
    key: id,
    hosts,
    ...(prefixes === null ? {} : { prefixes }),
    ...(models === null ? {} : { models }),
    ...(requestsPerMinute === null ? {} : { requestsPerMinute }),
  };
}
