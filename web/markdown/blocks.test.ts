import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Block, Blocks } from './blocks.ts';
import { htmlOf } from './html.ts';

const sources = (blocks: Blocks) => [...blocks.finished, ...blocks.growing].map(({ source }) => source.trim());

function whole(text: string): Blocks {
  const blocks = new Blocks();
  blocks.update(text, true);
  return blocks;
}

/** Lines and parts of lines at which blocks begin, end or change into others. */
const PIECES = [
  ...['a', 'b c', ' ', '  ', '    ', '\t', '\n', '\n\n', '\n\n\n', '# ', '###### ', '> ', '- ', '* ', '1. ', '2) '],
  ...[
    '- [x] ',
    '---',
    '===',
    '***',
    '```',
    '~~~',
    '```js',
    '|a|b|',
    '|-|-|',
    '|',
    '`',
    '**',
    '_',
    '~~',
    '\\',
    '$',
    '<',
  ],
  ...[
    '<div>',
    '</div>',
    '<b>',
    '<!--',
    '-->',
    '<script>',
    '<pre>',
    '[a]: /b',
    '[a]',
    '[a](b)',
    '![',
    '](',
    '"t"',
    '&amp;',
  ],
];

describe('blocks', () => {
  test('a block is final when the next one has begun on a whole line', () => {
    const blocks = new Blocks();
    blocks.update('# Title\n\nText', false);
    expect([blocks.finished.length, sources(blocks)]).toEqual([0, ['# Title', 'Text']]);
    blocks.update('# Title\n\nText\n', false);
    expect([blocks.finished.length, sources(blocks)]).toEqual([1, ['# Title', 'Text']]);
    blocks.update('# Title\n\nText\nmore\n===\n', false);
    expect([blocks.finished.length, sources(blocks)]).toEqual([1, ['# Title', 'Text\nmore\n===']]);
  });

  test('an open fence reaches to the end', () => {
    const blocks = new Blocks();
    blocks.update('a\n\n```js\nb\n\nc', false);
    expect(sources(blocks)).toEqual(['a', '```js\nb\n\nc']);
  });

  test('levels of headings have no gaps', () => {
    expect(whole('## a\n\n#### b\n\n### c\n\nd\n\n# e').finished.map(({ level }) => level)).toEqual([3, 4, 4, 4, 3]);
  });

  test('definitions are known by their labels, and are no blocks', () => {
    const blocks = whole('[a][B c]\n\n[b  C]: https://a.test "t"');
    expect(sources(blocks)).toEqual(['[a][B c]']);
    expect([...blocks.definitions]).toEqual([['b c', { href: 'https://a.test', title: 't' }]]);
  });

  test('lines may end in any way', () => {
    const blocks = new Blocks();
    for (const text of ['a\r', 'a\r\n', 'a\r\n\r', 'a\r\n\r\nb']) expect(blocks.update(text, false)).toBe(true);
    expect(sources(blocks)).toEqual(['a', 'b']);
  });

  test('a text that does not continue the last one is not taken', () => {
    const blocks = whole('a');
    expect(blocks.update('b', true)).toBe(false);
  });

  test('a complete text stays as it is, and none continues it', () => {
    const blocks = whole('a\nb');
    expect([blocks.update('a\nb', true), sources(blocks)]).toEqual([true, ['a\nb']]);
    expect(blocks.update('a\nb c', false)).toBe(false);
  });

  test('a table that would have many more cells than were written is text', () => {
    const wide = `${'|a'.repeat(100)}|\n${'|-'.repeat(100)}|\n`;
    expect(whole(`${wide}|b`).finished.length).toBe(1);
    expect(htmlOf(whole(`${wide}|b`).finished[0] as Block, new Map())).toContain('<table>');
    expect(htmlOf(whole(wide + 'b\n'.repeat(100)).finished[0] as Block, new Map())).not.toContain('<table>');
  });

  test('a text in pieces ends in the same blocks as at once, and what was final stays', () => {
    const pieces = fc.array(fc.constantFrom(...PIECES), { maxLength: 25 });
    fc.assert(
      fc.property(pieces, (pieces) => {
        const blocks = new Blocks();
        let text = '';
        for (const piece of pieces) {
          const before = [...blocks.finished];
          text += piece;
          blocks.update(text, false);
          expect(blocks.finished.slice(0, before.length)).toEqual(before);
        }
        blocks.update(text, true);
        expect(sources(blocks)).toEqual(sources(whole(text)));
      }),
      { numRuns: 2_000 },
    );
  });
});
