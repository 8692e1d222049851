import { beforeEach, describe, expect, test } from 'vitest';
import {
  CookieJars,
  type HiddenCookies,
  MAX_COOKIE_BYTES,
  MAX_COOKIE_JARS,
  MAX_COOKIES_PER_JAR,
} from './cookie-jars.ts';

let now: number;
let jars: CookieJars;
let jar: HiddenCookies;
beforeEach(() => {
  now = Date.UTC(2026, 0, 1);
  jars = new CookieJars(() => now);
  jar = jars.of({ subject: 'session:a' });
});

const sent = (path: string) => jar.cookiesFor(path).map(({ pair }) => pair);

describe('a jar', () => {
  test('sends what belongs to the path, longer paths first', () => {
    jar.take('a=1; HttpOnly; Path=/', '/login');
    jar.take('b=2; HttpOnly; Path=/api', '/login');
    jar.take('c=3; HttpOnly', '/api/v1/login');
    expect(sent('/')).toEqual(['a=1']);
    expect(sent('/apis')).toEqual(['a=1']);
    expect(sent('/api')).toEqual(['b=2', 'a=1']);
    expect(sent('/api/v1/x')).toEqual(['c=3', 'b=2', 'a=1']);
  });

  test('ignores Domain, and what SameSite says of pages that are none of ours', () => {
    jar.take('a=1; HttpOnly; Path=/; Domain=.example.com; SameSite=Strict', '/');
    jar.take('b=2; HttpOnly; Path=/; Domain=com', '/');
    expect(sent('/x')).toEqual(['a=1', 'b=2']);
  });

  test('takes Secure and the prefixes of names as on HTTPS', () => {
    jar.take('a=1; HttpOnly; Secure; Path=/', '/');
    jar.take('__Secure-b=2; HttpOnly; Secure; Path=/', '/');
    jar.take('__Host-c=3; HttpOnly; Secure; Path=/', '/');
    jar.take('__Secure-d=4; HttpOnly; Path=/', '/');
    jar.take('__Host-e=5; HttpOnly; Secure; Path=/x', '/');
    expect(sent('/x')).toEqual(['a=1', '__Secure-b=2', '__Host-c=3']);
  });

  test('counts Max-Age from when the cookie came, however often it is used', () => {
    jar.take('a=1; HttpOnly; Max-Age=60', '/');
    jar.take('b=2; HttpOnly; Expires=Thu, 01 Jan 2026 00:02:00 GMT', '/');
    jar.take('c=3; HttpOnly', '/');
    jar.take(`d=4; HttpOnly; Max-Age=${'9'.repeat(30)}`, '/');
    now += 59_000;
    expect(sent('/')).toEqual(['a=1', 'b=2', 'c=3', 'd=4']);
    now += 1_000;
    expect(sent('/')).toEqual(['b=2', 'c=3', 'd=4']);
    now += 60_000;
    expect(sent('/')).toEqual(['c=3', 'd=4']);
  });

  test.each([
    ['expires it', 's=; HttpOnly; Path=/; Max-Age=0'],
    ['expires it in the past', 's=; HttpOnly; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT'],
    // As most frameworks delete cookies.
    ['expires it without HttpOnly', 's=; Path=/; Max-Age=0'],
    ['makes it one that scripts may read', 's=2; Path=/'],
  ])('loses a cookie when the UI %s', (_name, setCookie) => {
    jar.take('s=1; HttpOnly; Path=/', '/login');
    expect(sent('/')).toEqual(['s=1']);
    jar.take(setCookie, '/logout');
    expect(sent('/')).toEqual([]);
  });

  test('keeps the latest value, and cookies of other paths apart', () => {
    jar.take('s=1; HttpOnly; Path=/', '/');
    jar.take('s=2; HttpOnly; Path=/', '/');
    jar.take('s=3; HttpOnly; Path=/deep', '/');
    expect([sent('/'), sent('/deep')]).toEqual([['s=2'], ['s=3', 's=2']]);
  });

  test('refuses what is no cookie or too long for a browser', () => {
    for (const none of [
      '',
      '; HttpOnly',
      'a; HttpOnly',
      '=a; HttpOnly',
      `a=${'x'.repeat(MAX_COOKIE_BYTES)}; HttpOnly`,
    ]) {
      expect([none.slice(0, 20), jar.take(none, '/')]).toEqual([none.slice(0, 20), false]);
    }
    expect(jar.take(`a=1; HttpOnly; Path=/${'x'.repeat(2000)}`, '/')).toBe(false);
    expect(jar.take(`a=${'x'.repeat(MAX_COOKIE_BYTES - 1)}; HttpOnly`, '/')).toBe(true);
    expect(sent('/')).toHaveLength(1);
  });

  test('holds so many cookies and no more', () => {
    for (let i = 0; i < 500; i++) jar.take(`c${i}=1; HttpOnly; Path=/${i % 7}`, '/');
    const all = new Set(Array.from({ length: 7 }, (_, i) => sent(`/${i}`)).flat());
    expect(all.size).toBe(MAX_COOKIES_PER_JAR);
    expect(all).toContain('c499=1');
  });
});

describe('the jars', () => {
  test('are one for each subject, and go with it', () => {
    jar.take('s=1; HttpOnly', '/');
    expect(jars.of({ subject: 'session:b' }).cookiesFor('/')).toEqual([]);
    expect(jars.of({ subject: 'session:a' })).toBe(jar);
    jars.drop('session:a');
    // What is under way ends in the old one.
    jar.take('s=2; HttpOnly', '/');
    expect(jars.of({ subject: 'session:a' }).cookiesFor('/')).toEqual([]);
  });

  test('are one for each browser of a subject, and go with it together', () => {
    const browsers = ['one', 'two'].map((browser) => ({ subject: 'invitation:i', browser }));
    for (const [i, grant] of browsers.entries()) jars.of(grant).take(`s=${i}; HttpOnly`, '/');
    const pairs = () =>
      browsers.map((grant) =>
        jars
          .of(grant)
          .cookiesFor('/')
          .map(({ pair }) => pair),
      );
    expect(pairs()).toEqual([['s=0'], ['s=1']]);
    jars.drop('invitation:other');
    expect(pairs()).toEqual([['s=0'], ['s=1']]);
    jars.drop('invitation:i');
    expect(pairs()).toEqual([[], []]);
  });

  test('are so many and no more: the one that nobody used for longest goes', () => {
    jars.of({ subject: 'session:b' });
    for (let i = 0; i < MAX_COOKIE_JARS - 2; i++) jars.of({ subject: `key:${i}` });
    jar = jars.of({ subject: 'session:a' });
    jar.take('s=1; HttpOnly', '/');
    jars.of({ subject: 'session:b' }).take('s=2; HttpOnly', '/');
    jars.of({ subject: 'key:more' });
    expect(jars.of({ subject: 'session:a' })).toBe(jar);
    expect(jars.of({ subject: 'session:b' }).cookiesFor('/')).toHaveLength(1);
    for (let i = 0; i < MAX_COOKIE_JARS; i++) jars.of({ subject: `key:${i}` });
    expect(jars.of({ subject: 'session:a' })).not.toBe(jar);
  });

  test('of one subject give way to each other first', () => {
    for (let i = 0; i < 2 * MAX_COOKIE_JARS; i++) jars.of({ subject: 'invitation:a', browser: `${i}` });
    expect(jars.of({ subject: 'session:a' })).toBe(jar);
  });
});
