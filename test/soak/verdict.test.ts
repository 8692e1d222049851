import { expect, test } from 'vitest';
import type { Held } from './agent.ts';
import { verdictOf } from './verdict.ts';

const hour = (more: Partial<Held> = {}): Held => ({
  heapUsed: 40e6,
  heapTotal: 50e6,
  external: 12e6,
  arrayBuffers: 1e6,
  rss: 250e6,
  timers: 20,
  children: 0,
  delayP99: 10,
  delayMax: 20,
  resources: {},
  descriptors: { udp: 3, tcp: 2 },
  ...more,
});
const day = (change: (index: number) => Partial<Held>) => Array.from({ length: 24 }, (_, index) => hour(change(index)));

test('a flat day has no problems', () => {
  expect(verdictOf(day(() => ({}))).problems).toEqual([]);
});

test('descriptors that are there after some hours only have not leaked', () => {
  const sleeps = new Set([12, 17, 23]);
  expect(verdictOf(day((i) => ({ descriptors: { udp: 3, tcp: sleeps.has(i) ? 5 : 2 } }))).problems).toEqual([]);
});

test.each<[what: string, change: (index: number) => Partial<Held>]>([
  ['more descriptors (tcp): 1 is over 0', (i) => ({ descriptors: { udp: 3, tcp: i > 15 ? 3 : 2 } })],
  ['more descriptors (pipe): 1 is over 0', (i) => ({ descriptors: { udp: 3, tcp: 2, ...(i > 15 && { pipe: 1 }) } })],
  ['growth of buffers: 20000000 is over 4000000', (i) => ({ external: 12e6 + i * 1e6 })],
  ['growth of RSS: 60000000 is over 40000000', (i) => ({ rss: 250e6 + i * 3e6 })],
  ['more timers: 40 is over 20', (i) => ({ timers: 20 + 2 * i })],
  ['children: 1 is over 0', () => ({ children: 1 })],
])('%s', (problem, change) => {
  expect(verdictOf(day(change)).problems).toEqual([problem]);
});

test('a heap that grows by a session every hour is noticed', () => {
  const { problems } = verdictOf(day((i) => ({ heapUsed: 40e6 + i * 160_000 })));
  expect(problems).toEqual(['heap, bytes an hour: 160000 is over 150000']);
});
