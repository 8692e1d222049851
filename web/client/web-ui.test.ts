import { describe, expect, test } from 'vitest';
import type { HeaderList, ResponseHead } from '../../shared/head.ts';
import { ORIGIN, reply, testHost } from './test-host.ts';
import { uiRequestFields, uiResponse } from './web-ui.ts';

const request = { url: new URL(`${ORIGIN}/app/api/x`), credentials: 'same-origin', hasOrigin: false } as const;

function jar(text = '') {
  const set: string[] = [];
  return { set, cookies: { get: () => text, set: (line: string) => void set.push(line) } };
}

const head = (...headers: HeaderList): ResponseHead => ({ status: 200, statusText: '', headers });

describe('a request', () => {
  test('says where people see the UI, and has the page’s cookies', () => {
    const fields = new Map(uiRequestFields({ ...request, hasOrigin: true }, jar('a=1; ü=2').cookies));
    expect(fields.get('x-forwarded-host')).toBe('edge.example');
    expect(fields.get('x-forwarded-proto')).toBe('https');
    expect(fields.get('origin')).toBe(ORIGIN);
    expect(fields.get('cookie')).toBe('a=1; \u00c3\u00bc=2');
  });

  test.each([
    ['that omits credentials', { ...request, credentials: 'omit' as const }, jar('a=1').cookies],
    ['of a page without cookies', request, jar().cookies],
    ['without a document', request, undefined],
  ])('%s has none', (_, asked, cookies) => {
    expect(uiRequestFields(asked, cookies).map(([name]) => name)).not.toContain('cookie');
  });
});

describe('a response', () => {
  test.each([
    ['a=1', 'a=1; Path=/app/api'],
    ['a=1; Path=/', 'a=1; Path=/'],
    ['a=1; path=/x; Secure', 'a=1; path=/x; Secure'],
    ['a=1; Path=x; Secure', 'a=1; Secure; Path=/app/api'],
    ['a=1; Path', 'a=1; Path=/app/api'],
    ['a=\u00c3\u00bc; Path=/', 'a=ü; Path=/'],
    ['a=\u00fc; Path=/', 'a=\u00fc; Path=/'],
  ])('sets the cookie %s', (line, expected) => {
    const { set, cookies } = jar();
    uiResponse(head(['set-cookie', line], ['x', line]), request, cookies);
    expect(set).toEqual([expected]);
  });

  test('sets none for who omits credentials', () => {
    const { set, cookies } = jar();
    uiResponse(head(['set-cookie', 'a=1']), { ...request, credentials: 'omit' }, cookies);
    expect(set).toEqual([]);
  });

  test('keeps from the page what is for the edge', () => {
    const { headers } = uiResponse(head(['direct-web-ui', '{}'], ['x', '1']), request, undefined);
    expect(headers).toEqual([['x', '1']]);
  });
});

describe('fetch for a web UI', () => {
  test('names the service on the session, and what the page has set itself stays', async () => {
    const { set, cookies } = jar('a=1');
    const host = testHost((exchange) => reply(exchange, 200, [['set-cookie', 'b=2']], 'hi'), {
      service: 'web_ui',
      cookies,
    });
    const response = await host.fetch('/x', { headers: { 'user-agent': 'own' } });
    expect(await response.text()).toBe('hi');
    expect(host.heads[0]?.service).toBe('web_ui');
    const fields = host.heads[0]?.headers ?? [];
    expect(fields.filter(([name]) => name === 'user-agent' || name === 'cookie')).toEqual([
      ['user-agent', 'own'],
      ['cookie', 'a=1'],
    ]);
    expect(set).toEqual(['b=2; Path=/']);
  });

  test('names it over HTTPS', async () => {
    const host = testHost(async () => {}, { service: 'web_ui', route: async () => undefined });
    await host.fetch('/x');
    expect(host.https[0]?.headers.get('direct-service')).toBe('web_ui');
  });

  test('other requests say nothing of it', async () => {
    const { cookies } = jar('a=1');
    const host = testHost((exchange) => reply(exchange, 200), { cookies });
    await host.fetch('/x');
    expect(Object.keys(host.heads[0] ?? {})).not.toContain('service');
    expect(host.heads[0]?.headers.map(([name]) => name)).toEqual(['accept']);
  });
});
