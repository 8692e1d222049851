import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { failure, ok, skipped, warning } from './finding.ts';
import { heading, lines, summarise, summaryLine } from './report.ts';

const findings = [
  ok('a', 'Fine.'),
  warning('b', 'Odd.', { meaning: 'It may rain.' }),
  failure('c', 'Broken.', { meaning: 'It rains.', fix: 'Take an umbrella.' }),
  skipped('d', 'Not asked.'),
];

test('marks tell the state without colours as well', () => {
  const plain = findings.flatMap((finding) => lines(finding, false));
  expect(plain.join('\n')).toMatchInlineSnapshot(`
    "  ✓ Fine.
      ! Odd.
        It may rain.
      ✗ Broken.
        It rains.
        → Take an umbrella.
      – Not asked."
  `);
  const coloured = findings.flatMap((finding) => lines(finding, true)).join('\n');
  expect(coloured).toContain('\u001b[31m✗\u001b[0m Broken.');
  expect(stripVTControlCharacters(coloured)).toBe(plain.join('\n'));
  expect([heading('NAT', false), heading('NAT', true)]).toEqual(['NAT', '\u001b[1mNAT\u001b[0m']);
});

test('others’ words move no cursor', () => {
  expect(lines(ok('a', 'an\u001b[2Jy\nthing', { fix: '\u009bx' }), false).join('|')).not.toMatch(/\p{Cc}/u);
});

test('the sum', () => {
  expect(summarise(findings)).toEqual({ ok: 1, warning: 1, failure: 1, skipped: 1 });
  expect(summaryLine({ ok: 20, warning: 2, failure: 1, skipped: 0 })).toBe(
    '1 failure, 2 warnings, 20 ok, 0 not checked.',
  );
});
