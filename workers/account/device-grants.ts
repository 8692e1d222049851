/**
 * Agents that ask to be let in (RFC 8628, the device authorization grant): the agent polls with a secret code, the
 * owner approves by a short one, and the agent gets its credential once, for the key that it proves to hold.
 */
import { RpcTarget } from 'cloudflare:workers';
import type { ApprovedHost, Login, ServedUpstream } from '../../shared/account-api.ts';
import { decodeBase64url } from '../../shared/base64url.ts';
import { DirectError } from '../../shared/errors.ts';
import { transcript } from '../../shared/transcript.ts';
import { accepted, type Outcome, RetryLater, refused } from '../outcome.ts';
import { hashSecret, newSecret } from '../secret.ts';
import type { Account } from './account.ts';
import type { By } from './audit.ts';
import type { Host, Hosts } from './hosts.ts';
import { newUserCode } from './user-code.ts';

export interface GrantRequest {
  /** Ed25519, base64url. */
  hostKey: string;
  hostName: string;
  serves: ServedUpstream[];
  /** The agent's address, to show. */
  address: string | null;
  /** What counts as one client (coarse-limit.ts). */
  client: string;
}

export interface StartedGrant {
  device_code: string;
  user_code: string;
  /** Seconds, both. */
  expires_in: number;
  interval: number;
}

/** RFC 8628, section 3.5, and RFC 6749, section 5.2. */
export type TokenError = 'authorization_pending' | 'slow_down' | 'access_denied' | 'expired_token' | 'invalid_grant';
export type TokenAnswer = ({ access_token: string } & ApprovedHost) | { error: TokenError };

const LIFETIME_MS = 600_000;
const INTERVAL_S = 5;
/** RFC 8628, section 3.5: `slow_down` adds 5 seconds. */
const SLOWER_BY_S = 5;
/** Timers fire early, and one poll may travel faster than the one before. */
const POLL_TOLERANCE_MS = 250;
/**
 * An owner has a handful of hosts. More open ones would make guessing a user code easier. It is not for addresses from
 * which the owner has signed in: a few strangers could keep all of them open.
 */
const MAX_OPEN = 20;
const MAX_OPEN_PER_CLIENT = 5;
/** An agent that still polls hears that the time is over, instead of that the code is unknown. */
const KEPT_AFTER_EXPIRY_MS = LIFETIME_MS;

type Row = {
  device_hash: string;
  user_code: string;
  host_key: string;
  host_name: string;
  serves: string;
  address: string | null;
  client: string;
  created_at: number;
  expires_at: number;
  /** Seconds that the agent must leave between polls. */
  interval: number;
  polled_at: number | null;
  state: 'pending' | 'approved' | 'denied';
  host_id: string | null;
};

export class DeviceGrants extends RpcTarget {
  readonly #account: Account;
  readonly #hosts: Hosts;

  constructor(account: Account, hosts: Hosts) {
    super();
    this.#account = account;
    this.#hosts = hosts;
    account.sql.exec(`CREATE TABLE IF NOT EXISTS device_grants (
      device_hash TEXT PRIMARY KEY, user_code TEXT NOT NULL UNIQUE, host_key TEXT NOT NULL, host_name TEXT NOT NULL,
      serves TEXT NOT NULL, address TEXT, client TEXT NOT NULL, created_at INTEGER NOT NULL,
      expires_at INTEGER NOT NULL, interval INTEGER NOT NULL, polled_at INTEGER, state TEXT NOT NULL, host_id TEXT)`);
  }

