import { expect, test } from 'vitest';
import { accessFromFragment, accessFromInput, loadAccess, saveAccess } from './access.ts';

test.each([
  ['#host=home&token=t', { host: 'home', token: 't' }],
  ['host=home&token=a%2Bb%3D', { host: 'home', token: 'a+b=' }],
  ['#host=home', undefined],
  ['#token=t', undefined],
  ['#host=&token=t', undefined],
  ['', undefined],
])('the fragment %s gives %o', (fragment, access) => {
  expect(accessFromFragment(fragment)).toEqual(access);
});

test.each([
  ['https://edge.example/#host=home&token=t', '', { host: 'home', token: 't' }],
  ['  t  ', ' home ', { host: 'home', token: 't' }],
  ['t', '', undefined],
  ['', 'home', undefined],
  ['a#b', 'home', { host: 'home', token: 'a#b' }],
])('the input %s with host %s gives %o', (input, host, access) => {
  expect(accessFromInput(input, host)).toEqual(access);
});

function storage(): Storage {
  const items = new Map<string, string>();
  return {
    getItem: (name: string) => items.get(name) ?? null,
    setItem: (name: string, value: string) => items.set(name, value),
  } as unknown as Storage;
}

test('what is saved is loaded', () => {
  const one = storage();
  expect(loadAccess(() => one)).toBeUndefined();
  saveAccess({ host: 'home', token: 't' }, () => one);
  expect(loadAccess(() => one)).toEqual({ host: 'home', token: 't' });
});

test('a browser that forbids storage stops nothing', () => {
  const forbidden = () => {
    throw new DOMException('denied', 'SecurityError');
  };
  saveAccess({ host: 'home', token: 't' }, forbidden);
  expect(loadAccess(forbidden)).toBeUndefined();
});

test.each(['{', 'null', '[]', '{"host":1,"token":"t"}'])('stored %s counts as nothing', (text) => {
  const one = storage();
  one.setItem('direct-agent.access', text);
  expect(loadAccess(() => one)).toBeUndefined();
});
