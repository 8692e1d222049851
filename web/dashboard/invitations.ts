/** Links for other people. */
import type { Host, Invitation } from '../../shared/account-api.ts';
import { invitationUrl } from '../access/link.ts';
import { copyable } from '../look/copyable.ts';
import { confirmAction, openDialog } from '../look/dialog.ts';
import { h } from '../look/element.ts';
import { timeElement } from '../look/format.ts';
import { qrCode } from '../look/qr-code.ts';
import { choicesField, expiryField } from './choices.ts';
import { nothing, Panel } from './panel.ts';
import type { Visit } from './visit.ts';

interface Data {
  invitations: Invitation[];
  hosts: Host[];
}

export function invitationsSection(visit: Visit): Panel<unknown> {
  const action = h(
    'button',
    { class: 'button small', type: 'button', 'data-testid': 'create-invitation', click: () => void create() },
    'Invite',
  );
  const panel: Panel<Data> = new Panel(visit, {
    id: 'invitations',
    title: 'Invitations',
    about: 'A link lets somebody else chat with the hosts that you choose. Whoever has the link can use it.',
    action,
    load: async () => {
      const [{ invitations }, { hosts }] = await Promise.all([visit.api.invitations(), visit.api.hosts()]);
      return { invitations, hosts };
    },
    show: ({ invitations, hosts }) =>
      invitations.length === 0 ? [] : [h('ul', { class: 'rows' }, ...invitations.map((one) => row(one, hosts)))],
    empty: nothing(
      'Nobody is invited',
      h('p', {}, 'You can revoke an invitation at any time, and everybody who came by it is out.'),
    ),
  });
  return panel as Panel<unknown>;

  function row(invitation: Invitation, hosts: Host[]): HTMLElement {
    const now = visit.now();
    const { expires_at, last_used_at, uses } = invitation;
    const expired = expires_at !== null && expires_at <= now;
    const names = invitation.hosts.map((id) => hosts.find((host) => host.id === id)?.name ?? id);
    return h(
      'li',
      { class: 'row', 'data-testid': 'invitation' },
      h(
        'div',
        { class: 'row-text' },
        h(
          'span',
          { class: 'row-title' },
          h('strong', {}, invitation.name),
          expired && h('span', { class: 'badge bad' }, 'Expired'),
        ),
        h('span', { class: 'chips' }, ...names.map((name) => h('span', { class: 'chip' }, name))),
        h(
          'span',
          { class: 'hint' },
          uses === 0 ? 'not accepted yet' : `accepted ${uses === 1 ? 'once' : `${uses} times`}`,
          ...(last_used_at === null ? [] : [', last ', timeElement(last_used_at, now)]),
          ...(expires_at === null
            ? [', never expires']
            : [expired ? ', expired ' : ', expires ', timeElement(expires_at, now)]),
        ),
      ),
      h(
        'button',
        {
          class: 'button quiet danger small',
          type: 'button',
          'aria-label': `Revoke the invitation of ${invitation.name}`,
          click: () => void revoke(invitation),
        },
        'Revoke',
      ),
    );
  }

  async function create(): Promise<void> {
    const { hosts } = await visit.api.hosts().catch(() => ({ hosts: [] }));
    const name = h('input', {
      class: 'field',
      required: true,
      maxlength: 64,
      autocomplete: 'off',
      placeholder: 'Grandma',
      'data-testid': 'invitation-name',
    });
    const chosen = choicesField(
      'Hosts',
      hosts.map(({ id, name }) => ({ value: id, text: name })),
    );
    const only = hosts.length === 1 ? chosen.element.querySelector('input') : null;
    if (only !== null) only.checked = true;
    const expiry = expiryField(visit.now, 7);
    let made: (Invitation & { secret: string }) | undefined;
    await openDialog({
      title: 'Invite somebody',
      testid: 'invitation-form',
      content: [
        h('label', {}, 'Who is it for?', name, h('span', { class: 'hint' }, 'For your own list; they see it nowhere.')),
        hosts.length === 0
          ? h('p', { class: 'warning' }, 'There is no host to invite anybody to yet.')
          : chosen.element,
        expiry.element,
      ],
      submit: {
        label: 'Make link',
        run: async () => {
          const ids = chosen.value() ?? [];
          if (ids.length === 0) throw new Error('Choose at least one host.');
          made = await visit.api.createInvitation({ name: name.value.trim(), hosts: ids, expires_at: expiry.value() });
        },
      },
      cancel: 'Cancel',
    });
    if (made === undefined) return;
    await showLink(made, hosts);
    await panel.refresh();
  }

  async function showLink(made: Invitation & { secret: string }, hosts: Host[]): Promise<void> {
    // What this browser pinned came from outside the edge; the edge's own word is second best.
    const keys = made.hosts.map((id) => [
      id,
      visit.pins.get(id) ?? hosts.find((host) => host.id === id)?.host_key ?? '',
    ]);
    const url = invitationUrl(
      visit.origin,
      made.secret,
      new Map(keys.filter(([, key]) => key !== '') as [string, string][]),
    );
    await openDialog({
      title: `The link for ${made.name}`,
      testid: 'invitation-made',
      content: [
        h('p', { class: 'warning' }, 'It is shown this once. Send it in a way that only they can read.'),
        qrCode(url, 'The link as a QR code'),
        copyable(url, 'the link', 'invitation-link'),
      ],
      submit: { label: 'Done' },
    });
  }

  async function revoke(invitation: Invitation): Promise<void> {
    const revoked = await confirmAction(
      `Revoke the invitation of ${invitation.name}?`,
      'The link stops working, and everybody who came by it is signed out at once.',
      'Revoke invitation',
      () => visit.api.revokeInvitation(invitation.id),
    );
    if (revoked) await panel.refresh();
  }
}
