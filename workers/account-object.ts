/**
 * The Durable Object of the account; a self-hosted edge has one. Owns who may get in: web sessions, passkeys, hosts and
 * their credentials, API keys, invitations. Each part has its own table and its own file in account/.
 */
import { DurableObject } from 'cloudflare:workers';
import { Audit } from './account/audit.ts';

/** The name of the only one. */
export const ACCOUNT = 'main';

export class AccountObject extends DurableObject<Cloudflare.Env> {
  /** Tests put their own clock here. */
  now: () => number = Date.now;
  readonly #audit: Audit;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#audit = new Audit(ctx.storage.sql, () => this.now());
  }

  get audit(): Audit {
    return this.#audit;
  }
}
