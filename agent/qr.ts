/** QR codes in a terminal. */
import { renderUnicodeCompact } from 'uqr';

/** White on black whatever the terminal's colours are: many phones read no inverted code. */
const COLOURS = '\x1b[97;40m';
const RESET = '\x1b[0m';

/** The code as lines, or undefined where it would not fit into `columns`: a broken code helps nobody. */
export function qrCode(text: string, columns: number): string[] | undefined {
  const lines = renderUnicodeCompact(text, { border: 2 }).split('\n');
  if ((lines[0]?.length ?? 0) > columns) return undefined;
  return lines.map((line) => `${COLOURS}${line}${RESET}`);
}
