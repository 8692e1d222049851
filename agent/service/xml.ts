/** Text between two tags of XML 1.0. Control characters are refused before (program.ts). */
export function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
