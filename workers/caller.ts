/** Who is calling and what they may do. How they prove it is in auth.ts. */
import type { Context } from 'hono';
import type { Grant } from '../shared/grant.ts';
import { countRequest } from './coarse-limit.ts';
import type { Settings } from './settings.ts';
import type { WebUiSite } from './web-ui-sites.ts';

export type Caller =
  | { kind: 'anonymous' }
  /** `session`: the public id of a web session; without it they came with a token. */
  | { kind: 'owner'; session?: string }
  | { kind: 'guest'; session: string; invitation: string; hosts: string[] }
  /** `hosts` null: all. What else is absent is not limited. */
  | {
      kind: 'key';
      key: string;
      hosts: string[] | null;
      prefixes?: string[];
      models?: string[];
      requestsPerMinute?: number;
    }
  /** `host` null: AGENT_TOKEN, which may serve any host. */
  | { kind: 'agent'; host: string | null };

/** Whether the caller may be a client of the host. Hosts in OPEN_HOSTS are another matter. */
export function mayUse(caller: Caller, host: string): boolean {
  if (caller.kind === 'owner') return true;
  if (caller.kind === 'key') return caller.hosts === null || caller.hosts.includes(host);
  return caller.kind === 'guest' && caller.hosts.includes(host);
}

/** Whether the caller may be the host's agent. */
export function mayServe(caller: Caller, host: string): boolean {
  return caller.kind === 'agent' && (caller.host === null || caller.host === host);
}

/** What the host is told of the caller; `webUi`: its web UI may be asked for as well. */
export function grantOf(caller: Caller, webUi = false): Grant {
  return { ...grantWithoutWebUi(caller), ...(webUi ? { web_ui: true } : {}) };
}

/** Agents are no clients: theirs is that of nobody. */
function grantWithoutWebUi(caller: Caller): Grant {
  switch (caller.kind) {
    case 'owner':
      return { subject: caller.session === undefined ? 'owner' : `session:${caller.session}` };
    case 'guest':
      return { subject: `invitation:${caller.invitation}`, browser: caller.session };
    case 'key': {
      const { key, prefixes, models, requestsPerMinute } = caller;
      return {
        subject: `key:${key}`,
        ...(prefixes === undefined ? {} : { prefixes }),
        ...(models === undefined ? {} : { models }),
        ...(requestsPerMinute === undefined ? {} : { requests_per_minute: requestsPerMinute }),
      };
    }
    default:
      return { subject: 'anonymous' };
  }
}

export interface EdgeEnv {
  Bindings: Cloudflare.Env;
  Variables: {
    settings: Settings;
    /** Of requests that come to the host name of a web UI: there the edge has no pages, and a cookie of its own. */
    site?: WebUiSite;
    /** Set by the guards of api/guards.ts. */
    caller: Caller;
  };
}

export type EdgeContext = Context<EdgeEnv>;

/** The client's address, as Cloudflare saw it; there is none where no Cloudflare is. */
export function addressOf(c: EdgeContext): string | null {
  return c.req.header('CF-Connecting-IP') ?? null;
}

/** Counts one request of this client against the coarse limit. @throws DirectError `E_RATE_LIMITED` */
export function count(c: EdgeContext): Promise<void> {
  return countRequest(c.env.COARSE_LIMIT, addressOf(c) ?? undefined);
}
