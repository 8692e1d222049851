import type { Me } from '../../shared/account-api.ts';
import { h } from '../look/element.ts';
import { menu, menuButton, menuLink } from '../look/menu.ts';
import type { Visit } from './visit.ts';

/** Top right: the way to the chat, and out. */
export function accountMenu(visit: Visit, me: Me): HTMLElement {
  const who = h('p', { class: 'menu-note' }, me.kind === 'owner' ? 'Signed in as the owner' : 'Signed in as a guest');
  const items = [menuLink('Chat', '/'), menuButton('Sign out', () => void signOut(visit, me))];
  return menu('Account', [who, ...items]);
}

async function signOut(visit: Visit, me: Me): Promise<void> {
  if (me.session !== undefined) await visit.api.signOut().catch(() => {});
  // Its session would let the browser in again at once.
  if (me.access) location.assign('/cdn-cgi/access/logout');
  else await visit.begin();
}
