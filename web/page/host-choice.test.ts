import { expect, test } from 'vitest';
import type { UsableHost } from '../../shared/account-api.ts';
import { testStorage } from '../access/test-storage.ts';
import { chooseHost, rememberedHost, rememberHost, takeOldAccess } from './host-choice.ts';

const host = (id: string, online: boolean): UsableHost => ({ id, name: id, host_key: null, online });
const both = [host('attic', false), host('home', true)];

test.each<[string, UsableHost[], string | undefined, string | undefined, string | undefined]>([
  ['the link’s', both, 'attic', 'home', 'attic'],
  ['the link’s, though the edge does not name it', both, 'cellar', undefined, 'cellar'],
  ['the remembered one', both, undefined, 'attic', 'attic'],
  ['another one when the remembered one was removed', both, undefined, 'cellar', 'home'],
  ['the first one that is online', both, undefined, undefined, 'home'],
  ['the first one when none is', [host('attic', false), host('cellar', false)], undefined, undefined, 'attic'],
  ['the remembered one where the edge names none', [], undefined, 'home', 'home'],
  ['none', [], undefined, undefined, undefined],
])('%s is chosen', (_, hosts, link, remembered, chosen) => {
  expect(chooseHost(hosts, link, remembered)).toBe(chosen);
});

test('the host is remembered', () => {
  const storage = testStorage();
  expect(rememberedHost(() => storage)).toBeUndefined();
  rememberHost('home', () => storage);
  expect(rememberedHost(() => storage)).toBe('home');
});

test('the token that an older page stored is given once, and is gone', () => {
  const storage = testStorage();
  storage.setItem('direct-agent.access', '{"host":"home","token":"t"}');
  expect(takeOldAccess(() => storage)).toEqual({ host: 'home', token: 't' });
  expect([takeOldAccess(() => storage), storage.getItem('direct-agent.access')]).toEqual([{}, null]);
  storage.setItem('direct-agent.access', '{"host":1}');
  expect(takeOldAccess(() => storage)).toEqual({});
});

test('a browser that forbids storage stops nothing', () => {
  const forbidden = () => {
    throw new DOMException('denied', 'SecurityError');
  };
  rememberHost('home', forbidden);
  expect([rememberedHost(forbidden), takeOldAccess(forbidden)]).toEqual([undefined, {}]);
});
