import { expect, test } from 'vitest';
import {
  chatUrl,
  invitationUrl,
  normalCode,
  parseApprovalLink,
  parseChatLink,
  parseInvitationLink,
  parseTokenInput,
} from './link.ts';

const KEY = 'A'.repeat(43);
const OTHER_KEY = `${'B'.repeat(42)}A`;

test.each([
  ['#host=home&token=t', { host: 'home', token: 't' }],
  ['host=home&token=a%2Bb%3D', { host: 'home', token: 'a+b=' }],
  [`#host=home&key=${KEY}&pair=s`, { host: 'home', key: KEY, pair: 's' }],
  [`#host=home&key=${KEY.slice(1)}`, { host: 'home' }],
  ['#host=home&key=not%20a%20key', { host: 'home' }],
  ['#host=&token=', {}],
  ['', {}],
])('the fragment %s of a chat gives %o', (fragment, link) => {
  expect(parseChatLink(fragment)).toEqual(link);
});

test.each([
  ['https://edge.example/#host=home&token=t', { host: 'home', token: 't' }],
  ['  t  ', { token: 't' }],
  ['a#b', { token: 'a#b' }],
  ['', { token: '' }],
])('the input %s gives %o', (input, link) => {
  expect(parseTokenInput(input)).toEqual(link);
});

test.each([
  [`#code=WDJB-MJHT&key=${KEY}`, { code: 'WDJB-MJHT', key: KEY }],
  ['#code=wdjbmjht', { code: 'WDJB-MJHT' }],
  // Dropped, it would look like a code that was typed.
  ['#code=WDJB-MJHT&key=cut', { code: 'WDJB-MJHT', key: 'cut' }],
  ['', {}],
])('the fragment %s of an approval gives %o', (fragment, link) => {
  expect(parseApprovalLink(fragment)).toEqual(link);
});

test.each([
  ['wdjb mjht', 'WDJB-MJHT'],
  ['WDJB-MJHT', 'WDJB-MJHT'],
  ['wdj', 'WDJ'],
  ['wdjbm', 'WDJB-M'],
  ['wdjb-mjht-more', 'WDJB-MJHT'],
])('the code %s is %s', (typed, code) => {
  expect(normalCode(typed)).toBe(code);
});

test('an invitation keeps its keys', () => {
  const keys = new Map([
    ['home', KEY],
    ['attic-2', OTHER_KEY],
  ]);
  const url = new URL(invitationUrl('https://edge.example', 'dai_secret', keys));
  expect([url.pathname, url.search]).toEqual(['/_direct/invite', '']);
  expect(parseInvitationLink(url.hash)).toEqual({ secret: 'dai_secret', keys });
});

test('keys of an invitation that are none are left out', () => {
  const link = parseInvitationLink(`#invite=s&keys=home:${KEY},attic:cut,:${KEY},none`);
  expect(link).toEqual({ secret: 's', keys: new Map([['home', KEY]]) });
  expect(parseInvitationLink(`#keys=home:${KEY}`)).toBeUndefined();
});

test('the link to a chat is one that a chat understands', () => {
  expect(parseChatLink(new URL(chatUrl('https://edge.example', 'home', KEY)).hash)).toEqual({ host: 'home', key: KEY });
  expect(chatUrl('https://edge.example', 'home', undefined)).toBe('https://edge.example/_direct/chat#host=home');
});
