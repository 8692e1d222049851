/** Who is calling, with the coarse limit for those who guess. */
import type { Context } from 'hono';
import { DirectError } from '../shared/errors.ts';
import type { Grant } from '../shared/grant.ts';
import { authenticate, type Caller } from './auth.ts';
import { countRequest } from './coarse-limit.ts';
import type { Settings } from './settings.ts';

export interface EdgeEnv {
  Bindings: Cloudflare.Env;
  Variables: { settings: Settings };
}

export type EdgeContext = Context<EdgeEnv>;

/** Counts one request of this client against the coarse limit. @throws DirectError `E_RATE_LIMITED` */
export function count(c: EdgeContext): Promise<void> {
  return countRequest(c.env.COARSE_LIMIT, c.req.header('CF-Connecting-IP'));
}

/** @throws DirectError `E_UNAUTHORIZED`, or `E_RATE_LIMITED` after too many of those. */
export async function callerOf(c: EdgeContext): Promise<Caller> {
  try {
    return await authenticate(c.req.header('Authorization'), c.get('settings'));
  } catch (error) {
    await count(c);
    throw error;
  }
}

export async function refuseCaller(c: EdgeContext, detail: string): Promise<never> {
  await count(c);
  throw new DirectError('E_UNAUTHORIZED', detail);
}

/** What the caller may do on a host that it may use. */
export function grantOf(caller: Caller): Grant {
  return { subject: caller === 'owner' ? 'owner' : 'anonymous' };
}
