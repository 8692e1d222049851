/** Who is calling. The only file that sees tokens; accounts and API keys will replace its inside. */
import { DirectError } from '../shared/errors.ts';
import type { Settings } from './settings.ts';

export type Caller = 'owner' | 'agent' | 'anonymous';

const encoder = new TextEncoder();

/** Compares in constant time. Hashing first makes the lengths equal, which `timingSafeEqual` demands. */
async function sameSecret(presented: string, secret: string): Promise<boolean> {
  const [left, right] = await Promise.all([
    crypto.subtle.digest('SHA-256', encoder.encode(presented)),
    crypto.subtle.digest('SHA-256', encoder.encode(secret)),
  ]);
  return crypto.subtle.timingSafeEqual(left, right);
}

// RFC 6750, section 2.1; the scheme's name is case-insensitive (RFC 9110, section 11.1).
const BEARER = /^Bearer +([\x21-\x7e]{1,512})$/i;

/**
 * The caller behind an `Authorization` field.
 * @throws DirectError `E_UNAUTHORIZED` if one is presented that names nobody.
 */
export async function authenticate(authorization: string | null | undefined, settings: Settings): Promise<Caller> {
  if (authorization === null || authorization === undefined) return 'anonymous';
  const token = BEARER.exec(authorization.trim())?.[1];
  if (token === undefined) throw new DirectError('E_UNAUTHORIZED', 'the Authorization field is not “Bearer <token>”');
  // Both, whatever the first one says, so that the time does not tell which of them was nearly right.
  const [owner, agent] = await Promise.all([
    sameSecret(token, settings.ownerToken),
    sameSecret(token, settings.agentToken),
  ]);
  if (owner) return 'owner';
  if (agent) return 'agent';
  throw new DirectError('E_UNAUTHORIZED');
}
