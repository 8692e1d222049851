/** Keys for programs: what each may do, and when it was last used. */
import type { ApiKey, Host } from '../../shared/account-api.ts';
import { confirmAction } from '../look/dialog.ts';
import { h } from '../look/element.ts';
import { timeElement } from '../look/format.ts';
import { createKey } from './key-form.ts';
import { nothing, Panel } from './panel.ts';
import type { Visit } from './visit.ts';

interface Data {
  keys: ApiKey[];
  hosts: Host[];
}

export function keysSection(visit: Visit): Panel<unknown> {
  const action = h(
    'button',
    { class: 'button small', type: 'button', 'data-testid': 'create-key', click: () => void create() },
    'New key',
  );
  const panel: Panel<Data> = new Panel(visit, {
    id: 'keys',
    title: 'API keys',
    about:
      'For programs that speak HTTP: the OpenAI SDKs, curl, editors. Requests go over the tunnel, which the edge could read.',
    action,
    load: async () => {
      const [{ keys }, { hosts }] = await Promise.all([visit.api.keys(), visit.api.hosts()]);
      return { keys, hosts };
    },
    show: ({ keys, hosts }) =>
      keys.length === 0 ? [] : [h('ul', { class: 'rows' }, ...keys.map((key) => row(key, hosts)))],
    empty: nothing('No keys yet', h('p', {}, 'Make one for each program, so that you can revoke them one by one.')),
  });
  return panel as Panel<unknown>;

  function row(key: ApiKey, hosts: Host[]): HTMLElement {
    const now = visit.now();
    const expired = key.expires_at !== null && key.expires_at <= now;
    return h(
      'li',
      { class: 'row', 'data-testid': 'key' },
      h(
        'div',
        { class: 'row-text' },
        h(
          'span',
          { class: 'row-title' },
          h('strong', {}, key.name),
          h('code', { class: 'quiet-text' }, `dak_…${key.hint.replace(/^.*…/, '')}`),
          expired && h('span', { class: 'badge bad' }, 'Expired'),
        ),
        scopes(key, hosts),
        h(
          'span',
          { class: 'hint' },
          'made ',
          timeElement(key.created_at, now),
          ...(key.last_used_at === null ? [', never used'] : [', used ', timeElement(key.last_used_at, now)]),
          ...(key.expires_at === null
            ? [', never expires']
            : [expired ? ', expired ' : ', expires ', timeElement(key.expires_at, now)]),
        ),
      ),
      h(
        'button',
        {
          class: 'button quiet danger small',
          type: 'button',
          'aria-label': `Revoke ${key.name}`,
          click: () => void revoke(key),
        },
        'Revoke',
      ),
    );
  }

  async function create(): Promise<void> {
    const { hosts } = await visit.api.hosts().catch(() => ({ hosts: [] }));
    if (await createKey(visit, hosts)) await panel.refresh();
  }

  async function revoke(key: ApiKey): Promise<void> {
    const revoked = await confirmAction(
      `Revoke “${key.name}”?`,
      'Programs that use it stop working at once, in the middle of an answer too.',
      'Revoke key',
      () => visit.api.revokeKey(key.id),
    );
    if (revoked) await panel.refresh();
  }
}

function scopes(key: ApiKey, hosts: Host[]): HTMLElement {
  const names = key.hosts?.map((id) => hosts.find((host) => host.id === id)?.name ?? id);
  const chips = [
    names === undefined ? 'all hosts' : names.join(', '),
    ...(key.prefixes === null ? [] : [key.prefixes.join(', ')]),
    key.models === null ? 'all models' : key.models.join(', '),
    ...(key.requests_per_minute === null ? [] : [`${key.requests_per_minute} requests/min`]),
  ];
  return h('span', { class: 'chips' }, ...chips.map((text) => h('span', { class: 'chip' }, text)));
}
