/** A host's own web UI at the edge's address: switched on and off by the owner, who is told what that means. */
import type { Host } from '../../shared/account-api.ts';
import { confirmAction } from '../look/dialog.ts';
import { h } from '../look/element.ts';
import { fact } from './facts.ts';
import type { Visit } from './visit.ts';

export interface WebUiElements {
  /** For the list of what is known of the host. */
  facts: HTMLElement[];
  actions: HTMLElement[];
}

/** Nothing where there is no web UI. `changed`: the owner has switched it. */
export function webUiElements(visit: Visit, host: Host, changed: () => Promise<void>): WebUiElements {
  if (!host.web_ui && !host.serves_web_ui) return { facts: [], actions: [] };
  const state = host.web_ui
    ? [
        host.serves_web_ui ? 'switched on' : 'switched on, but the host has none now',
        'Its scripts run at this address and can do here what you can.',
      ]
    : ['switched off', 'The host has one. Nobody reaches it at this address.'];
  const [text = '', hint = ''] = state;
  return {
    facts: fact('Web UI', h('div', { 'data-testid': 'web-ui' }, text, h('div', { class: 'hint' }, hint))),
    actions: [
      button(host.web_ui ? 'Switch off web UI' : 'Switch on web UI', 'web-ui-switch', () => change(!host.web_ui)),
      ...(host.web_ui ? [button('Open web UI', 'web-ui-open', open)] : []),
    ],
  };

  function button(label: string, testid: string, act: () => Promise<void>): HTMLElement {
    return h(
      'button',
      {
        class: 'button quiet small',
        type: 'button',
        'data-testid': testid,
        'data-focus': `${testid}-${host.id}`,
        click: () => void act(),
      },
      label,
    );
  }

  async function change(on: boolean): Promise<void> {
    const [title, warning, label] = on
      ? [
          `Switch on the web UI of “${host.name}”?`,
          'Its scripts run at this address and can do here what you can: use all your hosts, make keys, change this dashboard. Do this only if you trust that machine, and everything that its web UI shows, as you trust this edge. A host name of its own for the web UI avoids that: see WEB_UI_HOSTNAMES in the documentation.',
          'Switch on',
        ]
      : [
          `Switch off the web UI of “${host.name}”?`,
          'Nobody reaches it at this address any more. Close the tabs that show it: their scripts run until then.',
          'Switch off',
        ];
    const done = await confirmAction(title, warning, label, async () => {
      await visit.api.switchWebUi(host.id, on);
    });
    if (done) await changed();
  }

  async function open(): Promise<void> {
    try {
      await visit.api.chooseWebUi(host.id);
      location.assign('/');
    } catch {
      // Switched off meanwhile, or nobody is signed in any more: what is shown is old.
      await changed();
    }
  }
}
