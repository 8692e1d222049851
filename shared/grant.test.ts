/** What the edge says of a client: its form, and where it stands on the wire. */
import { describe, expect, test } from 'vitest';
import { parseChannelControl } from './channel.ts';
import { decodeGrant, encodeGrant, type Grant, isSubject, parseGrant } from './grant.ts';
import { parseRevoked, parseSignal } from './signal.ts';

const grants: Grant[] = [
  { subject: 'owner' },
  { subject: 'anonymous', requests_per_minute: 1 },
  { subject: 'key:k-1_Z', prefixes: ['/v1/chat'], models: ['llama3:8b', 'größe/模型'], requests_per_minute: 60 },
  { subject: 'session:a', prefixes: [], models: [] },
  { subject: 'invitation:b', browser: 'c-1_Z', web_ui: true },
];

test.each(grants)('$subject passes as an object and as a header field', (grant) => {
  expect(parseGrant({ ...grant, unknown: true })).toEqual(grant);
  const field = encodeGrant(grant);
  expect(field).toMatch(/^[\x20-\x7e]+$/);
  expect(decodeGrant(field)).toEqual(grant);
});

const wrong: [what: string, value: unknown][] = [
  ['nothing', undefined],
  ['a list', [{ subject: 'owner' }]],
  ['no subject', {}],
  ['a subject of another kind', { subject: 'host:home' }],
  ['a subject without its id', { subject: 'key:' }],
  ['a subject with more behind it', { subject: 'owner\n' }],
  ['a subject that is too long', { subject: `key:${'a'.repeat(65)}` }],
  ['a browser that is no id', { subject: 'invitation:b', browser: 'c d' }],
  ['a browser without a name', { subject: 'invitation:b', browser: '' }],
  ['a web UI that is neither', { subject: 'owner', web_ui: false }],
  ['a rate of 0', { subject: 'owner', requests_per_minute: 0 }],
  ['a rate that is no integer', { subject: 'owner', requests_per_minute: 1.5 }],
  ['prefixes that are no list', { subject: 'owner', prefixes: '/v1' }],
  ['an empty prefix', { subject: 'owner', prefixes: [''] }],
  ['a model that is no text', { subject: 'owner', models: [7] }],
  ['too many models', { subject: 'owner', models: Array(33).fill('m') }],
  [
    'more text than fits beside an offer',
    { subject: 'owner', models: Array(32).fill('m'.repeat(256)), prefixes: ['/'] },
  ],
];
test.each(wrong)('%s is refused', (_what, value) => {
  expect(() => parseGrant(value)).toThrow(expect.objectContaining({ code: 'E_BAD_REQUEST' }));
});

test.each(['', '{', 'null'])('the field “%s” is refused', (field) => {
  expect(() => decodeGrant(field)).toThrow(expect.objectContaining({ code: 'E_BAD_REQUEST' }));
});

describe('on the wire', () => {
  const grant: Grant = { subject: 'key:k1', models: ['llama'] };
  const from = 'AbCdEfGhIjKlMn_-';
  const offer = { session_id: 's', type: 'offer', sdp: 'v=0' };
  const open = { type: 'channel_open', channel: 7, session_id: 's', relay: true };

  test('an offer and a channel say what their client may do, or nothing', () => {
    expect(parseSignal({ ...offer, grant, from })).toEqual({ ...offer, grant, from });
    expect(parseSignal(offer)).toEqual(offer);
    expect(parseChannelControl({ ...open, grant, from })).toEqual({ ...open, grant, from });
    expect(parseChannelControl(open)).toEqual(open);
  });

  test.each([
    ['a grant for nobody', { grant: { subject: 'x' } }],
    ['a grant that is null', { grant: null }],
    ['a client’s name that is too short', { from: 'short' }],
    ['a client’s name that is no text', { from: 7 }],
  ])('%s is refused', (_what, members) => {
    const refusal = expect.objectContaining({ code: 'E_BAD_REQUEST' });
    expect(() => parseSignal({ ...offer, ...members })).toThrow(refusal);
    expect(() => parseChannelControl({ ...open, ...members })).toThrow(refusal);
  });

  test('a revocation names its subject', () => {
    expect(parseRevoked({ type: 'revoked', subject: 'key:k1' })).toBe('key:k1');
    for (const other of [undefined, null, 'revoked', [], offer]) expect(parseRevoked(other)).toBeUndefined();
    for (const subject of [undefined, '', 'key', 7]) expect(() => parseRevoked({ type: 'revoked', subject })).toThrow();
  });

  test('a subject is one of five kinds', () => {
    expect(['owner', 'session:1', 'keys:1', 'Owner', 7].map(isSubject)).toEqual([true, true, false, false, false]);
  });
});
