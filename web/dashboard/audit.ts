/** Who did what, newest first. */
import type { AuditEvent } from '../../shared/account-api.ts';
import { errorText } from '../access/error-text.ts';
import { h } from '../look/element.ts';
import { clockTime } from '../look/format.ts';
import { nothing, Panel } from './panel.ts';
import type { Visit } from './visit.ts';

/** So many come at once; fewer are the last ones. */
const PAGE = 100;

export function auditSection(visit: Visit): Panel<unknown> {
  const panel: Panel<{ events: AuditEvent[] }> = new Panel(visit, {
    id: 'audit',
    title: 'Activity',
    about: 'Sign-ins, approvals, keys and revocations. Never what anybody wrote to a model.',
    load: () => visit.api.audit(),
    show: ({ events }) => (events.length === 0 ? [] : log(events)),
    empty: nothing('Nothing has happened yet'),
  });
  return panel as Panel<unknown>;

  function log(events: AuditEvent[]): HTMLElement[] {
    const list = h('ol', { class: 'rows log', 'data-testid': 'audit' }, ...events.map(row));
    const problem = h('p', { class: 'notice', role: 'alert', hidden: true });
    const more = h(
      'button',
      { class: 'button quiet', type: 'button', 'data-testid': 'audit-more', click: () => void next() },
      'More',
    );
    more.hidden = events.length < PAGE;
    let last = events.at(-1)?.id;
    return [list, problem, h('div', { class: 'actions start' }, more)];

    async function next(): Promise<void> {
      more.disabled = true;
      problem.hidden = true;
      try {
        const older = await visit.api.audit(last);
        last = older.events.at(-1)?.id ?? last;
        const rows = older.events.map(row);
        list.append(...rows);
        more.hidden = older.events.length < PAGE;
        // The button may be gone; the keyboard goes on with what came.
        rows[0]?.focus();
      } catch (error) {
        problem.textContent = errorText(error).message;
        problem.hidden = false;
      } finally {
        more.disabled = false;
      }
    }
  }

  function row({ at, actor, action, detail, address }: AuditEvent): HTMLElement {
    const now = visit.now();
    return h(
      'li',
      { class: 'row', tabindex: -1 },
      h(
        'div',
        { class: 'row-text' },
        h('span', {}, h('strong', {}, actionText(action, detail !== '')), detail !== '' && ` ${detail}`),
        h('span', { class: 'hint' }, [actorText(actor), ...(address === null ? [] : [address])].join(' · ')),
      ),
      h('time', { class: 'hint', datetime: new Date(at).toISOString() }, clockTime(at, now)),
    );
  }
}

const ACTIONS: Readonly<Record<string, string>> = {
  'device.remove': 'Device removed:',
  'host.approve': 'Host approved:',
  'host.deny': 'Host denied:',
  'host.login': 'Host logged in:',
  'host.logout': 'Host logged out:',
  'host.remove': 'Host removed:',
  'host.rename': 'Host renamed:',
  'invitation.accept': 'Invitation accepted:',
  'invitation.create': 'Invitation made:',
  'invitation.revoke': 'Invitation revoked:',
  'key.create': 'API key made:',
  'key.revoke': 'API key revoked:',
  lock: 'Guessing stopped:',
  'passkey.add': 'Passkey added:',
  'passkey.remove': 'Passkey removed:',
  'session.revoke': 'Browser signed out:',
  'sign-in': 'Signed in:',
  'sign-out': 'Signed out:',
  'turn.not-revoked': 'TURN credential not revoked, good until it ends:',
};

/** An edge may know more actions than this page: those show as they are. */
export function actionText(action: string, hasDetail: boolean): string {
  const text = ACTIONS[action] ?? `${action}:`;
  return hasDetail ? text : text.slice(0, -1);
}

/** `session:abc` → `a signed-in browser` */
export function actorText(actor: string): string {
  const [kind = '', id = ''] = actor.split(':', 2);
  const names: Record<string, string> = {
    owner: 'the owner',
    anonymous: 'somebody who is not signed in',
    session: 'the owner’s browser',
    invitation: 'a guest',
    key: 'an API key',
    edge: 'this edge',
  };
  return kind === 'host' ? `the host ${id}` : (names[kind] ?? actor);
}
