/** Around code and tables: what a person needs there, and Markdown does not say. */
import { copyText } from '../look/copyable.ts';
import { h } from '../look/element.ts';

/** Lines that are laid out together: a line that is added to thousands should not move all of them. */
const CODE_PART = /(?:[^\n]*\n){1,100}|[^\n]+$/g;

/** Finishes sanitised nodes before they are in the page. */
export function frame(content: DocumentFragment): void {
  for (const link of content.querySelectorAll('a')) {
    link.target = '_blank';
    link.rel = 'noopener noreferrer';
  }
  // What it was the sanitiser has taken away: its words remain.
  for (const image of content.querySelectorAll('img:not([src])')) image.replaceWith(image.getAttribute('alt') ?? '');
  for (const code of content.querySelectorAll('pre')) frameCode(code);
  for (const table of content.querySelectorAll('table')) frameTable(table);
}

function frameCode(code: HTMLPreElement): void {
  const text = code.querySelector('code');
  const language = /^language-(.+)$/.exec(text?.className ?? '')?.[1] ?? '';
  const parts = text?.textContent?.match(CODE_PART) ?? [];
  if (parts.length > 1) text?.replaceChildren(...parts.map((part) => h('span', { class: 'code-part' }, part)));
  const place = h('figure', { class: 'code-frame' });
  code.replaceWith(place);
  scrolls(code, 'Code');
  place.append(h('figcaption', { class: 'code-head' }, h('span', {}, language), copyButton()), code);
}

function frameTable(table: HTMLTableElement): void {
  const place = h('div', { class: 'table-frame' });
  table.replaceWith(place);
  scrolls(place, 'Table');
  place.append(table);
}

/** Whoever has no mouse scrolls with the arrow keys, and for that it takes the focus. */
function scrolls(element: HTMLElement, label: string): void {
  element.tabIndex = 0;
  element.setAttribute('role', 'group');
  element.setAttribute('aria-label', label);
}

function copyButton(): HTMLElement {
  const word = h('span', { 'aria-live': 'polite' }, 'Copy');
  const button = h(
    'button',
    { class: 'code-copy', type: 'button', title: 'Copy the code', 'data-testid': 'copy-code', click },
    word,
  );
  return button;

  function click(): void {
    // Looked for now: while an answer comes, the code grows in another frame than the one that was made with this.
    const code = button.closest('figure')?.querySelector('pre');
    if (!code) return;
    copyText((code.textContent ?? '').replace(/\n$/, ''), word, code);
  }
}
