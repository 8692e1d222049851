import { afterEach, expect, test, vi } from 'vitest';
import { Reach } from './reach.ts';

afterEach(() => void vi.unstubAllGlobals());

test('paths that stay on plain HTTPS are those that the edge takes for them, and no others', () => {
  vi.stubGlobal('document', { baseURI: 'https://edge.example/ui/' });
  const reach = new Reach('https://edge.example', ['/static', '/files/']);
  const stays = (url: string) => !reach.moves(url);
  for (const url of ['/static', '/static/a.js', '../static/x', 'wss://edge.example/files/a'])
    expect(stays(url)).toBe(true);
  for (const url of ['/statics', '/static-files/a', '/files', 'static/a']) expect(stays(url)).toBe(false);
});
