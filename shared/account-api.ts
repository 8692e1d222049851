/**
 * What the edge's API says (`/_direct/api`), as JSON. Times are milliseconds since 1970; null is “no limit” or “not
 * known”.
 */

export interface Me {
  kind: 'owner' | 'guest' | 'anonymous';
  /** Of this browser; absent when something else than the cookie lets it in. */
  session?: string;
  /** Whether any passkey is registered. */
  passkeys: boolean;
  /** Cloudflare Access stands before this edge. */
  access: boolean;
  /** Those that the caller may use. */
  hosts: UsableHost[];
}

export interface UsableHost {
  id: string;
  name: string;
  /** As the edge says: what counts is the key that this browser has pinned. */
  host_key: string | null;
  online: boolean;
  since?: number | null;
  /** The owner lets its web UI run at the edge's own address. */
  web_ui?: boolean;
}

export interface ServedUpstream {
  name: string;
  models: string[];
}

export interface Host extends UsableHost {
  web_ui: boolean;
  serves: ServedUpstream[];
  /** Its agent has said that it has one. */
  serves_web_ui: boolean;
  access: 'edge' | 'paired' | null;
  created_at: number;
}

export interface Device {
  id: string;
  name: string;
  paired_at: number;
  last_used_at: number | null;
}

/** What a key may reach. */
export interface KeyScope {
  name: string;
  /** Host ids. */
  hosts: string[] | null;
  /** Paths that requests may begin with, as `parseTarget` writes them. */
  prefixes: string[] | null;
  models: string[] | null;
  expires_at: number | null;
  requests_per_minute: number | null;
}

export interface ApiKey extends KeyScope {
  id: string;
  /** The key's last characters, by which people tell keys apart. */
  hint: string;
  created_at: number;
  last_used_at: number | null;
}

export interface InvitationScope {
  /** Whom it is for. */
  name: string;
  /** Host ids. */
  hosts: string[];
  expires_at: number | null;
}

export interface Invitation extends InvitationScope {
  id: string;
  created_at: number;
  /** How often a browser was signed in with it. */
  uses: number;
  last_used_at: number | null;
}

export interface WebSession {
  /** Public: it names the session in lists and in grants, and admits nobody. */
  id: string;
  kind: 'owner' | 'guest';
  /** A short form of the browser's name. */
  name: string;
  created_at: number;
  last_seen_at: number;
  expires_at: number;
}

export interface ListedWebSession extends WebSession {
  /** Whether it is the one that asks. */
  current: boolean;
}

export interface Passkey {
  /** Ours, for lists and addresses; the authenticator has its own. */
  id: string;
  name: string;
  created_at: number;
  last_used_at: number | null;
}

export interface AuditEvent {
  id: number;
  at: number;
  actor: string;
  action: string;
  detail: string;
  address: string | null;
}

/** An agent that asks for approval (RFC 8628). */
export interface Login {
  user_code: string;
  host_name: string;
  host_key: string;
  serves: ServedUpstream[];
  address: string | null;
  created_at: number;
  expires_at: number;
  known_host: { id: string; name: string } | null;
}

export interface ApprovedHost {
  host_id: string;
  host_name: string;
}

/** Who names the ICE servers of clients that bring none of their own, and whether it works. */
export interface IceStatus {
  source: 'configuration' | TurnProviderStatus['source'] | 'default';
  /** Whether there is a TURN server among them. */
  turn: boolean;
  /** Those that are set up, in their order. `ICE_SERVERS` goes before them all. */
  providers: TurnProviderStatus[];
}

export interface TurnProviderStatus {
  source: 'cloudflare' | 'metered' | 'coturn';
  /** When it last made a credential. */
  succeeded_at: number | null;
  failed_at: number | null;
  /** Whether its last answer was a failure. */
  failing: boolean;
  /** Of that failure, in a few words such as `HTTP 401`. */
  reason: string | null;
}
