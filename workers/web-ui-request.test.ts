import { describe, expect, it } from 'vitest';
import { mayDriveWebUi, type Provenance } from './origin.ts';
import { mayBeForWebUi } from './web-ui-request.ts';

it.each([
  // By cookie, without a name: the UI's own document, its images, its sockets.
  [null, false, true, true],
  // Our chat page, by cookie.
  ['home', false, true, false],
  // Programs.
  [null, false, false, false],
  ['home', false, false, false],
  // Our client in a document of the UI.
  ['home', true, true, true],
  [null, true, true, true],
  // A program that asks for it.
  ['home', true, false, true],
  [null, true, false, true],
])('named %s, explicit %s, by browser %s: %s', (named, explicit, byBrowser, expected) => {
  expect(mayBeForWebUi({ named, explicit, chosen: null }, byBrowser)).toBe(expected);
});

describe('a web UI is driven', () => {
  const OWN = 'https://edge.example';
  const at = (rest: Partial<Provenance>): Provenance => ({
    method: 'GET',
    ownOrigin: OWN,
    origin: undefined,
    site: undefined,
    mode: undefined,
    dest: undefined,
    ...rest,
  });
  const NAVIGATION = { mode: 'navigate', dest: 'document' };

  it.each<[string, Partial<Provenance>]>([
    ['an address that is typed', { site: 'none', ...NAVIGATION }],
    ['a link of its own', { site: 'same-origin', ...NAVIGATION }],
    ['a link from elsewhere', { site: 'cross-site', ...NAVIGATION }],
    ['a link of a sibling', { site: 'same-site', ...NAVIGATION }],
    ['an image', { site: 'same-origin', mode: 'no-cors', dest: 'image' }],
    ['a frame of its own', { site: 'same-origin', mode: 'navigate', dest: 'iframe' }],
    ['fetch', { site: 'same-origin', mode: 'cors', dest: 'empty' }],
    ['fetch with POST', { site: 'same-origin', mode: 'cors', dest: 'empty', method: 'POST', origin: OWN }],
    ['a form', { site: 'same-origin', ...NAVIGATION, method: 'POST', origin: OWN }],
    ['a form of a page without referrer', { site: 'same-origin', ...NAVIGATION, method: 'POST', origin: 'null' }],
    ['a WebSocket', { site: 'same-origin', mode: 'websocket', origin: OWN }],
    ['a WebSocket of a browser that says no more', { origin: OWN }],
  ])('by %s', (_name, rest) => {
    expect(mayDriveWebUi(at(rest))).toBe(true);
  });

  it.each<[string, Partial<Provenance>]>([
    ['an image of a foreign page', { site: 'cross-site', mode: 'no-cors', dest: 'image' }],
    ['a frame of a foreign page', { site: 'cross-site', mode: 'navigate', dest: 'iframe' }],
    ['a frame of a sibling', { site: 'same-site', mode: 'navigate', dest: 'iframe' }],
    ['a frame of old', { site: 'cross-site', mode: 'navigate', dest: 'frame' }],
    ['an object', { site: 'cross-site', mode: 'navigate', dest: 'object' }],
    ['a form of a foreign page', { site: 'cross-site', ...NAVIGATION, method: 'POST', origin: 'https://evil.example' }],
    ['a form of a hidden page', { site: 'cross-site', ...NAVIGATION, method: 'POST', origin: 'null' }],
    ['a form of a sibling', { site: 'same-site', ...NAVIGATION, method: 'POST', origin: 'https://a.edge.example' }],
    ['fetch of a foreign page', { site: 'cross-site', mode: 'cors', dest: 'empty', origin: 'https://evil.example' }],
    ['fetch without CORS', { site: 'cross-site', mode: 'no-cors', dest: 'empty' }],
    ['fetch of a sandbox', { site: 'cross-site', mode: 'cors', dest: 'empty', origin: 'null' }],
    ['a foreign WebSocket', { site: 'cross-site', mode: 'websocket', origin: 'https://evil.example' }],
    ['a foreign WebSocket of a browser that says no more', { origin: 'https://evil.example' }],
    ['a hidden WebSocket of such a browser', { origin: 'null' }],
    ['a contradiction', { site: 'same-origin', origin: 'https://evil.example' }],
    ['what no browser sends', { site: 'none', mode: 'cors', dest: 'empty' }],
    ['a browser that says nothing', {}],
    ['one that says nothing but “navigate”', NAVIGATION],
  ])('not by %s', (_name, rest) => {
    expect(mayDriveWebUi(at(rest))).toBe(false);
  });
});
