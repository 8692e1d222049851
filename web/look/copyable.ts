/** Text that goes to the clipboard by a button. */
import { toClipboard } from './clipboard.ts';
import { h } from './element.ts';

const SHOWN_MS = 2_000;

/** `label` names it for screen readers. Text with several lines keeps them. */
export function copyable(text: string, label: string, testid?: string): HTMLElement {
  const code = h('code', { class: 'copyable-text', tabindex: 0, 'aria-label': label, 'data-testid': testid }, text);
  const word = h('span', { 'aria-live': 'polite' }, 'Copy');
  const button = h('button', { class: 'button quiet small', type: 'button', title: `Copy ${label}`, click }, word);
  return h('div', { class: text.includes('\n') ? 'copyable lines' : 'copyable' }, code, button);

  function click(): void {
    copyText(text, word, code);
  }
}

/** Copies `text`, which `word` then says for a while. Where that is not possible, `shown` is selected, to be copied by hand. */
export function copyText(text: string, word: HTMLElement, shown: HTMLElement): void {
  toClipboard(text).then(
    () => {
      word.textContent = 'Copied';
      setTimeout(() => {
        word.textContent = 'Copy';
      }, SHOWN_MS);
    },
    () => getSelection()?.selectAllChildren(shown),
  );
}