  /** Refuses with `E_RATE_LIMITED` while too many are open. */
  async start(request: GrantRequest): Promise<Outcome<StartedGrant>> {
    const deviceCode = newSecret('dad_');
    const deviceHash = await hashSecret(deviceCode);
    const { sql, guesses } = this.#account;
    const now = this.#account.now();
    sql.exec('DELETE FROM device_grants WHERE expires_at <= ?', now - KEPT_AFTER_EXPIRY_MS);
    try {
      if (!guesses.knows(request.address)) this.#checkOpen(now, MAX_OPEN);
      this.#checkOpen(now, MAX_OPEN_PER_CLIENT, request.client);
    } catch (error) {
      return refused(error);
    }
    const userCode = this.#freeUserCode();
    sql.exec(
      `INSERT INTO device_grants (device_hash, user_code, host_key, host_name, serves, address, client, created_at,
        expires_at, interval, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')`,
      deviceHash,
      userCode,
      request.hostKey,
      request.hostName,
      JSON.stringify(request.serves),
      request.address,
      request.client,
      now,
      now + LIFETIME_MS,
      INTERVAL_S,
    );
    return accepted({
      device_code: deviceCode,
      user_code: userCode,
      expires_in: LIFETIME_MS / 1000,
      interval: INTERVAL_S,
    });
  }

  /** Refuses with `E_NOT_FOUND` what is not waiting for an answer, and with `E_RATE_LIMITED` one who guesses. */
  lookup(userCode: string, by: By): Outcome<Login> {
    const found = this.#find(userCode, by);
    if (!found.ok) return found;
    const { user_code, host_name, host_key, serves, address, created_at, expires_at } = found.value;
    const known = this.#hosts.withKey(host_key);
    return accepted({
      user_code,
      host_name,
      host_key,
      serves: JSON.parse(serves) as ServedUpstream[],
      address,
      created_at,
      expires_at,
      known_host: known === undefined ? null : { id: known.id, name: known.name },
    });
  }

  /** `name` is what the owner calls the host, else it is what the agent proposes. Refuses as `lookup`. */
  approve(userCode: string, name: string | undefined, by: By): Outcome<ApprovedHost> {
    const found = this.#find(userCode, by);
    if (!found.ok) return found;
    // An older credential of this host stays valid until the new one is fetched: only then is the key proved.
    const host = this.#hosts.register(found.value.host_key, name, found.value.host_name);
    const update = `UPDATE device_grants SET state = 'approved', host_id = ? WHERE user_code = ?`;
    this.#account.sql.exec(update, host.id, userCode);
    this.#account.audit.record({ ...by, action: 'host.approve', detail: `${host.id}: ${host.name}` });
    return accepted(approvedHost(host));
  }

  /** Refuses as `lookup`. */
  deny(userCode: string, by: By): Outcome<null> {
    const found = this.#find(userCode, by);
    if (!found.ok) return found;
    this.#account.sql.exec(`UPDATE device_grants SET state = 'denied' WHERE user_code = ?`, userCode);
    this.#account.audit.record({ ...by, action: 'host.deny', detail: found.value.host_name });
    return accepted(null);
  }

