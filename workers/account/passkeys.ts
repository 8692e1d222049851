/** The owner's passkeys (WebAuthn Level 3): several, discoverable, so that signing in needs no user name. */
import { RpcTarget } from 'cloudflare:workers';
import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from '@simplewebauthn/server';
import type { Passkey } from '../../shared/account-api.ts';
import { DirectError } from '../../shared/errors.ts';
import { newId } from '../../shared/new-id.ts';
import { accepted, type Outcome, refused } from '../outcome.ts';
import type { Account } from './account.ts';
import type { By } from './audit.ts';
import type { SignedIn } from './web-sessions.ts';

/** Where the page is. A passkey works for one host name only. */
export interface Site {
  /** Scheme, host name and port of the edge. */
  origin: string;
  /** The host name alone. */
  rpID: string;
}

const CHALLENGE_LIFETIME_MS = 5 * 60_000;
/** Anybody may ask for a challenge: the oldest ones of an address, and then of all, give way. */
const MAX_CHALLENGES_PER_CLIENT = 10;
const MAX_CHALLENGES = 1_000;
/** Bounds the list that goes with every registration. */
const MAX_PASSKEYS = 50;
/**
 * The passkey is all that signs the owner in, so it must be two factors by itself: a key that is merely plugged in does
 * not do. Authenticators want a PIN for discoverable credentials anyway (CTAP 2.1, section 6.1.2).
 */
const USER_VERIFICATION = 'required';
/** There is one user. The same handle each time lets an authenticator replace its passkey instead of keeping two. */
const USER = {
  userName: 'owner',
  userDisplayName: 'Owner',
  userID: Uint8Array.from('owner', (char) => char.charCodeAt(0)),
};

/**
 * Evaluated when it is needed: certificates are most of the Worker's code, and each isolate that starts would pay for it
 * in CPU time, those of signaling too.
 */
const webAuthn = () => import('@simplewebauthn/server');

type Purpose = 'register' | 'sign-in';

type Row = {
  id: string;
  name: string;
  credential: string;
  public_key: ArrayBuffer;
  counter: number;
  transports: string;
  created_at: number;
  last_used_at: number | null;
};

export class Passkeys extends RpcTarget {
  readonly #account: Account;

  constructor(account: Account) {
    super();
    this.#account = account;
    account.sql.exec(`
      CREATE TABLE IF NOT EXISTS passkeys (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, credential TEXT NOT NULL UNIQUE, public_key BLOB NOT NULL,
        counter INTEGER NOT NULL, transports TEXT NOT NULL, created_at INTEGER NOT NULL, last_used_at INTEGER);
      CREATE TABLE IF NOT EXISTS passkey_challenges (
        challenge TEXT PRIMARY KEY, purpose TEXT NOT NULL, client TEXT NOT NULL, expires_at INTEGER NOT NULL)`);
  }

  /** In the order of their registration. */
  list(): Passkey[] {
    return this.#rows().map(passkey);
  }

  /** Whether the owner has one. */
  any(): boolean {
    return this.#rows().length > 0;
  }

