/** What the owner sees at `/_direct/`: one section at a time, chosen by the fragment. */
import type { Me } from '../../shared/account-api.ts';
import { h } from '../look/element.ts';
import { auditSection } from './audit.ts';
import { hostsSection } from './hosts.ts';
import { invitationsSection } from './invitations.ts';
import { keysSection } from './keys.ts';
import type { Panel } from './panel.ts';
import { passkeyHint, passkeysPanel } from './passkeys.ts';
import { sessionsPanel } from './sessions.ts';
import { type Note, turnNote } from './turn-note.ts';
import type { Visit } from './visit.ts';

/** Presence changes by itself; everything else only when somebody does something here. */
const REFRESH_MS = 30_000;

interface Section {
  id: string;
  name: string;
  make(visit: Visit, me: Me): { panels: Panel<unknown>[]; before?: HTMLElement[]; after?: Note[] };
}

const SECTIONS: readonly Section[] = [
  {
    id: 'hosts',
    name: 'Hosts',
    make: (visit, me) => ({
      panels: [hostsSection(visit)],
      before: passkeyHint(visit, me),
      after: [turnNote(visit)],
    }),
  },
  { id: 'keys', name: 'API keys', make: (visit) => ({ panels: [keysSection(visit)] }) },
  { id: 'invitations', name: 'Invitations', make: (visit) => ({ panels: [invitationsSection(visit)] }) },
  { id: 'sign-in', name: 'Sign-in', make: (visit) => ({ panels: [passkeysPanel(visit), sessionsPanel(visit)] }) },
  { id: 'activity', name: 'Activity', make: (visit) => ({ panels: [auditSection(visit)] }) },
];

let stopLast: (() => void) | undefined;

export function dashboard(visit: Visit, me: Me, nav: HTMLElement): void {
  stopLast?.();
  const ended = new AbortController();
  const { signal } = ended;
  stopLast = () => ended.abort();
  const links = SECTIONS.map(({ id, name }) => h('a', { href: `#${id}`, 'data-testid': `section-${id}` }, name));
  nav.replaceChildren(...links);
  nav.hidden = false;
  let shown: Panel<unknown>[] = [];

  const open = () => {
    const wanted = location.hash.slice(1);
    const section = SECTIONS.find(({ id }) => id === wanted) ?? (SECTIONS[0] as Section);
    for (const [index, link] of links.entries()) {
      const current = SECTIONS[index] === section;
      if (current) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
      if (current) link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
    const { panels, before = [], after = [] } = section.make(visit, me);
    shown = panels;
    const parts = [...panels, ...after];
    visit.show(section.name, h('div', { class: 'column' }, ...before, ...parts.map(({ element }) => element)));
    for (const part of parts) void part.refresh();
  };
  const refresh = () => {
    if (document.visibilityState !== 'visible') return;
    for (const panel of shown) if (panel.changesByItself) void panel.refresh();
  };
  const timer = setInterval(refresh, REFRESH_MS);
  signal.addEventListener('abort', () => clearInterval(timer));
  addEventListener('hashchange', open, { signal });
  document.addEventListener('visibilitychange', refresh, { signal });
  visit.signedOut = () => {
    ended.abort();
    void visit.begin();
  };
  open();
}
