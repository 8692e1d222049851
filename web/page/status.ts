/** One line above the composer: what is in the way, and what a person may do about it. */
import { h } from '../look/element.ts';

export interface StatusAction {
  label: string;
  run(): void;
}

/** Nothing is shown for an empty text. */
export function showStatus(status: HTMLElement, text: string, action?: StatusAction): void {
  // A screen reader would read the same words again.
  if (action === undefined && status.textContent === text) return;
  status.replaceChildren(text);
  if (action === undefined) return;
  const { label, run } = action;
  status.append(' ', h('button', { class: 'button quiet small', type: 'button', click: run }, label));
}
