import { h } from '../look/element.ts';

/** A term and what it is, for a list of class `facts`. */
export function fact(term: string, value: Node | string): HTMLElement[] {
  return [h('dt', {}, term), h('dd', {}, value)];
}
