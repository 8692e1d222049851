import { describe, expect, test } from 'vitest';
import { TestClock } from '../shared/test-clock.ts';
import type { LocalServer } from './discovery.ts';
import { Upstreams, type UpstreamsOptions } from './upstreams.ts';

const OLLAMA = 'http://127.0.0.1:11434';
const OTHER = 'http://127.0.0.1:11435';
const VLLM = 'http://127.0.0.1:8000';
const server = (kind: LocalServer['kind'], url: string, models: string[] = ['m'], needsKey = false): LocalServer => {
  return { kind, name: kind.toUpperCase(), url, models, needsKey };
};

/** Machines, of which the test says what listens where. */
function rig(options: Partial<UpstreamsOptions> = {}) {
  const clock = new TestClock();
  const listening = new Map<string, LocalServer | 'something else'>();
  /** What was done, in order. */
  const asked: string[] = [];
  const log: string[] = [];
  let news = 0;
  const upstreams = new Upstreams({
    servers: [],
    accepts: async (url) => {
      asked.push(`connect ${url}`);
      return listening.has(url);
    },
    identify: async (url) => {
      asked.push(`identify ${url}`);
      const found = listening.get(url);
      return found === 'something else' ? undefined : found;
    },
    list: async (url, own) => {
      asked.push(`list ${url} ${JSON.stringify(own)}`);
      const found = listening.get(url);
      if (typeof found !== 'object' || (found.needsKey && own.authorization !== 'right')) return undefined;
      return found.models.map((id) => ({ id, object: 'model' }));
    },
    changed: () => {
      news += 1;
    },
    log: (level, line) => log.push(`${level} ${line}`),
    now: clock.now,
    timer: clock.timer,
    ...options,
  });
  const shown = () => upstreams.known.map(({ name, isUp, models }) => `${name} ${isUp ? 'up' : 'down'} ${models}`);
  return { clock, listening, asked, log, upstreams, shown, news: () => news };
}

describe('a server', () => {
  test('that starts later is noticed within 5 s, and so is its end; the edge hears of both once', async () => {
    const { clock, listening, upstreams, shown, log, news, asked } = rig({ candidates: [OLLAMA, VLLM] });
    upstreams.start();
    await clock.advance(10_000);
    expect([shown(), news()]).toEqual([[], 0]);
    // Quiet: nobody was asked anything.
    expect(asked.every((what) => what.startsWith('connect'))).toBe(true);
    listening.set(OLLAMA, server('ollama', OLLAMA, ['a', 'b']));
    listening.set(VLLM, server('vllm', VLLM));
    await clock.advance(5_000);
    expect([shown(), news()]).toEqual([['ollama up a,b', 'vllm up m'], 1]);
    listening.delete(OLLAMA);
    await clock.advance(5_000);
    expect([shown(), news()]).toEqual([['vllm up m', 'ollama down a,b'], 2]);
    expect(upstreams.servers.map(({ name }) => name)).toEqual(['VLLM']);
    expect(log).toEqual([
      `info upstream: OLLAMA at ${OLLAMA} is up (2 models)`,
      `info upstream: VLLM at ${VLLM} is up (1 model)`,
      `warn upstream: OLLAMA at ${OLLAMA} is down`,
    ]);
    listening.set(OLLAMA, server('ollama', OLLAMA, ['c']));
    await clock.advance(5_000);
    expect([shown(), news()]).toEqual([['ollama up c', 'vllm up m'], 3]);
    upstreams.close();
    expect(clock.pending).toBe(0);
  });

  test('that is up is connected to, and asked nothing', async () => {
    const { clock, listening, upstreams, asked } = rig({ servers: [server('ollama', OLLAMA)] });
    listening.set(OLLAMA, server('ollama', OLLAMA));
    upstreams.start();
    await clock.advance(60_000);
    expect(new Set(asked)).toEqual(new Set([`connect ${OLLAMA}`]));
    expect(asked.length).toBeLessThan(25);
  });

  test('of another kind is asked a few times what it is, and again only after it was gone', async () => {
    const { clock, listening, upstreams, asked, shown } = rig({ candidates: [VLLM] });
    listening.set(VLLM, 'something else');
    upstreams.start();
    await clock.advance(600_000);
    const times = () => asked.filter((what) => what.startsWith('identify')).length;
    expect(times()).toBe(5);
    listening.delete(VLLM);
    await clock.advance(5_000);
    listening.set(VLLM, server('vllm', VLLM));
    await clock.advance(5_000);
    expect([times(), shown()]).toEqual([6, ['vllm up m']]);
  });

  test('that a request did not find is down at once, and up again when it is', async () => {
    const { clock, listening, upstreams, shown, news } = rig({ servers: [server('ollama', OLLAMA)] });
    const [ollama] = upstreams.known;
    if (ollama === undefined) throw new Error('no server');
    upstreams.failed(ollama);
    expect(shown()).toEqual(['ollama down m']);
    await clock.advance(1_000);
    expect(news()).toBe(1);
    listening.set(OLLAMA, server('ollama', OLLAMA));
    upstreams.start();
    await clock.advance(5_000);
    expect(shown()).toEqual(['ollama up m']);
  });

  test('that was found and has been gone for ten minutes is forgotten, one that was configured is not', async () => {
    const options = {
      configured: [VLLM],
      candidates: [OLLAMA],
      servers: [server('vllm', VLLM), server('ollama', OLLAMA)],
    };
    const { clock, upstreams, shown } = rig(options);
    upstreams.start();
    await clock.advance(9 * 60_000);
    expect(shown()).toEqual(['vllm down m', 'ollama down m']);
    await clock.advance(2 * 60_000);
    expect(shown()).toEqual(['vllm down m']);
    expect((await upstreams.ready()).length).toBe(1);
  });

  test('that nobody recognises is one all the same, if the user names it', async () => {
    const { clock, listening, upstreams, shown } = rig({ configured: [VLLM], names: { [VLLM]: 'gpu' } });
    listening.set(VLLM, 'something else');
    upstreams.start();
    await clock.advance(5_000);
    expect(shown()).toEqual(['gpu up ']);
    listening.set(VLLM, server('vllm', VLLM));
    await clock.advance(120_000);
    expect(shown()).toEqual(['gpu up m']);
  });
});

