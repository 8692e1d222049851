/** Text for a terminal, by the columns that it takes. */
import { plain } from './command-error.ts';

/**
 * East Asian wide characters and emoji take two columns (Unicode Standard Annex 11). Where terminals differ a line may
 * end a column early; none may be too long, as it would wrap.
 */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18aff}\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\p{Extended_Pictographic}/u;

function columnsOf(character: string): number {
  if (/^[\x20-\x7e]$/.test(character)) return 1;
  if (/^\p{M}$/u.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

export function width(text: string): number {
  let columns = 0;
  for (const character of text) columns += columnsOf(character);
  return columns;
}

/** At most so many columns of the text, which then ends in an ellipsis; without anything that could move the cursor. */
export function cut(text: string, columns: number): string {
  const clean = plain(text, Math.max(columns, 1) * 4);
  if (width(clean) <= columns) return clean;
  let kept = '';
  let left = columns - 1;
  for (const character of clean) {
    left -= columnsOf(character);
    if (left < 0) break;
    kept += character;
  }
  return columns > 0 ? `${kept}…` : '';
}

export function pad(text: string, columns: number, alignment: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, columns - width(text)));
  return alignment === 'left' ? text + space : space + text;
}

/** `1 h 2 min`; nothing that changes every second. */
export function duration(ms: number): string {
  const minutes = Math.floor(Math.max(0, ms) / 60_000);
  if (minutes < 1) return '< 1 min';
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

/** In units of 1000, as networks are measured. */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [bytes, 0];
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 || value >= 9.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** 4.2, 78, 1204: as many digits as one can read. */
export function figure(value: number): string {
  return value >= 99.95 || Number.isInteger(value) ? `${Math.round(value)}` : value.toFixed(1);
}
