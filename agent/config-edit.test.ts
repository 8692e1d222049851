import { expect, test } from 'vitest';
import { hasKey, typedValue, withKey, withoutKey } from './config-edit.ts';

const FILE = `# My box, since 2025.
max_conns: 20   # more than the family needs

# The server in the attic.
upstream: "http://127.0.0.1:11434" # its usual port
tunnel: no

# end
`;

test('a value is changed in its place, and all comments stay', () => {
  expect(withKey(FILE, 'max_conns', 30)).toBe(FILE.replace('20   #', '30 #'));
  expect(withKey(FILE, 'upstream', ['http://a.example', 'http://b.example'])).toMatchInlineSnapshot(`
    "# My box, since 2025.
    max_conns: 20 # more than the family needs

    # The server in the attic.
    upstream:
      - http://a.example
      - http://b.example
    tunnel: no

    # end
    "
  `);
  expect(withKey(FILE, 'access', 'paired')).toMatchInlineSnapshot(`
    "# My box, since 2025.
    max_conns: 20 # more than the family needs

    # The server in the attic.
    upstream: "http://127.0.0.1:11434" # its usual port
    tunnel: no
    access: paired

    # end
    "
  `);
});

test('a key leaves with its value; the comment above it stays, as it may be about the file', () => {
  expect(withoutKey(FILE, 'max_conns')).toMatchInlineSnapshot(`
    "# My box, since 2025.

    # The server in the attic.
    upstream: "http://127.0.0.1:11434" # its usual port
    tunnel: no

    # end
    "
  `);
  expect(withoutKey(FILE, 'tunnel')).toMatchInlineSnapshot(`
    "# My box, since 2025.
    max_conns: 20 # more than the family needs

    # The server in the attic.
    upstream: "http://127.0.0.1:11434" # its usual port

    # end
    "
  `);
  expect(withoutKey(FILE, 'web_ui')).toBe(FILE);
  expect([hasKey(FILE, 'tunnel'), hasKey(FILE, 'web_ui')]).toEqual([true, false]);
});

test('the last key leaves a file that is empty, or has its comments', () => {
  expect(withoutKey('tunnel: no\n', 'tunnel')).toBe('');
  expect(withoutKey('# mine\n\n# about it\ntunnel: no\n# end\n', 'tunnel')).toBe('# mine\n\n# about it\n\n# end\n');
});

test.each(['', '# only words\n', 'null\n', '---\n'])('a file that says nothing takes a key: %j', (text) => {
  const made = withKey(text, 'tunnel', false);
  expect(made).toContain('tunnel: false\n');
  if (text.startsWith('#')) expect(made).toContain('# only words');
});

test('what is no map is not changed', () => {
  for (const text of ['- a\n', 'word\n', 'a: [\n']) expect(() => withKey(text, 'tunnel', false)).toThrow();
});

test.each([
  ['max_conns', ['20'], 20],
  ['max_body_bytes', ['10MB'], '10MB'],
  ['tunnel', ['no'], 'no'],
  ['tunnel', ['true'], true],
  ['token', ['12345'], '12345'],
  ['token', ['a: b'], 'a: b'],
  ['upstream', ['http://a', 'http://b'], ['http://a', 'http://b']],
  ['upstream', ['[http://a.example]'], ['http://a.example']],
  ['udp_ports', ['50000'], 50_000],
  ['udp_ports', ['50000-50100'], '50000-50100'],
  ['upstream_headers', ['Authorization: Bearer x'], { Authorization: 'Bearer x' }],
  ['upstream_headers', ['A: b\nC: d'], { A: 'b', C: 'd' }],
  ['max_conns', ['lots'], 'lots'],
] as const)('%s %j is %j', (key, words, value) => {
  expect(typedValue(key, words)).toEqual(value);
});
