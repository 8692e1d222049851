/** Browsers that are signed in. */
import type { ListedWebSession } from '../../shared/account-api.ts';
import { confirmAction } from '../look/dialog.ts';
import { h } from '../look/element.ts';
import { timeElement } from '../look/format.ts';
import { nothing, Panel } from './panel.ts';
import type { Visit } from './visit.ts';

export function sessionsPanel(visit: Visit): Panel<unknown> {
  const panel: Panel<{ sessions: ListedWebSession[] }> = new Panel(visit, {
    id: 'sessions',
    title: 'Signed-in browsers',
    about: 'Yours and those of people you invited. Each ends by itself after seven days without use.',
    load: visit.api.sessions,
    show: ({ sessions }) => (sessions.length === 0 ? [] : [h('ul', { class: 'rows' }, ...sessions.map(row))]),
    empty: nothing('No browser is signed in'),
  });
  return panel as Panel<unknown>;

  function row(session: ListedWebSession): HTMLElement {
    const now = visit.now();
    return h(
      'li',
      { class: 'row', 'data-testid': 'session' },
      h(
        'div',
        { class: 'row-text' },
        h(
          'span',
          { class: 'row-title' },
          h('strong', {}, session.name),
          session.current && h('span', { class: 'badge good' }, 'This one'),
          session.kind === 'guest' && h('span', { class: 'badge' }, 'Guest'),
        ),
        h(
          'span',
          { class: 'hint' },
          'signed in ',
          timeElement(session.created_at, now),
          ', seen ',
          timeElement(session.last_seen_at, now),
          ', ends ',
          timeElement(session.expires_at, now),
        ),
      ),
      h(
        'button',
        {
          class: 'button quiet danger small',
          type: 'button',
          'aria-label': `Sign out ${session.name}`,
          click: () => void end(session),
        },
        'Sign out',
      ),
    );
  }

  async function end(session: ListedWebSession): Promise<void> {
    const ended = await confirmAction(
      session.current ? 'Sign out here?' : `Sign out “${session.name}”?`,
      session.current ? 'You will need a passkey or the owner token to come back.' : 'What it is doing ends at once.',
      'Sign out',
      () => (session.current ? visit.api.signOut() : visit.api.endSession(session.id)),
    );
    if (ended && session.current) visit.signedOut();
    else if (ended) await panel.refresh();
  }
}