describe('names', () => {
  test('are by kind, numbered as they come, and kept', async () => {
    const { clock, listening, upstreams, shown } = rig({ candidates: [OTHER, OLLAMA, VLLM] });
    upstreams.start();
    listening.set(OLLAMA, server('ollama', OLLAMA));
    await clock.advance(5_000);
    listening.set(OTHER, server('ollama', OTHER));
    await clock.advance(5_000);
    // The order is that of the places, whoever came first.
    expect(shown()).toEqual(['ollama-2 up m', 'ollama up m']);
    listening.clear();
    await clock.advance(20 * 60_000);
    listening.set(OTHER, server('ollama', OTHER));
    await clock.advance(5_000);
    expect(shown()).toEqual(['ollama-2 up m']);
    const { running, waiting, name } = upstreams.reports(() => ({ running: 1, waiting: 2 }))[0] ?? {};
    expect([running, waiting, name]).toEqual([1, 2, 'OLLAMA']);
  });

  test('of the user come before the kinds’, and so does the user’s order', () => {
    const { shown, upstreams } = rig({
      servers: [server('ollama', OLLAMA), server('ollama', OTHER), server('vllm', VLLM)],
      configured: [VLLM, OTHER, OLLAMA],
      names: { [OTHER]: 'ollama' },
    });
    expect(shown()).toEqual(['vllm up m', 'ollama up m', 'ollama-2 up m']);
    expect(upstreams.reports(() => ({ running: 0, waiting: 0 })).map(({ name }) => name)).toEqual([
      'VLLM',
      'OLLAMA (ollama)',
      'OLLAMA (ollama-2)',
    ]);
  });
});

describe('header fields', () => {
  const headers = { any: { authorization: 'right' }, of: {} };

  test('that are for nobody by name go to the only server, or to the only one that asks for a key', () => {
    const of = (...servers: LocalServer[]) => {
      const { upstreams } = rig({ servers, headers });
      return upstreams.known.map((known) => [known.name, upstreams.headersOf(known).authorization]);
    };
    expect(of(server('ollama', OLLAMA))).toEqual([['ollama', 'right']]);
    expect(of(server('ollama', OLLAMA), server('vllm', VLLM))).toEqual([
      ['ollama', undefined],
      ['vllm', undefined],
    ]);
    expect(of(server('ollama', OLLAMA), server('vllm', VLLM, [], true))).toEqual([
      ['ollama', undefined],
      ['vllm', 'right'],
    ]);
    expect(of(server('vllm', OTHER, [], true), server('vllm', VLLM, [], true))).toEqual([
      ['vllm', undefined],
      ['vllm-2', undefined],
    ]);
  });

  test('of one server go there alone, and let its models be listed', async () => {
    const { clock, listening, upstreams, shown, asked } = rig({
      candidates: [OLLAMA, VLLM],
      headers: { any: {}, of: { vllm: { authorization: 'right' } } },
    });
    listening.set(OLLAMA, server('ollama', OLLAMA));
    listening.set(VLLM, server('vllm', VLLM, ['secret'], true));
    upstreams.start();
    await clock.advance(5_000);
    expect(shown()).toEqual(['ollama up m', 'vllm up secret']);
    await clock.advance(5_000);
    await upstreams.refresh();
    expect(new Set(asked.filter((what) => what.startsWith('list')))).toEqual(
      new Set([`list ${OLLAMA} {}`, `list ${VLLM} {"authorization":"right"}`]),
    );
  });
});

test('lists are asked for again when a client asks, and not for each one', async () => {
  const { clock, listening, upstreams, shown, asked, news } = rig({
    candidates: [VLLM],
    servers: [server('ollama', OLLAMA)],
  });
  listening.set(OLLAMA, server('ollama', OLLAMA, ['m', 'new']));
  await clock.advance(10_000);
  await Promise.all([upstreams.refresh(), upstreams.refresh()]);
  await upstreams.refresh();
  expect(asked.filter((what) => what.startsWith('list')).length).toBe(1);
  expect(shown()).toEqual(['ollama up m,new']);
  // A request may be for a server that has just started.
  listening.set(VLLM, server('vllm', VLLM));
  await clock.advance(3_000);
  await upstreams.refresh();
  expect(shown()).toEqual(['ollama up m,new', 'vllm up m']);
  await clock.advance(1_000);
  expect(news()).toBeGreaterThan(0);
});

test('without any server a request searches, and not more often than every two seconds', async () => {
  let searches = 0;
  const { clock, upstreams, news } = rig({
    search: async () => (++searches < 2 ? [] : [server('ollama', OLLAMA)]),
  });
  await clock.advance(1);
  expect(await upstreams.ready()).toEqual([]);
  expect(await upstreams.ready()).toEqual([]);
  expect(searches).toBe(1);
  await clock.advance(2_000);
  expect((await upstreams.ready()).map(({ name }) => name)).toEqual(['ollama']);
  await clock.advance(1_000);
  expect([searches, news()]).toEqual([2, 1]);
});