  async registrationOptions({ rpID }: Site): Promise<PublicKeyCredentialCreationOptionsJSON> {
    const { generateRegistrationOptions } = await webAuthn();
    const options = await generateRegistrationOptions({
      ...USER,
      rpID,
      rpName: 'direct-agent',
      timeout: CHALLENGE_LIFETIME_MS,
      attestationType: 'none',
      authenticatorSelection: { residentKey: 'required', userVerification: USER_VERIFICATION },
      excludeCredentials: this.#rows().map(({ credential, transports }) => ({
        id: credential,
        transports: JSON.parse(transports) as string[],
      })),
    });
    this.#keepChallenge(options.challenge, 'register', 'owner');
    return options;
  }

  /** `response` is what the browser answered, unchecked. Refuses with `E_BAD_REQUEST`. */
  async register(name: string, response: unknown, site: Site, by: By): Promise<Outcome<Passkey>> {
    if (this.#rows().length >= MAX_PASSKEYS) {
      return refused(new DirectError('E_BAD_REQUEST', `there are ${MAX_PASSKEYS} passkeys; remove some first`));
    }
    const { verifyRegistrationResponse } = await webAuthn();
    const registration = await verified(() =>
      verifyRegistrationResponse({
        response: response as RegistrationResponseJSON,
        expectedChallenge: (challenge) => this.#takeChallenge(challenge, 'register'),
        expectedOrigin: site.origin,
        expectedRPID: site.rpID,
        requireUserVerification: true,
      }),
    );
    const { sql, audit, now } = this.#account;
    if (registration?.registrationInfo === undefined) {
      return refused(new DirectError('E_BAD_REQUEST', 'the passkey could not be verified; try again'));
    }
    const { id, publicKey, counter, transports = [] } = registration.registrationInfo.credential;
    if (this.#withCredential(id) !== undefined) {
      return refused(new DirectError('E_BAD_REQUEST', 'this passkey is registered already'));
    }
    const row = sql
      .exec<Row>(
        `INSERT INTO passkeys (id, name, credential, public_key, counter, transports, created_at)
          VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING *`,
        newId(),
        name,
        id,
        publicKey,
        counter,
        JSON.stringify(transports),
        now(),
      )
      .one();
    audit.record({ ...by, action: 'passkey.add', detail: name });
    return accepted(passkey(row));
  }

  /** `client` is what counts as one (coarse-limit.ts). Refuses with `E_NOT_FOUND` while the owner has none. */
  async signInOptions({ rpID }: Site, client: string): Promise<Outcome<PublicKeyCredentialRequestOptionsJSON>> {
    if (!this.any()) return refused(new DirectError('E_NOT_FOUND', 'no passkey is registered'));
    const { generateAuthenticationOptions } = await webAuthn();
    const options = await generateAuthenticationOptions({
      rpID,
      timeout: CHALLENGE_LIFETIME_MS,
      userVerification: USER_VERIFICATION,
    });
    this.#keepChallenge(options.challenge, 'sign-in', client);
    return accepted(options);
  }

  /** Signs the owner in on a browser, whose `name` is for people. Refuses with `E_UNAUTHORIZED`. */
  async signIn(response: unknown, site: Site, name: string, address: string | null): Promise<Outcome<SignedIn>> {
    const { verifyAuthenticationResponse } = await webAuthn();
    const row = this.#withCredential((response as { id?: unknown } | null)?.id);
    const assertion =
      row === undefined
        ? undefined
        : await verified(() =>
            verifyAuthenticationResponse({
              response: response as AuthenticationResponseJSON,
              expectedChallenge: (challenge) => this.#takeChallenge(challenge, 'sign-in'),
              expectedOrigin: site.origin,
              expectedRPID: site.rpID,
              requireUserVerification: true,
              credential: {
                id: row.credential,
                publicKey: new Uint8Array(row.public_key),
                counter: row.counter,
              },
            }),
          );
    if (row === undefined || assertion?.verified !== true) return refused(notAccepted());
    const { sql, sessions, audit, guesses, now } = this.#account;
    // Again, since it may have been removed, or used by a copy, while it was verified.
    const used = sql.exec(
      `UPDATE passkeys SET counter = ?1, last_used_at = ?2
        WHERE id = ?3 AND (counter < ?1 OR (counter = 0 AND ?1 = 0)) RETURNING id`,
      assertion.authenticationInfo.newCounter,
      now(),
      row.id,
    );
    if (used.toArray().length === 0) return refused(notAccepted());
    guesses.succeeded(address);
    const session = await sessions.create({ kind: 'owner', name });
    audit.record({
      actor: `session:${session.id}`,
      action: 'sign-in',
      detail: `with passkey ${row.name}, ${name}`,
      address,
    });
    return accepted(session);
  }

  /** The sessions that it began stay, and can be ended by themselves. Refuses with `E_NOT_FOUND`. */
  remove(id: string, by: By): Outcome<null> {
    const { sql, audit } = this.#account;
    const [row] = sql.exec<Row>('DELETE FROM passkeys WHERE id = ? RETURNING *', id).toArray();
    if (row === undefined) return refused(new DirectError('E_NOT_FOUND', 'no such passkey'));
    audit.record({ ...by, action: 'passkey.remove', detail: row.name });
    return accepted(null);
  }

  #rows(): Row[] {
    return this.#account.sql.exec<Row>('SELECT * FROM passkeys ORDER BY created_at, rowid').toArray();
  }

  #withCredential(id: unknown): Row | undefined {
    if (typeof id !== 'string') return undefined;
    return this.#account.sql.exec<Row>('SELECT * FROM passkeys WHERE credential = ?', id).toArray()[0];
  }

  #keepChallenge(challenge: string, purpose: Purpose, client: string): void {
    const { sql, now } = this.#account;
    sql.exec('DELETE FROM passkey_challenges WHERE expires_at <= ?', now());
    const tooMany = `DELETE FROM passkey_challenges WHERE rowid IN (SELECT rowid FROM passkey_challenges
      WHERE ?1 IS NULL OR client = ?1 ORDER BY rowid DESC LIMIT -1 OFFSET ?2)`;
    sql.exec(tooMany, client, MAX_CHALLENGES_PER_CLIENT - 1);
    sql.exec(tooMany, null, MAX_CHALLENGES - 1);
    const insert = 'INSERT INTO passkey_challenges (challenge, purpose, client, expires_at) VALUES (?, ?, ?, ?)';
    sql.exec(insert, challenge, purpose, client, now() + CHALLENGE_LIFETIME_MS);
  }

  /** Whether it is one of ours that nobody has answered yet. */
  #takeChallenge(challenge: string, purpose: Purpose): boolean {
    const take = `DELETE FROM passkey_challenges WHERE challenge = ? AND purpose = ? AND expires_at > ? RETURNING 1`;
    return this.#account.sql.exec(take, challenge, purpose, this.#account.now()).toArray().length > 0;
  }
}

/** What the library verified; undefined for whatever it throws at a response that is wrong or malformed. */
async function verified<T>(verify: () => Promise<T>): Promise<T | undefined> {
  try {
    return await verify();
  } catch {
    return undefined;
  }
}

function notAccepted(): DirectError {
  return new DirectError('E_UNAUTHORIZED', 'the passkey was not accepted; it may be removed, or the page too old');
}

function passkey({ id, name, created_at, last_used_at }: Row): Passkey {
  return { id, name, created_at, last_used_at };
}
