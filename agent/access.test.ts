import { describe, expect, test } from 'vitest';
import type { RequestHead } from '../shared/head.ts';
import { checkPrefix, grantOf, RequestRates, withoutGrant } from './access.ts';

const refusal = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return error as { code: string; retryAfterMs?: number };
  }
  return undefined;
};
const forbidden = { code: 'E_FORBIDDEN' };

describe('the grant of a request', () => {
  const field: [string, string] = ['direct-grant', '{"subject":"key:k1"}'];
  const head = (...headers: RequestHead['headers']): RequestHead => ({ method: 'GET', path: '/', headers });

  test('is the session’s, whatever the head says', () => {
    expect(grantOf(head(field), { subject: 'key:k2' })).toEqual({ subject: 'key:k2' });
  });

  test('is in the head where the edge is the client, once', () => {
    expect(grantOf(head(['a', 'b'], field), 'in-heads')).toEqual({ subject: 'key:k1' });
    expect(refusal(() => grantOf(head(), 'in-heads'))).toMatchObject(forbidden);
    expect(refusal(() => grantOf(head(field, ['direct-grant', '{"subject":"owner"}']), 'in-heads'))).toMatchObject(
      forbidden,
    );
    expect(refusal(() => grantOf(head(['direct-grant', 'owner']), 'in-heads'))).toMatchObject({
      code: 'E_BAD_REQUEST',
    });
  });

  test('is nothing where the edge says nothing, whatever the head says', () => {
    expect(refusal(() => grantOf(head(field), undefined))).toMatchObject(forbidden);
  });

  test('goes no further than this', () => {
    expect(withoutGrant(head(['a', 'b'], field, field))).toEqual(head(['a', 'b']));
  });
});

describe('prefixes', () => {
  test.each([
    ['/v1/chat', '/v1/chat', true],
    ['/v1/chat', '/v1/chat/', true],
    ['/v1/chat', '/v1/chat/completions', true],
    ['/v1/chat/', '/v1/chat', true],
    ['/v1/chat', '/v1/chatx', false],
    ['/v1/chat', '/v1/chat;x/completions', false],
    ['/v1/chat', '/v1', false],
    ['/v1/chat', '/V1/chat', false],
    ['/v1/chat', '/x/v1/chat', false],
    ['/', '/anything', true],
    ['/', '/v1/chat/api/v1/generate', true],
    ['/v1/chat', '/v1/chat/completions?user=a/b', true],
    ['/api', '/api/v1/generate', true],
    ['/sdapi', '/sdapi/v1/txt2img', true],
    // To KoboldCpp these are what they end in.
    ['/v1/models', '/v1/models/api/v1/generate', false],
    ['/v1/models', '/v1/models/v1/chat/completions', false],
    ['/v1/models', '/v1/models?x=/api/v1/generate', false],
    ['/api/v1', '/api/v1/api/extra/generate/stream', false],
  ])('%s and %s: %s', (prefix, raw, allowed) => {
    const [path = '', ...more] = raw.split(/(?=\?)/);
    const target = { path, query: more.join('') };
    expect(refusal(() => checkPrefix(target, ['/other', prefix]))?.code).toBe(allowed ? undefined : 'E_FORBIDDEN');
  });

  test('that are none allow nothing', () => {
    expect(refusal(() => checkPrefix({ path: '/v1/models', query: '' }, []))).toMatchObject(forbidden);
  });
});

describe('requests per minute', () => {
  test('are those of the last 60 s of one subject, and who comes too early hears when to come', () => {
    let now = 0;
    const rates = new RequestRates(() => now);
    const ask = (subject = 'key:a', requests_per_minute = 2) =>
      refusal(() => rates.count({ subject, requests_per_minute }));
    expect(ask()).toBeUndefined();
    now = 40_000;
    expect(ask()).toBeUndefined();
    now = 50_000;
    expect(ask()).toMatchObject({ code: 'E_RATE_LIMITED', retryAfterMs: 10_000 });
    expect(ask('key:b')).toBeUndefined();
    now = 59_999;
    expect(ask()).toMatchObject({ retryAfterMs: 1 });
    // A clock minute has passed, and one place is free, not two.
    now = 60_000;
    expect(ask()).toBeUndefined();
    expect(ask()).toMatchObject({ retryAfterMs: 40_000 });
  });

  test('that are refused do not count', () => {
    let now = 0;
    const rates = new RequestRates(() => now);
    const grant = { subject: 'key:a', requests_per_minute: 1 };
    rates.count(grant);
    now = 59_000;
    expect(refusal(() => rates.count(grant))).toBeDefined();
    now = 60_000;
    expect(refusal(() => rates.count(grant))).toBeUndefined();
  });

  test('without a limit are not counted', () => {
    const rates = new RequestRates(() => {
      throw new Error('nobody asks for the time');
    });
    for (let n = 0; n < 1000; n++) rates.count({ subject: 'owner' });
  });
});
