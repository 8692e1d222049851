/** The warning before a host that has another key than this browser knows. Nothing else works meanwhile. */
import { h } from '../look/element.ts';
import { fingerprintElement } from './fingerprint-element.ts';

export interface ChangedKey {
  /** As people call it. */
  host: string;
  /** What this browser knows. */
  pinned: string;
  /** What it was told now; undefined where that was not the host's own word. */
  other: string | undefined;
  /** A link comes from outside the edge, so a person may prefer it. What the edge brings alone proves nothing. */
  source: 'link' | 'edge';
}

/** Resolves with true when the person decided for the new key, with false for the known one; of an edge, never. */
export function warnOfChangedKey({ host, pinned, other, source }: ChangedKey): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const decide = (useNew: boolean) => () => {
    dialog.remove();
    resolve(useNew);
  };
  const dialog = h(
    'dialog',
    { class: 'full-page', 'aria-labelledby': 'changed-key-title', 'data-testid': 'key-changed' },
    h(
      'div',
      { class: 'single' },
      h(
        'div',
        { class: 'card-panel stop stack' },
        h('h1', { id: 'changed-key-title' }, `Stop: “${host}” shows another key`),
        h(
          'p',
          {},
          source === 'link'
            ? 'The link that you opened carries another key for this host than this browser knows.'
            : 'What answered for this host has another key than this browser knows. Nothing was sent to it.',
          ' Either the host was set up anew, or somebody else answers in its place and would read what you write.',
        ),
        h('p', { class: 'label' }, 'Known to this browser'),
        fingerprintElement(pinned, { testid: 'known-fingerprint' }),
        ...(other === undefined
          ? []
          : [h('p', { class: 'label' }, 'Now'), fingerprintElement(other, { testid: 'new-fingerprint' })]),
        ...(source === 'link' && other !== undefined ? choice(decide) : wayOut()),
      ),
    ),
  );
  // Escape leads nowhere: there is something to decide.
  dialog.addEventListener('cancel', (event) => event.preventDefault());
  dialog.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') event.preventDefault();
  });
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}

function choice(decide: (useNew: boolean) => () => void): HTMLElement[] {
  const compared = h('input', { type: 'checkbox', 'data-testid': 'key-compared' });
  const use = h(
    'button',
    { class: 'button danger', type: 'button', disabled: true, 'data-testid': 'use-new-key', click: decide(true) },
    'Use the new key',
  );
  compared.addEventListener('change', () => {
    use.disabled = !compared.checked;
  });
  const keep = h(
    'button',
    { class: 'button', type: 'button', 'data-testid': 'keep-key', click: decide(false) },
    'Keep the known key',
  );
  return [
    h('div', { class: 'actions' }, keep),
    h(
      'details',
      { class: 'second-step' },
      h('summary', { 'data-testid': 'set-up-anew' }, 'I have set up this host anew'),
      h(
        'div',
        { class: 'stack' },
        h(
          'p',
          {},
          'On the home machine run ',
          h('code', {}, 'direct-agent status'),
          ' and compare what it prints with the fingerprint under “Now”. If a single character differs, keep the known key.',
        ),
        h('label', { class: 'check' }, compared, ' I compared them, and they are the same'),
        h('div', { class: 'actions' }, use),
      ),
    ),
  ];
}

function wayOut(): HTMLElement[] {
  return [
    h(
      'p',
      {},
      'If you set the host up anew, run ',
      h('code', {}, 'direct-agent status'),
      ' on it and open the link that it prints in this browser. If nobody did, do not use this edge before you know why.',
    ),
    h(
      'div',
      { class: 'actions' },
      h('button', { class: 'button quiet', type: 'button', click: () => location.reload() }, 'Try again'),
    ),
  ];
}
