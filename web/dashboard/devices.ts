/** Devices that a host has paired with, as its agent reported them. */
import type { Device, Host } from '../../shared/account-api.ts';
import { errorLine } from '../access/error-text.ts';
import { confirmAction } from '../look/dialog.ts';
import { h } from '../look/element.ts';
import { timeElement } from '../look/format.ts';
import type { Visit } from './visit.ts';

/** Loads when it is opened. */
export function devicesElement(visit: Visit, host: Host): HTMLDetailsElement {
  const list = h('div', { class: 'device-list' }, h('p', { class: 'quiet-text' }, 'Loading…'));
  const details = h(
    'details',
    { class: 'devices', 'data-testid': 'devices' },
    h('summary', { 'data-focus': `devices-${host.id}` }, 'Paired devices'),
    list,
  );
  details.addEventListener('toggle', () => {
    if (details.open) void load();
  });
  return details;

  async function load(): Promise<void> {
    try {
      const { devices } = await visit.api.devices(host.id);
      list.replaceChildren(...(devices.length === 0 ? [none()] : [h('ul', { class: 'rows' }, ...devices.map(row))]));
    } catch (error) {
      list.replaceChildren(h('p', { class: 'notice', role: 'alert' }, errorLine(error)));
    }
  }

  function row(device: Device): HTMLElement {
    const now = visit.now();
    return h(
      'li',
      { class: 'row', 'data-testid': 'device' },
      h(
        'div',
        { class: 'row-text' },
        h('strong', {}, device.name),
        h(
          'span',
          { class: 'hint' },
          'paired ',
          timeElement(device.paired_at, now),
          ...(device.last_used_at === null
            ? [', never used since']
            : [', used ', timeElement(device.last_used_at, now)]),
        ),
      ),
      h(
        'button',
        {
          class: 'button quiet danger small',
          type: 'button',
          'aria-label': `Remove ${device.name}`,
          click: () => void remove(device),
        },
        'Remove',
      ),
    );
  }

  async function remove(device: Device): Promise<void> {
    const removed = await confirmAction(
      `Remove “${device.name}”?`,
      `It can no longer connect to “${host.name}”, until you pair it again on the home machine.`,
      'Remove device',
      () => visit.api.removeDevice(host.id, device.id),
    );
    if (removed) await load();
  }

  function none(): HTMLElement {
    return h(
      'p',
      { class: 'quiet-text' },
      'None yet. On the home machine run ',
      h('code', {}, 'direct-agent pair'),
      ' and open its link on the device.',
    );
  }
}
