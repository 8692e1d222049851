import { errorText } from '../access/error-text.ts';
import { h } from '../look/element.ts';

/** What went wrong, with a button to try again. */
export function failed(error: unknown, again: () => void): HTMLElement {
  const { message, hint } = errorText(error);
  return h(
    'div',
    { class: 'single stack', role: 'alert', 'data-testid': 'failed' },
    h(
      'div',
      { class: 'notice' },
      h('strong', { class: 'notice-title' }, message),
      hint !== undefined && h('span', { class: 'notice-hint' }, hint),
    ),
    h('div', { class: 'actions' }, h('button', { class: 'button', type: 'button', click: again }, 'Try again')),
  );
}
