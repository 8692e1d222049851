import { describe, expect, it } from 'vitest';
import type { HeaderList } from '../shared/head.ts';
import { requestFields, responseFields } from './tunnel-headers.ts';

const ADDRESS = 'https://tunnel/v1/x';
const cookieFor = (cookie: string) => requestFields(new Headers({ cookie }));

describe('Cookie', () => {
  it.each([
    '__Host-direct_agent=secret',
    'direct_agent=secret',
    '__host-Direct_Agent=secret',
    ' __Host-direct_agent =secret; direct_agent=secret',
    'direct_agent',
    'CF_Authorization=secret; CF_AppSession=secret',
    'direct_host=home; __Host-direct_ui=secret; __Host-direct_ui_verifier=secret; direct_ui=secret',
  ])('is not sent when it is only ours: “%s”', (cookie) => {
    expect(cookieFor(cookie)).toEqual([]);
  });

  it.each([
    ['a=1; __Host-direct_agent=secret; b=2', 'a=1; b=2'],
    ['__Host-direct_agent=secret;a=1', 'a=1'],
    ['a="__Host-direct_agent"; direct_agent=x', 'a="__Host-direct_agent"'],
    ['direct_agent2=1; my_direct_agent=2', 'direct_agent2=1; my_direct_agent=2'],
  ])('“%s” becomes “%s”', (cookie, sent) => {
    expect(cookieFor(cookie)).toEqual([['cookie', sent]]);
  });
});

describe('Set-Cookie', () => {
  const isPassed = (value: string) => responseFields([['set-cookie', value]], ADDRESS).has('set-cookie');

  it.each(
    [
      '__Host-direct_agent=x; Path=/; Secure',
      '__host-DIRECT_agent=x',
      'direct_agent=x',
      ' \tdirect_agent =x',
      // Without a name: browsers send these back as if they had one.
      '=__Host-direct_agent=x',
      ' = direct_agent=x',
      '==direct_agent=x',
      'direct_agent',
      '; Path=/',
      'CF_Authorization=x',
      'direct_host=x',
      '__Host-direct_ui=x',
      'direct_ui_verifier=x',
    ].filter((value) => value !== '; Path=/'),
  )('is dropped where it could set or shadow ours: “%s”', (value) => {
    expect(isPassed(value)).toBe(false);
  });

  it.each(['session=direct_agent', 'direct_agents=1', 'a=b; Path=/direct_agent=x', 'x=__Host-direct_agent=1'])(
    'is passed: “%s”',
    (value) => {
      expect(isPassed(value)).toBe(true);
    },
  );
});

describe('a web UI', () => {
  it('hears at which address it is seen, from the Worker alone', () => {
    const claimed = {
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'gopher',
      forwarded: 'host=evil.example',
    };
    const said = { 'direct-service': 'web_ui', 'direct-origin': 'https://edge.example:8443' };
    expect(requestFields(new Headers({ ...claimed, ...said }))).toEqual([
      ['x-forwarded-host', 'edge.example:8443'],
      ['x-forwarded-proto', 'https'],
    ]);
    expect(requestFields(new Headers({ ...claimed, 'direct-origin': 'https://edge.example' }))).toEqual([]);
  });

  it('has no sandbox, and speaks for the edge’s origin no more than others', () => {
    const list: HeaderList = [
      ['content-security-policy', "script-src 'self'"],
      ['direct-web-ui', '{}'],
      ['service-worker-allowed', '/'],
      ['clear-site-data', '"*"'],
      ['set-cookie', '__Host-direct_agent=x'],
      ['location', '/_direct/api/sign-out'],
    ];
    expect([...responseFields(list, ADDRESS, 'web_ui').keys()]).toEqual([
      'content-security-policy',
      'direct-web-ui',
      'vary',
    ]);
    expect(responseFields(list, ADDRESS, 'web_ui').get('content-security-policy')).toBe("script-src 'self'");
    expect(responseFields(list, ADDRESS).has('direct-web-ui')).toBe(false);
  });
});

describe('a response', () => {
  it.each(['text/html', 'image/svg+xml', 'application/xhtml+xml', 'text/xml', 'application/json', undefined])(
    'of type %s is shown in a sandbox',
    (type) => {
      const fields = responseFields(type === undefined ? [] : [['content-type', type]], ADDRESS);
      expect(fields.get('content-security-policy')).toBe('sandbox');
    },
  );

  it('cannot leave the sandbox by a policy of its own', () => {
    const own = "sandbox allow-scripts allow-same-origin; script-src 'self'";
    const fields = responseFields([['content-security-policy', own]], ADDRESS);
    // Each of several policies holds (CSP 3, section 3.1).
    expect(fields.get('content-security-policy')).toBe(`${own}, sandbox`);
  });

  it('does not speak for the edge’s origin', () => {
    const names = [
      'clear-site-data',
      'service-worker-allowed',
      'strict-transport-security',
      'alt-svc',
      'nel',
      'report-to',
    ];
    const fields = responseFields(
      names.map((name) => [name, 'x']),
      ADDRESS,
    );
    for (const name of names) expect(fields.has(name)).toBe(false);
  });
});
