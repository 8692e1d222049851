/** Fields of forms that grant access. */
import { h } from '../look/element.ts';

const DAY_MS = 86_400_000;
const EXPIRIES: readonly [string, number | null][] = [
  ['1 day', DAY_MS],
  ['7 days', 7 * DAY_MS],
  ['30 days', 30 * DAY_MS],
  ['90 days', 90 * DAY_MS],
  ['1 year', 365 * DAY_MS],
  ['Never', null],
];

export interface Field<Value> {
  element: HTMLElement;
  value(): Value;
}

/** When it ends, in ms since 1970; null for never. `days` says what is chosen at first, with 0 for never. */
export function expiryField(now: () => number, days: number): Field<number | null> {
  const select = h('select', {}, ...EXPIRIES.map(([name]) => h('option', { value: name }, name)));
  select.value = EXPIRIES.find(([, ms]) => ms === (days === 0 ? null : days * DAY_MS))?.[0] ?? 'Never';
  return {
    element: h('label', { class: 'expiry' }, 'Expires after', h('span', { class: 'picker' }, select)),
    value: () => {
      const ms = EXPIRIES.find(([name]) => name === select.value)?.[1] ?? null;
      return ms === null ? null : now() + ms;
    },
  };
}

export interface Choice {
  value: string;
  text: string;
}

/** Any of several; `all` is the text of a box that stands for all of them, present and future, and gives null. */
export function choicesField(legend: string, choices: readonly Choice[], all?: string): Field<string[] | null> {
  const boxes = choices.map(({ value }) => h('input', { type: 'checkbox', value }));
  const list = h(
    'div',
    { class: 'choices', hidden: all !== undefined },
    ...choices.map(({ text }, index) => h('label', { class: 'check' }, boxes[index], h('span', {}, text))),
  );
  const everything = h('input', { type: 'checkbox', checked: true });
  everything.addEventListener('change', () => {
    list.hidden = everything.checked;
  });
  return {
    element: h(
      'fieldset',
      {},
      h('legend', {}, legend),
      all !== undefined && h('label', { class: 'check' }, everything, h('span', {}, all)),
      list,
    ),
    value: () => {
      if (all !== undefined && everything.checked) return null;
      return boxes.filter(({ checked }) => checked).map(({ value }) => value);
    },
  };
}
