import { expect, test } from 'vitest';
import { Reach } from './reach.ts';

const reach = new Reach('https://edge.example', ['/static', '/media/'], () => 'https://edge.example/chat/');

test.each([
  ['/statics/app.js', true],
  ['/static-files', true],
  ['/static', false],
  ['/static/app.js', false],
  ['/static?v=1', false],
  ['../static/app.js', false],
  ['/media', true],
  ['/media/a.mp4', false],
  ['wss://edge.example/socket', true],
  ['wss://edge.example/static/socket', false],
  ['https://other.example/', false],
  ['/_direct/api/me', false],
])('%s is moved: %s', (url, moves) => {
  expect(reach.moves(url)).toBe(moves);
});