  /**
   * One poll of the agent. `signature` (base64url) is the host key's over
   * `transcript('direct-agent login v1', host key, origin, device code)`, with the edge's own `origin`. Refuses with
   * `E_RATE_LIMITED` one who guesses.
   */
  async token(
    deviceCode: string,
    signature: string,
    origin: string,
    address: string | null,
  ): Promise<Outcome<TokenAnswer>> {
    // All that must be waited for comes first, so that nothing happens between looking at the row and using it up.
    const deviceHash = await hashSecret(deviceCode);
    const accessToken = newSecret('dah_');
    const tokenHash = await hashSecret(accessToken);
    const hostKey = this.#byDevice(deviceHash)?.host_key;
    const proved = hostKey !== undefined && (await isSigned(hostKey, [origin, deviceCode], signature));
    const row = this.#byDevice(deviceHash);
    if (row === undefined) return this.#unknownDevice(address);
    // Before anything changes: whoever has the code without the key cannot slow the agent down either.
    if (!proved) return accepted({ error: 'invalid_grant' });
    const { sql, audit } = this.#account;
    if (row.expires_at <= this.#account.now()) return accepted({ error: 'expired_token' });
    if (row.state === 'denied') return accepted({ error: 'access_denied' });
    if (row.state === 'pending') {
      return accepted({ error: this.#polledTooSoon(row) ? 'slow_down' : 'authorization_pending' });
    }
    sql.exec('DELETE FROM device_grants WHERE device_hash = ?', deviceHash);
    const host = this.#hosts.withKey(row.host_key);
    // The owner has removed it again meanwhile.
    if (host === undefined || host.id !== row.host_id) return accepted({ error: 'access_denied' });
    this.#hosts.credential(host.id, tokenHash);
    audit.record({ actor: `host:${host.id}`, action: 'host.login', detail: host.name, address });
    return accepted({ access_token: accessToken, ...approvedHost(host) });
  }

  #unknownDevice(address: string | null): Outcome<TokenAnswer> {
    try {
      this.#account.guesses.wrong('device_poll', address);
      return accepted({ error: 'invalid_grant' });
    } catch (error) {
      return refused(error);
    }
  }

  #polledTooSoon(row: Row): boolean {
    const now = this.#account.now();
    const soon = row.polled_at !== null && now - row.polled_at < row.interval * 1000 - POLL_TOLERANCE_MS;
    const update = 'UPDATE device_grants SET polled_at = ?, interval = ? WHERE device_hash = ?';
    this.#account.sql.exec(update, now, row.interval + (soon ? SLOWER_BY_S : 0), row.device_hash);
    return soon;
  }

  #checkOpen(now: number, most: number, client?: string): void {
    const query = `SELECT count(*) AS open, min(expires_at) AS next FROM device_grants
      WHERE expires_at > ?1 AND state <> 'denied' AND (?2 IS NULL OR client = ?2)`;
    const { open, next } = this.#account.sql
      .exec<{ open: number; next: number | null }>(query, now, client ?? null)
      .one();
    if (open >= most) throw new RetryLater('E_RATE_LIMITED', (next ?? now) - now, 'logins that wait for approval');
  }

  #freeUserCode(): string {
    for (;;) {
      const code = newUserCode();
      const query = 'SELECT 1 FROM device_grants WHERE user_code = ?';
      if (this.#account.sql.exec(query, code).toArray().length === 0) return code;
    }
  }

  #find(userCode: string, { address }: By): Outcome<Row> {
    const { sql, guesses, now } = this.#account;
    try {
      guesses.check('device_code', address);
      const query = `SELECT * FROM device_grants WHERE user_code = ? AND state = 'pending' AND expires_at > ?`;
      const [row] = sql.exec<Row>(query, userCode, now()).toArray();
      if (row !== undefined) return accepted(row);
      guesses.failed('device_code', address);
      throw new DirectError('E_NOT_FOUND', 'no login waits with this code; it may be used or expired');
    } catch (error) {
      return refused(error);
    }
  }

  #byDevice(deviceHash: string): Row | undefined {
    return this.#account.sql.exec<Row>('SELECT * FROM device_grants WHERE device_hash = ?', deviceHash).toArray()[0];
  }
}

async function isSigned(hostKey: string, texts: readonly string[], signature: string): Promise<boolean> {
  const [keyBytes, signatureBytes] = [decodeBase64url(hostKey), decodeBase64url(signature)];
  if (keyBytes === undefined || signatureBytes === undefined) return false;
  const message = transcript('direct-agent login v1', keyBytes, ...texts.map((text) => new TextEncoder().encode(text)));
  try {
    const key = await crypto.subtle.importKey('raw', keyBytes, 'Ed25519', false, ['verify']);
    return await crypto.subtle.verify('Ed25519', key, signatureBytes, message);
  } catch {
    // Bytes that are no point of the curve.
    return false;
  }
}

function approvedHost({ id, name }: Host): ApprovedHost {
  return { host_id: id, host_name: name };
}
