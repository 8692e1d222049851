/** Questions and words about a host's identity, and this device's. */
import { type ErrorCode, isErrorCode } from '../../shared/errors.ts';
import { warnOfChangedKey } from '../access/changed-key.ts';
import { fingerprintElement } from '../access/fingerprint-element.ts';
import type { Pins } from '../access/pins.ts';
import { openDialog } from '../look/dialog.ts';
import { h } from '../look/element.ts';

/** The one time that a browser meets a host without a link, as SSH does: the person compares. */
export function confirmHostKey(name: string, hostKey: string, signal: AbortSignal): Promise<boolean> {
  return openDialog({
    title: `Is this “${name}”?`,
    testid: 'confirm-host-key',
    content: [
      h(
        'p',
        {},
        'This browser meets the host for the first time. On the home machine run ',
        h('code', {}, 'direct-agent status'),
        ' and compare:',
      ),
      h('div', { class: 'identity-panel' }, fingerprintElement(hostKey, { large: true })),
      h(
        'p',
        { class: 'hint' },
        'If it differs, somebody else may be answering. With the link that the agent prints nobody has to compare.',
      ),
    ],
    submit: { label: 'It is the same' },
    cancel: 'It differs',
    signal,
  });
}

/** The key of a link becomes the pin, unless there is another one and the person stays with that. */
export async function pinLinkKey(pins: Pins, host: string, name: string, key: string): Promise<void> {
  const pinned = pins.get(host);
  if (pinned !== undefined && pinned !== key) {
    if (!(await warnOfChangedKey({ host: name, pinned, other: key, source: 'link' }))) return;
  }
  pins.set(host, key);
}

/** The host is not who it should be, and every request fails. */
export function isKeyCode(code: string): boolean {
  return code.startsWith('E_HOST_KEY');
}

export interface Advice {
  text: string;
  /** What a button would do about it. */
  again?: string;
}

const ADVICE: Partial<Record<ErrorCode, Advice>> = {
  E_HOST_KEY: {
    text: 'What answered could not prove that it is the host, so nothing was sent to it. Check this device’s clock; if it is right, do not trust this edge.',
    again: 'Try again',
  },
  E_HOST_KEY_UNCONFIRMED: {
    text: 'You did not confirm the host’s key, so nothing was sent to it.',
    again: 'Compare again',
  },
  E_DEVICE_UNKNOWN: {
    text: 'This host talks to paired devices only. Run “direct-agent pair” on the home machine, and open its link in this browser.',
    again: 'Try again',
  },
  E_PAIRING: {
    text: 'The pairing link is wrong, used or older than ten minutes. Run “direct-agent pair” on the home machine again, and open the new link.',
    again: 'Try without it',
  },
  E_FORBIDDEN: { text: 'You have no access to this host. Ask its owner for a new invitation.' },
};

/** What stands between this browser and the host until a person does something; undefined for what passes. */
export function advice(code: string | undefined): Advice | undefined {
  return isErrorCode(code) ? ADVICE[code] : undefined;
}
