/**
 * The edge's own pages in one document: dashboard, approval of an agent, invitation, the way to a web UI; which one, the
 * address says.
 */
import type { Me } from '../../shared/account-api.ts';
import { EdgeApi } from '../access/edge-api.ts';
import { Pins } from '../access/pins.ts';
import { element, h } from '../look/element.ts';
import { accountMenu } from './account-menu.ts';
import { approve } from './approve.ts';
import { dashboard } from './dashboard.ts';
import { enterWebUi } from './enter-web-ui.ts';
import { failed } from './failed.ts';
import { takeFragment } from './fragment-memory.ts';
import { invite } from './invite.ts';
import { signIn } from './sign-in-view.ts';
import type { Visit } from './visit.ts';

const view = element('view', HTMLElement);
const visit: Visit = {
  api: new EdgeApi((url, init) => fetch(url, init)),
  pins: new Pins(() => localStorage),
  origin: location.origin,
  now: () => Date.now(),
  show,
  signedOut: () => void start(),
  begin: () => start(),
};
const page = location.pathname.replace(/\/+$/, '').split('/').at(-1);

/** Puts `content` in place of what was there. */
function show(title: string, ...content: Node[]): void {
  document.title = title === '' ? 'direct-agent' : `${title} · direct-agent`;
  view.removeAttribute('aria-busy');
  view.replaceChildren(...content);
}

async function start(): Promise<void> {
  const sections = element('sections', HTMLElement);
  sections.hidden = true;
  let me: Me;
  try {
    me = await visit.api.me();
  } catch (error) {
    return show(
      '',
      failed(error, () => void start()),
    );
  }
  element('account', HTMLElement).replaceChildren(...(me.kind === 'anonymous' ? [] : [accountMenu(visit, me)]));
  // An invitation is for people who are not signed in.
  if (page === 'invite') return invite(visit, me);
  if (page === 'enter' && me.kind !== 'anonymous') return enterWebUi(visit, new URLSearchParams(location.search));
  if (me.kind !== 'owner') return signIn(visit, me, page === 'approve' || page === 'enter' ? page : 'dashboard');
  if (page === 'approve') return approve(visit);
  dashboard(visit, me, sections);
}

if (page === 'approve' || page === 'invite') {
  // Before anybody signs in: the address is on the screen meanwhile.
  takeFragment();
  // Another link, opened in the same tab; the dashboard's own sections are not.
  addEventListener('hashchange', () => location.hash !== '' && void start());
}
show('', h('p', { class: 'single quiet-text', role: 'status' }, 'One moment…'));
void start();
