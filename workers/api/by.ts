/** Who asks, for the audit log. */
import type { By } from '../account/audit.ts';
import { addressOf, type EdgeContext, grantOf } from '../caller.ts';

/** Behind a guard of guards.ts. */
export function byOf(c: EdgeContext): By {
  const caller = c.get('caller');
  const actor = caller.kind === 'agent' ? `host:${caller.host}` : grantOf(caller).subject;
  return { actor, address: addressOf(c) };
}
