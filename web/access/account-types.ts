/** What the edge's API says (`/_direct/api`); times in ms since 1970, null for “no limit” or “not known”. */

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
}

export interface ServedUpstream {
  name: string;
  models: string[];
}

export interface Host extends UsableHost {
  serves: ServedUpstream[];
  access: 'edge' | 'paired' | null;
  created_at: number;
}

export interface Device {
  id: string;
  name: string;
  paired_at: number;
  last_used_at: number | null;
}

export interface KeyScope {
  name: string;
  /** Null: all. */
  hosts: string[] | null;
  prefixes: string[] | null;
  models: string[] | null;
  expires_at: number | null;
  requests_per_minute: number | null;
}

export interface ApiKey extends KeyScope {
  id: string;
  /** The end of the key, to tell it from others. */
  hint: string;
  created_at: number;
  last_used_at: number | null;
}

export interface InvitationScope {
  name: string;
  hosts: string[];
  expires_at: number | null;
}

export interface Invitation extends InvitationScope {
  id: string;
  created_at: number;
  uses: number;
  last_used_at: number | null;
}

export interface WebSession {
  id: string;
  kind: 'owner' | 'guest';
  /** A short form of the browser's name. */
  name: string;
  created_at: number;
  last_seen_at: number;
  expires_at: number;
  current: boolean;
}

export interface Passkey {
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
