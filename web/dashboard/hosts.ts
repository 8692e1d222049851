/** The machines at home: who is there, what they serve, and whom they let in. */
import type { Host, ServedUpstream } from '../../shared/account-api.ts';
import { fingerprintElement } from '../access/fingerprint-element.ts';
import { chatUrl } from '../access/link.ts';
import { copyable } from '../look/copyable.ts';
import { confirmAction, openDialog } from '../look/dialog.ts';
import { h } from '../look/element.ts';
import { clockTime } from '../look/format.ts';
import { type Activity, activityOf } from './activity.ts';
import { devicesElement } from './devices.ts';
import { fact } from './facts.ts';
import { webUiElements } from './host-web-ui.ts';
import { nothing, Panel } from './panel.ts';
import type { Visit } from './visit.ts';

/** Some servers have hundreds; the rest is a click away. */
const SHOWN_MODELS = 6;
const ACCESS = {
  edge: 'whoever this edge lets in',
  paired: 'paired devices only',
};

export function hostsSection(visit: Visit): Panel<unknown> {
  /** By host: what a person has opened stays open when the list is loaded again. */
  const devices = new Map<string, HTMLElement>();
  const activities = new Map<string, Activity>();
  const panel: Panel<{ hosts: Host[] }> = new Panel(visit, {
    id: 'hosts',
    title: 'Hosts',
    about: 'Your machines that serve models.',
    changesByItself: true,
    load: async () => {
      const listed = await visit.api.hosts();
      // Each as soon as its agent has answered: the list does not wait for them.
      for (const host of listed.hosts) void activity(host).refresh(host);
      return listed;
    },
    show: ({ hosts }) => (hosts.length === 0 ? [] : [...hosts.map(card), addAnother()]),
    empty: nothing('No host yet', h('p', {}, 'Run this on the machine where your models are:'), loginCommand(visit)),
  });
  return panel as Panel<unknown>;

  function card(host: Host): HTMLElement {
    const pin = visit.pins.get(host.id);
    const titleId = `host-${host.id}`;
    const webUi = webUiElements(visit, host, () => panel.refresh());
    return h(
      'article',
      { class: 'card', 'aria-labelledby': titleId, 'data-testid': 'host' },
      h(
        'div',
        { class: 'card-head' },
        h('h2', { id: titleId }, host.name),
        host.name !== host.id && h('code', { class: 'quiet-text' }, host.id),
        presence(visit, host),
      ),
      differs(host, pin) &&
        h(
          'p',
          { class: 'notice', role: 'alert' },
          'This browser knows another key for this host than the edge shows. Compare the fingerprint with the terminal before you use it.',
        ),
      h(
        'dl',
        { class: 'facts' },
        ...fact('Serves', served(host.serves)),
        ...fact(
          'Lets in',
          h('span', {}, host.access === null ? 'not known until its agent connects' : ACCESS[host.access]),
        ),
        ...activity(host).facts,
        ...webUi.facts,
        ...fact('Fingerprint', identity(host, pin)),
      ),
      host.access === 'paired' && devicesOf(host),
      h(
        'div',
        { class: 'actions card-actions' },
        ...(host.host_key === null ? [] : [...changes(host), ...webUi.actions]),
        h(
          'a',
          {
            class: 'button small',
            href: chatUrl('', host.id, pin),
            'data-testid': 'open-chat',
            'data-focus': `chat-${host.id}`,
          },
          'Open chat',
        ),
      ),
    );
  }

  function activity({ id }: Host): Activity {
    const known = activities.get(id) ?? activityOf(visit);
    activities.set(id, known);
    return known;
  }

  /** Not for a host of AGENT_TOKEN, which nobody approved: the edge keeps nothing of it. */
  function changes(host: Host): HTMLElement[] {
    return [
      h('button', { class: 'button quiet danger small', type: 'button', click: () => void remove(host) }, 'Remove'),
      h(
        'button',
        {
          class: 'button quiet small',
          type: 'button',
          'data-focus': `rename-${host.id}`,
          click: () => void rename(host),
        },
        'Rename',
      ),
    ];
  }

  function devicesOf(host: Host): HTMLElement {
    const list = devices.get(host.id) ?? devicesElement(visit, host);
    devices.set(host.id, list);
    return list;
  }

  async function rename(host: Host): Promise<void> {
    const name = h('input', { class: 'field', value: host.name, required: true, maxlength: 64, autocomplete: 'off' });
    const renamed = await openDialog({
      title: 'Rename this host',
      content: [h('label', {}, 'Name', name)],
      submit: { label: 'Rename', run: () => visit.api.renameHost(host.id, name.value.trim()).then(() => {}) },
      cancel: 'Cancel',
    });
    if (renamed) await panel.refresh();
  }

  async function remove(host: Host): Promise<void> {
    const removed = await confirmAction(
      `Remove “${host.name}”?`,
      'Its agent loses its credential and stops serving at once. To use the machine again, log in on it again.',
      'Remove host',
      () => visit.api.removeHost(host.id),
    );
    if (removed) await panel.refresh();
  }

  function addAnother(): HTMLElement {
    return h(
      'details',
      { class: 'another' },
      h('summary', {}, 'Add another host'),
      h('p', { class: 'quiet-text' }, 'Run this on the machine, and approve it here:'),
      loginCommand(visit),
    );
  }
}

function differs(host: Host, pin: string | undefined): boolean {
  return pin !== undefined && host.host_key !== null && host.host_key !== pin;
}

function presence(visit: Visit, host: Host): HTMLElement {
  if (!host.online) return h('span', { class: 'badge', 'data-testid': 'presence' }, 'Offline');
  const since = host.since ?? undefined;
  const text = since === undefined ? 'Online' : `Online since ${clockTime(since, visit.now())}`;
  return h('span', { class: 'badge good', 'data-testid': 'presence' }, text);
}

function identity(host: Host, pin: string | undefined): HTMLElement {
  const key = host.host_key ?? pin;
  if (key === undefined) return h('span', {}, 'not known: its agent has a token of its own and never logged in');
  const known =
    pin === undefined
      ? h('span', { class: 'hint' }, 'Not pinned in this browser yet')
      : pin === key
        ? h('span', { class: 'hint good-text' }, '✓ The key that this browser knows')
        : h('span', { class: 'hint bad-text' }, '✗ Not the key that this browser knows');
  return h('span', { class: 'identity' }, fingerprintElement(key), known);
}

function served(serves: ServedUpstream[]): HTMLElement {
  if (serves.length === 0) return h('span', {}, 'nothing that the edge knows of');
  return h('ul', { class: 'plain' }, ...serves.map(({ name, models }) => h('li', {}, name, modelList(models))));
}

/** The first few; the others on demand. */
export function modelList(models: readonly string[]): HTMLElement {
  const chip = (model: string) => h('code', { class: 'chip' }, model);
  const rest = models.slice(SHOWN_MODELS);
  return h(
    'span',
    { class: 'chips' },
    ...models.slice(0, SHOWN_MODELS).map(chip),
    models.length === 0 && h('span', { class: 'hint' }, 'no models yet'),
    rest.length > 0 &&
      h(
        'details',
        {},
        h('summary', { class: 'chip' }, `${rest.length} more`),
        h('span', { class: 'chips' }, ...rest.map(chip)),
      ),
  );
}

function loginCommand(visit: Visit): HTMLElement {
  return copyable(`npx direct-agent login ${visit.origin}`, 'the command');
}
