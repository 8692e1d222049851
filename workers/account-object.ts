/**
 * The Durable Object of the account; a self-hosted edge has one. Owns who may get in: web sessions, passkeys, hosts and
 * their credentials, API keys, invitations. Each part has its own table and its own file in account/.
 *
 * A part is got by a method and used in the same round trip, `stub.sessions().list()`: calls wait for no answer before
 * them (promise pipelining). Not by a getter, which vitest's wrapper around objects does not pipeline.
 */
import { DurableObject } from 'cloudflare:workers';
import { DirectError } from '../shared/errors.ts';
import type { Account } from './account/account.ts';
import { Audit } from './account/audit.ts';
import { Callers, type CredentialParts } from './account/callers.ts';
import { Guesses } from './account/guesses.ts';
import { WebSessions } from './account/web-sessions.ts';
import { refused } from './outcome.ts';

/** The name of the only one. */
export const ACCOUNT = 'main';

/** What stands for keys and hosts until their parts do. */
const NOBODY: Pick<CredentialParts, 'keys' | 'hosts'> = {
  keys: { authenticateKey: () => refused(new DirectError('E_UNAUTHORIZED')) },
  hosts: { authenticate: () => refused(new DirectError('E_UNAUTHORIZED')), list: () => [] },
};

export class AccountObject extends DurableObject<Cloudflare.Env> {
  /** Tests put their own clock here. */
  now: () => number = Date.now;
  readonly #account: Account;
  readonly #callers: Callers;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    const now = () => this.now();
    const audit = new Audit(sql, now);
    const guesses = new Guesses(sql, now, audit);
    const sessions = new WebSessions(sql, now, audit, guesses);
    this.#account = { sql, now, audit, guesses, sessions };
    this.#callers = new Callers({ ...NOBODY, guesses, sessions });
  }

  audit(): Audit {
    return this.#account.audit;
  }

  sessions(): WebSessions {
    return this.#account.sessions;
  }

  callers(): Callers {
    return this.#callers;
  }
}
