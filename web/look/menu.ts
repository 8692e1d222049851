/** A small menu behind a button. */
import { h } from './element.ts';

const SVG = 'http://www.w3.org/2000/svg';

/** Opens and closes by itself: a click elsewhere, Escape, or an entry that was chosen. */
export function menu(label: string, items: HTMLElement[]): HTMLDetailsElement {
  const summary = h('summary', { 'aria-label': label, 'data-testid': 'menu' }, dots());
  const list = h('div', { class: 'menu-list' }, ...items);
  const details = h('details', { class: 'menu' }, summary, list);
  const close = () => {
    details.open = false;
  };
  list.addEventListener('click', close);
  details.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !details.open) return;
    close();
    summary.focus();
  });
  details.addEventListener('toggle', () => {
    if (!details.open) return;
    const outside = (event: Event) => {
      if (event.target instanceof Node && details.contains(event.target)) return;
      close();
    };
    document.addEventListener('pointerdown', outside);
    details.addEventListener('toggle', () => document.removeEventListener('pointerdown', outside), { once: true });
  });
  return details;
}

export function menuLink(text: string, href: string): HTMLAnchorElement {
  return h('a', { class: 'menu-item', href }, text);
}

export function menuButton(text: string, click: () => void): HTMLButtonElement {
  return h('button', { class: 'menu-item', type: 'button', click }, text);
}

function dots(): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('width', '20');
  svg.setAttribute('height', '20');
  svg.setAttribute('aria-hidden', 'true');
  for (const y of ['5', '12', '19']) {
    const dot = document.createElementNS(SVG, 'circle');
    dot.setAttribute('cx', '12');
    dot.setAttribute('cy', y);
    dot.setAttribute('r', '1.8');
    svg.append(dot);
  }
  return svg;
}
