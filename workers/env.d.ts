// What wrangler.toml binds, and the secrets and variables that an owner may set.
declare namespace Cloudflare {
  interface Env {
    readonly SESSIONS: DurableObjectNamespace<import('./session-object.ts').SessionObject>;
    readonly HOSTS: DurableObjectNamespace<import('./host-object.ts').HostObject>;
    readonly ACCOUNTS: DurableObjectNamespace<import('./account-object.ts').AccountObject>;
    readonly COARSE_LIMIT: RateLimit;
    readonly ASSETS: Fetcher;
    readonly OWNER_TOKEN?: string;
    readonly AGENT_TOKEN?: string;
    readonly ALLOWED_ORIGINS?: string;
    readonly OPEN_HOSTS?: string;
    readonly DEFAULT_HOST?: string;
    readonly ICE_SERVERS?: string;
    readonly CLOUDFLARE_TURN_KEY_ID?: string;
    readonly CLOUDFLARE_TURN_KEY_TOKEN?: string;
    readonly METERED_APP_NAME?: string;
    readonly METERED_API_KEY?: string;
    readonly METERED_REGION?: string;
    readonly TURN_URLS?: string;
    readonly TURN_SECRET?: string;
    readonly TURN_TTL?: string;
    readonly OPEN_HOSTS_TURN?: string;
    /** Instead of the network, for TURN providers; tests have theirs here. */
    readonly TURN_API?: { fetch: typeof fetch };
    readonly WEB_UI_HOSTNAMES?: string;
    readonly EDGE_ORIGIN?: string;
    readonly POLL_HOLD_MS?: string;
    readonly ACCESS_TEAM_DOMAIN?: string;
    readonly ACCESS_AUD?: string;
    readonly ACCESS_MODE?: string;
    readonly ACCESS_EMAILS?: string;
    /** Instead of the network, for the keys of Access; tests have theirs here. */
    readonly ACCESS_CERTS?: { fetch: typeof fetch };
  }

  /** Types `exports` of `cloudflare:workers`. */
  interface GlobalProps {
    mainModule: typeof import('./index.ts');
  }
}
