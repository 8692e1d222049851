/** A host key as people compare it with the terminal. */
import { fingerprint } from '../../shared/fingerprint.ts';
import { h } from '../look/element.ts';

const GROUPS = 8;

/** Comes with room for the fingerprint, which is there a moment later. */
export function fingerprintElement(hostKey: string, { large = false, testid = 'fingerprint' } = {}): HTMLElement {
  const shown = h('span', { class: large ? 'fingerprint large' : 'fingerprint', 'data-testid': testid });
  const fill = (groups: string[]) => shown.replaceChildren(...groups.flatMap((group) => [h('span', {}, group), ' ']));
  fill(Array.from({ length: GROUPS }, () => '····'));
  void fingerprint(hostKey).then(
    (text) => fill(text.split(' ')),
    () => shown.replaceChildren('not a key'),
  );
  return shown;
}
