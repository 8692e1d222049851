/** The owner's passkeys, and the hint for an owner who has none. */
import type { Me, Passkey } from '../../shared/account-api.ts';
import { systemName } from '../access/device-name.ts';
import { addPasskey, passkeysWork } from '../access/passkeys.ts';
import { confirmAction, openDialog } from '../look/dialog.ts';
import { h } from '../look/element.ts';
import { timeElement } from '../look/format.ts';
import { nothing, Panel } from './panel.ts';
import type { Visit } from './visit.ts';

const DISMISSED_KEY = 'direct-agent.no-passkey-hint';

export function passkeysPanel(visit: Visit): Panel<unknown> {
  const action = h(
    'button',
    {
      class: 'button small',
      type: 'button',
      'data-testid': 'add-passkey',
      disabled: !passkeysWork(),
      click: () => void add(),
    },
    'Add a passkey',
  );
  const panel: Panel<{ passkeys: Passkey[] }> = new Panel(visit, {
    id: 'passkeys',
    title: 'Passkeys',
    about: 'Sign in with a fingerprint, a face or a security key in place of the owner token.',
    action,
    load: visit.api.passkeys,
    show: ({ passkeys }) => (passkeys.length === 0 ? [] : [h('ul', { class: 'rows' }, ...passkeys.map(row))]),
    empty: nothing('No passkey yet', h('p', {}, 'Add one for each of your devices. The owner token keeps working.')),
  });
  return panel as Panel<unknown>;

  function row(passkey: Passkey): HTMLElement {
    const now = visit.now();
    const { created_at, last_used_at } = passkey;
    return h(
      'li',
      { class: 'row', 'data-testid': 'passkey' },
      h(
        'div',
        { class: 'row-text' },
        h('strong', {}, passkey.name),
        h(
          'span',
          { class: 'hint' },
          'added ',
          timeElement(created_at, now),
          ...(last_used_at === null ? [', never used'] : [', used ', timeElement(last_used_at, now)]),
        ),
      ),
      h(
        'button',
        {
          class: 'button quiet danger small',
          type: 'button',
          'aria-label': `Remove ${passkey.name}`,
          click: () => void remove(passkey),
        },
        'Remove',
      ),
    );
  }

  async function add(): Promise<void> {
    if (await askForPasskey(visit)) await panel.refresh();
  }

  async function remove(passkey: Passkey): Promise<void> {
    const removed = await confirmAction(
      `Remove “${passkey.name}”?`,
      'It no longer opens this edge. Browsers that are signed in stay so.',
      'Remove passkey',
      () => visit.api.removePasskey(passkey.id),
    );
    if (removed) await panel.refresh();
  }
}

/** Nothing where a hint is of no use, or not wanted. */
export function passkeyHint(visit: Visit, me: Me): HTMLElement[] {
  if (me.passkeys || me.access || !passkeysWork() || isDismissed()) return [];
  const hint = h(
    'aside',
    { class: 'tip', 'data-testid': 'passkey-hint' },
    h(
      'p',
      {},
      h('strong', {}, 'Next time, sign in with a passkey.'),
      ' A fingerprint or a face is quicker than the token, and nobody can steal it with a fake page.',
    ),
    h(
      'div',
      { class: 'actions' },
      h('button', { class: 'button quiet small', type: 'button', click: dismiss }, 'Not now'),
      h('button', { class: 'button small', type: 'button', click: () => void add() }, 'Add a passkey'),
    ),
  );
  return [hint];

  async function add(): Promise<void> {
    if (!(await askForPasskey(visit))) return;
    me.passkeys = true;
    hint.remove();
  }

  function dismiss(): void {
    hint.remove();
    try {
      localStorage.setItem(DISMISSED_KEY, '1');
    } catch {
      // It comes again.
    }
  }
}

function isDismissed(): boolean {
  try {
    return localStorage.getItem(DISMISSED_KEY) !== null;
  } catch {
    return false;
  }
}

async function askForPasskey(visit: Visit): Promise<boolean> {
  const name = h('input', {
    class: 'field',
    required: true,
    maxlength: 64,
    autocomplete: 'off',
    value: systemName(navigator.userAgent),
    'data-testid': 'passkey-name',
  });
  return openDialog({
    title: 'Add a passkey',
    content: [
      h(
        'label',
        {},
        'Name',
        name,
        h('span', { class: 'hint' }, 'To tell it from others. Your browser asks for the rest.'),
      ),
    ],
    submit: { label: 'Continue', run: () => addPasskey(visit.api, name.value.trim()).then(() => {}) },
    cancel: 'Cancel',
  });
}
