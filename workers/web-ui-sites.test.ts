import { describe, expect, it } from 'vitest';
import { siteAt, webUiSites } from './web-ui-sites.ts';

const EDGE = 'https://edge.example';
const read = (names: string | undefined, edge: string | undefined = EDGE) =>
  webUiSites({ WEB_UI_HOSTNAMES: names, EDGE_ORIGIN: edge } as Cloudflare.Env);

describe('WEB_UI_HOSTNAMES', () => {
  it.each([undefined, '', '  '])('that is not there (“%s”) needs no EDGE_ORIGIN', (names) => {
    expect(read(names, 'nonsense').byName.size).toBe(0);
  });

  it('names hosts', () => {
    expect([...read('{"chat.example.com": "studio", "b.example:8443": "b"}').byName.values()]).toEqual([
      { name: 'chat.example.com', origin: 'https://chat.example.com', host: 'studio' },
      { name: 'b.example:8443', origin: 'https://b.example:8443', host: 'b' },
    ]);
    const local = read('{"chat.localhost:8787": "home"}', 'http://localhost:8787');
    expect(local.byName.get('chat.localhost:8787')?.origin).toBe('http://chat.localhost:8787');
  });

  it.each([
    'no JSON',
    '[]',
    '7',
    'null',
    '{"chat.example.com": 7}',
    '{"chat.example.com": "a/b"}',
    '{"Chat.example.com": "a"}',
    '{"chat.example.com.": "a"}',
    '{"chat.example.com:443": "a"}',
    '{"chat.example.com/x": "a"}',
    '{"a@chat.example.com": "a"}',
    '{"https://chat.example.com": "a"}',
    '{"": "a"}',
    // There would be no edge any more.
    '{"edge.example": "a"}',
  ])('cannot be %s', (names) => {
    expect(() => read(names)).toThrow('WEB_UI_HOSTNAMES');
  });

  it.each([undefined, '', 'edge.example', 'https://edge.example/x', 'ftp://edge.example', 'https://a@edge.example'])(
    'needs an EDGE_ORIGIN, which “%s” is not',
    (edge) => {
      expect(() => webUiSites({ WEB_UI_HOSTNAMES: '{"a.example":"a"}', EDGE_ORIGIN: edge } as Cloudflare.Env)).toThrow(
        'EDGE_ORIGIN',
      );
    },
  );
});

it.each([
  ['https://chat.example.com/x', 'studio'],
  ['https://CHAT.example.com/x', 'studio'],
  ['https://chat.example.com./x', 'studio'],
  ['http://chat.example.com/', 'studio'],
  ['https://chat.example.com:8443/', undefined],
  ['https://other.example.com/', undefined],
  ['https://a.chat.example.com/', undefined],
  ['https://edge.example/', undefined],
])('%s is the site of %s', (url, host) => {
  expect(siteAt(read('{"chat.example.com": "studio"}'), new URL(url))?.host).toBe(host);
});
