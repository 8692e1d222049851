/**
 * The Durable Object of the account; a self-hosted edge has one. Owns who may get in: web sessions, passkeys, hosts and
 * their credentials, API keys, invitations; and the TURN credentials that were made for them. Each part has its own table
 * and its own file in account/.
 *
 * A part is got by a method and used in the same round trip, `stub.sessions().list()`: calls wait for no answer before
 * them (promise pipelining). Not by a getter, which vitest's wrapper around objects does not pipeline.
 */
import { DurableObject } from 'cloudflare:workers';
import type { Account } from './account/account.ts';
import { ApiKeys } from './account/api-keys.ts';
import { Audit } from './account/audit.ts';
import { type Answer, Callers, type Question } from './account/callers.ts';
import { DeviceGrants } from './account/device-grants.ts';
import type { Expiring } from './account/expiry.ts';
import { Guesses } from './account/guesses.ts';
import { Hosts } from './account/hosts.ts';
import { Invitations } from './account/invitations.ts';
import { Passkeys } from './account/passkeys.ts';
import { SiteSessions } from './account/site-sessions.ts';
import { TurnCredentials } from './account/turn-credentials.ts';
import { WebSessions } from './account/web-sessions.ts';
import type { Outcome } from './outcome.ts';
import { revokeAt } from './revoke.ts';
import { revokingBy } from './turn/revoking.ts';

/** The name of the only one. */
export const ACCOUNT = 'main';

export class AccountObject extends DurableObject<Cloudflare.Env> {
  /** Tests put their own clock here. */
  now: () => number = Date.now;
  readonly #account: Account;
  readonly #callers: Callers;
  readonly #hosts: Hosts;
  readonly #deviceGrants: DeviceGrants;
  readonly #keys: ApiKeys;
  readonly #invitations: Invitations;
  readonly #passkeys: Passkeys;
  readonly #siteSessions: SiteSessions;
  readonly #turn: TurnCredentials;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    const now = () => this.now();
    const audit = new Audit(sql, now);
    const guesses = new Guesses(sql, now, audit);
    const expires = () => this.#awaitExpiry();
    // Storage keeps the order of what is asked of it, so nobody waits here.
    const ended = (subject: string | null) => {
      if (this.#turn.end(subject)) void this.#awaitExpiry();
    };
    const sessions = new WebSessions(sql, now, audit, guesses, expires, ended);
    this.#account = { sql, now, audit, guesses, sessions, expires, ended };
    this.#keys = new ApiKeys(this.#account);
    this.#invitations = new Invitations(this.#account);
    this.#hosts = new Hosts(this.#account, (id) => {
      this.#keys.hostRemoved(id);
      this.#invitations.hostRemoved(id);
      // Its agent got the credentials of whoever used it, and nobody has kept a list.
      ended(null);
    });
    this.#deviceGrants = new DeviceGrants(this.#account, this.#hosts);
    this.#passkeys = new Passkeys(this.#account);
    this.#siteSessions = new SiteSessions(this.#account);
    this.#turn = new TurnCredentials(this.#account, (subject) => this.#isGood(subject));
    this.#callers = new Callers({
      guesses,
      sessions,
      siteSessions: this.#siteSessions,
      keys: this.#keys,
      hosts: this.#hosts,
      turn: this.#turn,
    });
  }

  /** Credentials have ended: so does what they began at hosts. */
  override async alarm(): Promise<void> {
    const now = this.now();
    for (const part of this.#expiring) {
      for (const { subject, hosts } of part.expired(now)) {
        this.#turn.end(subject);
        await revokeAt(this.env, hosts, subject);
      }
      // Not before: an alarm that fails is repeated.
      part.told(now);
    }
    await this.#turn.revokeEnded(revokingBy(this.env));
    await this.#awaitExpiry();
  }

  audit(): Audit {
    return this.#account.audit;
  }

  sessions(): WebSessions {
    return this.#account.sessions;
  }

  /** Not by a part: what is held of one keeps this object in memory, for as long as a tunnelled request takes. */
  identify(question: Question): Promise<Outcome<Answer>> {
    return this.#callers.identify(question);
  }

  hosts(): Hosts {
    return this.#hosts;
  }

  deviceGrants(): DeviceGrants {
    return this.#deviceGrants;
  }

  keys(): ApiKeys {
    return this.#keys;
  }

  invitations(): Invitations {
    return this.#invitations;
  }

  passkeys(): Passkeys {
    return this.#passkeys;
  }

  siteSessions(): SiteSessions {
    return this.#siteSessions;
  }

  turn(): TurnCredentials {
    return this.#turn;
  }

  get #expiring(): Expiring[] {
    return [this.#keys, this.#invitations, this.#account.sessions];
  }

  async #awaitExpiry(): Promise<void> {
    const next = [...this.#expiring.map((part) => part.nextExpiry()), this.#turn.nextRevocation()];
    const times = next.filter((at) => at !== undefined);
    if (times.length > 0) await this.ctx.storage.setAlarm(Math.min(...times));
  }

  /** Whether there is somebody who may do something as this subject. */
  #isGood(subject: string): boolean {
    const [kind, id = ''] = subject.split(':', 2);
    switch (kind) {
      case 'session':
        return this.#account.sessions.isGood(id);
      case 'invitation':
        return this.#invitations.isGood(id);
      case 'key':
        return this.#keys.isGood(id);
      default:
        // The owner's token, and people without a credential.
        return true;
    }
  }
}
