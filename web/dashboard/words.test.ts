import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { actionText, actorText } from './audit.ts';
import { curlExample, pythonExample } from './key-form.ts';

const example = { base: 'https://edge.example/v1', key: 'dak_k', host: 'attic', model: `it's "7b"` };

test('the curl example survives a shell, whatever the model is called', () => {
  // printf in place of curl: each argument in a line of its own, as the shell understood it.
  const script = curlExample(example).replace(/^curl /, `printf '%s\\n' `);
  const words = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trimEnd().split('\n');
  expect(words.slice(0, 5)).toEqual([
    'https://edge.example/v1/chat/completions',
    '-H',
    'Authorization: Bearer dak_k',
    '-H',
    'Direct-Host: attic',
  ]);
  expect(JSON.parse(words.at(-1) ?? '')).toMatchObject({ model: `it's "7b"` });
});

test('examples name the host only where there are several', () => {
  expect(curlExample({ ...example, host: undefined })).not.toContain('Direct-Host');
  expect(pythonExample({ ...example, host: undefined })).not.toContain('Direct-Host');
  expect(pythonExample(example)).toContain('default_headers={"Direct-Host": "attic"}');
});

test.each([
  ['key.create', true, 'API key made:'],
  ['sign-in', false, 'Signed in'],
  ['of.tomorrow', true, 'of.tomorrow:'],
])('the action %s (with a detail: %s) reads %s', (action, hasDetail, text) => {
  expect(actionText(action, hasDetail)).toBe(text);
});

test.each([
  ['owner', 'the owner'],
  ['session:abc', 'the owner’s browser'],
  ['host:home', 'the host home'],
  ['something', 'something'],
])('the actor %s reads %s', (actor, text) => {
  expect(actorText(actor)).toBe(text);
});
