/** Top right in the chat: whom this browser talks to, the dashboard, and the way out. */
import type { Me } from '../../shared/account-api.ts';
import type { EdgeApi } from '../access/edge-api.ts';
import { fingerprintElement } from '../access/fingerprint-element.ts';
import { h } from '../look/element.ts';
import { menu, menuButton, menuLink } from '../look/menu.ts';

export interface PageMenuOptions {
  api: EdgeApi;
  me: Me;
  /** The key that the host has proved, or that this browser expects of it. */
  hostKey(): string | undefined;
  signedOut(): void;
}

export function pageMenu({ api, me, hostKey, signedOut }: PageMenuOptions): HTMLElement {
  const identity = h('div', { class: 'menu-note' });
  const items = [
    identity,
    ...(me.kind === 'owner' ? [menuLink('Dashboard', '/_direct/')] : []),
    menuButton('Sign out', () => void signOut()),
  ];
  const details = menu('Menu', items);
  // The key may be learned while the menu is closed.
  details.addEventListener('toggle', () => {
    const key = details.open ? hostKey() : undefined;
    identity.hidden = key === undefined;
    if (key !== undefined) identity.replaceChildren(h('div', {}, 'The host’s fingerprint'), fingerprintElement(key));
  });
  return details;

  async function signOut(): Promise<void> {
    if (me.session !== undefined) await api.signOut().catch(() => {});
    // Its session would let the browser in again at once.
    if (me.access) location.assign('/cdn-cgi/access/logout');
    else signedOut();
  }
}
