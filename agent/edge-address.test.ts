import { describe, expect, test } from 'vitest';
import { CommandError } from './command-error.ts';
import { edgeOf, parseEdge, signalingUrl } from './edge-address.ts';

describe('parseEdge', () => {
  test.each([
    ['edge.example', 'https://edge.example'],
    [' https://Edge.Example/ ', 'https://edge.example'],
    ['https://edge.example:8443/_direct/?x=1#host=a&key=b', 'https://edge.example:8443'],
    ['edge.example/_direct/approve', 'https://edge.example'],
    ['edge.example:8443', 'https://edge.example:8443'],
    ['localhost:8787', 'http://localhost:8787'],
    ['http://127.0.0.1:8787/', 'http://127.0.0.1:8787'],
    ['[::1]:8787', 'http://[::1]:8787'],
    ['https://localhost:8787', 'https://localhost:8787'],
  ])('takes %j for %j', (typed, edge) => {
    expect(parseEdge(typed)).toBe(edge);
  });

  test.each([
    'http://edge.example',
    'http://localhost.evil.example',
    'http://10.0.0.1',
    'ftp://edge.example',
    'wss://edge.example',
    'https://me:hunter2@edge.example',
    'me:hunter2@edge.example',
    'javascript:alert(1)',
    'https://',
    'a b',
    '',
  ])('refuses %j without repeating it', (typed) => {
    const failure = (() => {
      try {
        return parseEdge(typed);
      } catch (error) {
        return error;
      }
    })();
    expect(failure).toBeInstanceOf(CommandError);
    expect(String(failure)).not.toContain('hunter2');
  });
});

test('a signaling URL leads back to its edge, also below a path', () => {
  expect(edgeOf(signalingUrl('https://edge.example', 'attic'))).toBe('https://edge.example');
  expect(edgeOf('https://edge.example/prefix/_direct/h/attic')).toBe('https://edge.example/prefix');
});
