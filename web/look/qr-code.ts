/** A QR code, made of elements: markup as text is what the page's policy refuses. */
import { encode } from 'uqr';

const SVG = 'http://www.w3.org/2000/svg';

/** Dark on light in either colour scheme, since many cameras read nothing else. */
export function qrCode(text: string, label: string): SVGSVGElement {
  const { data, size } = encode(text, { ecc: 'L', border: 3 });
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${size} ${size}`);
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', label);
  svg.setAttribute('class', 'qr-code');
  svg.setAttribute('shape-rendering', 'crispEdges');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute(
    'd',
    data.map((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : '')).join('')).join(''),
  );
  svg.append(path);
  return svg;
}
