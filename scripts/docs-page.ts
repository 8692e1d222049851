/** What generated documents have in common. */

/** So that nobody corrects the page instead of its source. */
export const GENERATED = '<!-- Made by `npm run docs`. Change what it is made of, not this page. -->\n';

/** Puts `made` between the two marks of that name in `page`. */
export function between(page: string, name: string, made: string): string {
  const [start, end] = [`<!-- ${name}: made by \`npm run docs\` -->`, `<!-- end of ${name} -->`];
  const from = page.indexOf(start);
  const to = page.indexOf(end);
  if (from === -1 || to < from) throw new Error(`there is no place for ${name}`);
  return `${page.slice(0, from + start.length)}\n\n${made.trim()}\n\n${page.slice(to)}`;
}
