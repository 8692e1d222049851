/** What our Markdown has besides GitHub's, and what it does not take. */
import type { MarkedExtension } from 'marked';

/** TeX between its usual marks, whose asterisks and backslashes mean nothing to Markdown. It is shown as it is. */
const MATH = /^(?:\$\$[^$]+\$\$|\$(?!\s)[^$\n`]+(?<!\s)\$(?!\d)|\\\([^\n]+?\\\)|\\\[[\s\S]+?\\\])/;
const MATH_BEGINS = /\$|\\[([]/;

/** The first row of a table with many columns, above the one that makes it a table. */
const WIDE_TABLE = /^((?:[^\n|]*\|){10}[^\n]*)\n[ \t]*[|:-]+[ |:\t-]*(?:\n|$)/;

export const syntax: MarkedExtension = {
  extensions: [
    {
      name: 'math',
      level: 'inline',
      start: (source) => MATH_BEGINS.exec(source)?.index,
      tokenizer: (source) => {
        const raw = MATH.exec(source)?.[0];
        return raw === undefined ? undefined : { type: 'math', raw };
      },
      renderer: ({ raw }) => escaped(raw),
    },
  ],
  tokenizer: {
    // Every row is given as many cells as the first: a few kilobytes would make millions. A cell that somebody wrote has
    // at least one character and a bar.
    table(source) {
      const [, head = ''] = WIDE_TABLE.exec(source) ?? [];
      if (head === '') return false;
      const end = source.search(/\n[ \t]*\n/);
      const text = end === -1 ? source : source.slice(0, end);
      const rows = text.split('\n').length - 2;
      return (head.split('|').length - 1) * rows > text.length ? undefined : false;
    },
  },
};

/** As text in HTML, in attributes as well. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
