import { expect, test } from 'vitest';
import { Pins } from './pins.ts';
import { testStorage } from './test-storage.ts';

test('what is pinned is known to the next page, and other hosts are left alone', () => {
  const storage = testStorage();
  const pins = new Pins(() => storage);
  expect([pins.get('home'), pins.compare('home', 'a')]).toEqual([undefined, 'new']);
  pins.set('home', 'a');
  const other = new Pins(() => storage);
  other.set('attic', 'b');
  expect([pins.get('home'), pins.get('attic')]).toEqual(['a', 'b']);
  expect([pins.compare('home', 'a'), pins.compare('home', 'b')]).toEqual(['same', 'changed']);
  pins.delete('home');
  expect([other.get('home'), other.get('attic')]).toEqual([undefined, 'b']);
});

test('a browser that forbids storage knows its pins until the page is closed', () => {
  const pins = new Pins(() => {
    throw new DOMException('denied', 'SecurityError');
  });
  pins.set('home', 'a');
  pins.set('attic', 'b');
  expect([pins.get('home'), pins.get('attic'), pins.compare('home', 'b')]).toEqual(['a', 'b', 'changed']);
  pins.delete('home');
  expect(pins.get('home')).toBeUndefined();
});

test.each(['{', 'null', '[]', '{"home":1}', '"x"'])('stored %s counts as nothing', (text) => {
  const storage = testStorage();
  storage.setItem('direct-agent.pins', text);
  expect(new Pins(() => storage).get('home')).toBeUndefined();
});

test.each(['constructor', '__proto__', 'toString'])('a host with the id %s has no pin of its own accord', (host) => {
  const pins = new Pins(testStorage);
  expect(pins.get(host)).toBeUndefined();
});
