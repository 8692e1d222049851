import { expect, it } from 'vitest';
import { mintFirst } from './minting.ts';
import { type Minted, PROVIDER_TIMEOUT_MS, TurnFailure, type TurnProvider, type TurnSource } from './provider.ts';

const NOW = 1_000_000_000;
const SERVERS = [{ urls: ['turn:t.example'], username: 'u', credential: 'c' }];

/** A world where no time passes but that of a time-out that is waited for. */
const world = {
  fetch: () => Promise.reject(new Error('no network here')),
  now: () => NOW,
  timer: (_ms: number, run: () => void) => {
    const timer = setTimeout(run, 5);
    return () => clearTimeout(timer);
  },
};

const provider = (name: TurnSource, mint: () => Promise<Minted>): TurnProvider => ({ name, mint });
const good = (name: TurnSource, lifeMs = 3_600_000) =>
  provider(name, () => Promise.resolve({ servers: SERVERS, expiresAt: NOW + lifeMs, usernames: ['u'] }));
const failing = (name: TurnSource) => provider(name, () => Promise.reject(new TurnFailure('HTTP 401')));
const silent = (name: TurnSource) => provider(name, () => new Promise(() => {}));
const broken = (name: TurnSource) => provider(name, () => Promise.reject(new Error('a key of ours')));

const mint = (providers: TurnProvider[], ttlSeconds = 3600) => {
  const configurations = providers.map(({ name }) => ({ source: name, id: `id of ${name}` }));
  return mintFirst(providers, configurations, { subject: 'owner', user: 'user', ttlSeconds }, world);
};

it('takes the first provider, and asks no other', async () => {
  const never = provider('metered', () => {
    throw new Error('nobody asks');
  });
  expect(await mint([good('cloudflare'), never])).toEqual({
    subject: 'owner',
    failures: [],
    minted: {
      configuration: { source: 'cloudflare', id: 'id of cloudflare' },
      servers: SERVERS,
      usernames: ['u'],
      expiresAt: NOW + 3_600_000,
      renewAt: NOW + 3_600_000 - 300_000,
    },
  });
});

it('passes over those that fail or are slow, and says why', async () => {
  const { failures, minted } = await mint([silent('cloudflare'), failing('metered'), good('coturn')]);
  expect(failures).toEqual([
    { configuration: { source: 'cloudflare', id: 'id of cloudflare' }, reason: 'timed out' },
    { configuration: { source: 'metered', id: 'id of metered' }, reason: 'HTTP 401' },
  ]);
  expect(minted?.configuration.source).toBe('coturn');
});

it('has nothing when none serves, and says nothing of an error that it does not know', async () => {
  const { failures, minted } = await mint([failing('cloudflare'), broken('metered')]);
  expect(minted).toBeUndefined();
  expect(failures.map(({ reason }) => reason)).toEqual(['HTTP 401', 'failed']);
});

it.each([
  // Without five minutes of a long life, or two fifths of a short one.
  ['172,800 s', 172_800_000, 172_500_000],
  ['an hour', 3_600_000, 3_300_000],
  ['15 minutes', 900_000, 600_000],
  ['a minute', 60_000, 36_000],
  ['5 s', 5_000, 3_000],
  ['1 s', 1_000, 600],
])('hands a credential of %s out for so long that enough of it is left', async (_name, lifeMs, forMs) => {
  const { minted } = await mint([good('cloudflare', lifeMs)], lifeMs / 1000);
  expect((minted?.renewAt ?? 0) - NOW).toBe(forMs);
});

it('asks again in time for one whose end nobody knows', async () => {
  const endless = provider('metered', () => Promise.resolve({ servers: SERVERS, usernames: [] }));
  const { minted } = await mint([endless], 1800);
  expect(minted).toMatchObject({ expiresAt: null, renewAt: NOW + 1_800_000 });
});

it('does not stay with the second choice for long', async () => {
  const { minted } = await mint([failing('cloudflare'), good('coturn')]);
  expect(minted).toMatchObject({ expiresAt: NOW + 3_600_000, renewAt: NOW + 300_000 });
});

it('waits for two seconds at most', async () => {
  const waits: number[] = [];
  const timed = {
    ...world,
    timer: (ms: number, run: () => void) => {
      waits.push(ms);
      return world.timer(ms, run);
    },
  };
  const configuration = { source: 'cloudflare', id: 'id' } as const;
  const asked = { subject: 'owner', user: 'user', ttlSeconds: 60 };
  expect(await mintFirst([silent('cloudflare')], [configuration], asked, timed)).toEqual({
    subject: 'owner',
    failures: [{ configuration, reason: 'timed out' }],
  });
  expect(waits).toEqual([PROVIDER_TIMEOUT_MS]);
  expect(PROVIDER_TIMEOUT_MS).toBe(2000);
});
