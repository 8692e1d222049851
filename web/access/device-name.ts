/** Names for this device that a person recognises; only proposals, so that a guess is enough. */

const SYSTEMS: readonly [string, string][] = [
  ['iPhone', 'iPhone'],
  ['iPad', 'iPad'],
  ['Android', 'Android'],
  ['Windows', 'Windows'],
  ['Macintosh', 'Mac'],
  ['CrOS', 'Chromebook'],
  ['Linux', 'Linux'],
];

/** In this order: most browsers also claim to be those further down. */
const BROWSERS: readonly [string, string][] = [
  ['Edg/', 'Edge'],
  ['OPR/', 'Opera'],
  ['Firefox/', 'Firefox'],
  ['FxiOS/', 'Firefox'],
  ['Chrome/', 'Chrome'],
  ['CriOS/', 'Chrome'],
  ['Safari/', 'Safari'],
];

const first = (userAgent: string, names: readonly [string, string][]) =>
  names.find(([mark]) => userAgent.includes(mark))?.[1];

/** `Mac` */
export function systemName(userAgent: string): string {
  return first(userAgent, SYSTEMS) ?? 'This device';
}

/** `Firefox on Mac` */
export function browserName(userAgent: string): string {
  return `${first(userAgent, BROWSERS) ?? 'A browser'} on ${first(userAgent, SYSTEMS) ?? 'some device'}`;
}
