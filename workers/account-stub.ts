/** Where the Worker finds the account. */
import { ACCOUNT } from './account-object.ts';
import type { EdgeContext } from './caller.ts';

export function accountOf(c: EdgeContext) {
  return c.env.ACCOUNTS.getByName(ACCOUNT);
}
