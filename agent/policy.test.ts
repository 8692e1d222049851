import { describe, expect, test } from 'vitest';
import type { Grant } from '../shared/grant.ts';
import { accessOf, type Rules, scopeOf } from './policy.ts';

const HOST = { allowedPrefixes: ['/custom'], allowManagement: false };

function access(grant: Partial<Grant>, rules: Rules = {}) {
  return accessOf({ subject: 'key:a', ...grant }, { ...HOST, rules });
}

function refusal(run: () => void): string | undefined {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return undefined;
}

test.each([
  ['owner', 'owner'],
  ['session:x', 'owner'],
  ['key:x', 'keys'],
  ['invitation:x', 'guests'],
  ['anonymous', 'anonymous'],
] as const)('%s is one of: %s', (subject, scope) => {
  expect(scopeOf(subject)).toBe(scope);
});

describe('a rule', () => {
  test('counts for its scope alone', () => {
    const rules: Rules = { guests: { models: ['a'], concurrentRequests: 1 } };
    expect(access({}, rules)).toMatchObject({ models: [], share: undefined });
    const guest = access({ subject: 'invitation:x', browser: 'b' }, rules);
    expect(guest).toMatchObject({ share: 1, client: 'invitation:x b' });
    expect(guest.models).toEqual([{ whose: 'the host’s policy for guests', models: ['a'] }]);
    // No way around it through a web UI of the host.
    expect(guest.grant.models).toEqual(['a']);
  });

  test('narrows what the grant says, and says who refuses', () => {
    const rules: Rules = { keys: { prefixes: ['/v1/chat'], models: ['b'], requestsPerMinute: 10 } };
    const both = access({ prefixes: ['/v1', '/api'], models: ['a', 'b'], requests_per_minute: 60 }, rules);
    expect(refusal(() => both.checkPath({ path: '/v1/chat/completions', query: '' }))).toBeUndefined();
    expect(refusal(() => both.checkPath({ path: '/v1/models', query: '' }))).toMatch(
      /policy for keys is not for \/v1\/models/,
    );
    expect(refusal(() => both.checkPath({ path: '/props', query: '' }))).toMatch(/the credential is not for \/props/);
    expect(both.models.map(({ models }) => models)).toEqual([['a', 'b'], ['b']]);
    expect(both.grant.requests_per_minute).toBe(10);
    expect(access({ requests_per_minute: 5 }, rules).grant.requests_per_minute).toBe(5);
    expect(access({}, rules).grant.requests_per_minute).toBe(10);
    expect(access({}).grant.requests_per_minute).toBeUndefined();
  });

  test('says whether its scope may manage, in place of the host’s word', () => {
    const rules: Rules = { owner: { allowManagement: true }, keys: {} };
    expect(access({ subject: 'owner' }, rules).target.allowManagement).toBe(true);
    expect(access({}, rules).target).toEqual(HOST);
    const all = { ...HOST, allowManagement: true, rules: { guests: { allowManagement: false } } };
    expect(accessOf({ subject: 'invitation:x' }, all).target.allowManagement).toBe(false);
    expect(accessOf({ subject: 'key:x' }, all).target.allowManagement).toBe(true);
  });
});
