/** Where Cloudflare Access (cloudflare-access.ts) has a say: with requests of the owner and of guests. */
import { DirectError } from '../shared/errors.ts';
import { count, type EdgeContext } from './caller.ts';
import { type AccessSettings, isOwner, verifyAccess } from './cloudflare-access.ts';

/**
 * For whoever is, or wants to become, owner or guest. Nobody else is asked: API keys and agents belong to programs,
 * which Access would have to let through by other means.
 * @throws DirectError `E_UNAUTHORIZED` without a valid token where one is required; `E_RATE_LIMITED` after too many.
 */
export async function checkAccess(c: EdgeContext): Promise<void> {
  const { access } = c.get('settings');
  if (access?.mode !== 'required' || (await verify(c, access)) !== undefined) return;
  await count(c);
  throw new DirectError('E_UNAUTHORIZED', 'Cloudflare Access has not let this request through');
}

/** Whether Access says that this is the owner, and nothing else is needed. */
export async function isOwnerByAccess(c: EdgeContext): Promise<boolean> {
  const { access } = c.get('settings');
  if (access?.mode !== 'instead') return false;
  const person = await verify(c, access);
  return person !== undefined && isOwner(access, person.email);
}

function verify(c: EdgeContext, access: AccessSettings): Promise<{ email: string } | undefined> {
  return verifyAccess(c.req.raw, access, c.env.ACCESS_CERTS?.fetch ?? fetch);
}
