/** What every TURN provider does, whoever it is; and then what is each one's own. */
import { describe, expect, it } from 'vitest';
import { hasTurn } from '../ice-servers.ts';
import { cloudflareTurn } from './cloudflare.ts';
import { coturnTurn } from './coturn.ts';
import { meteredTurn } from './metered.ts';
import { inTime, type MintRequest, PROVIDER_TIMEOUT_MS, type TurnProvider, type TurnWorld } from './provider.ts';
import { API_KEY, cloudflareAnswer, KEY_ID, meteredServers, SECRET, SECRETS, TOKEN, TurnApi } from './test-turn-api.ts';

const NOW = 1_795_228_800_123;

/** A world whose clock the test moves. */
class TestWorld implements TurnWorld {
  readonly api = new TurnApi();
  readonly fetch = this.api.fetch;
  #now = NOW;
  #timers: { at: number; run: () => void }[] = [];

  now = () => this.#now;

  timer = (ms: number, run: () => void) => {
    const timer = { at: this.#now + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  pass(ms: number): void {
    this.#now += ms;
    for (const timer of this.#timers) if (timer.at <= this.#now) timer.run();
  }

  get pending(): number {
    return this.#timers.length;
  }
}

interface Case {
  name: string;
  make(world: TurnWorld): TurnProvider;
  /** Of those that are asked over the network: its answer when all is well, and how to say something else. */
  network?: {
    status: number;
    /** The answer with these servers. */
    body(servers: unknown): unknown;
    set(world: TestWorld, answer: TurnApi['cloudflare']): void;
    servers(): unknown[];
  };
  expires: boolean;
}

const CASES: Case[] = [
  {
    name: 'cloudflare',
    make: (world) => cloudflareTurn({ keyId: KEY_ID, token: TOKEN }, world),
    network: {
      status: 201,
      body: (iceServers) => ({ iceServers }),
      set: ({ api }, answer) => {
        api.cloudflare = answer;
      },
      servers: () => cloudflareAnswer('user').iceServers,
    },
    expires: true,
  },
  {
    name: 'metered',
    make: (world) => meteredTurn({ app: 'my-app', apiKey: API_KEY, region: 'europe' }, world),
    network: {
      status: 200,
      body: (servers) => servers,
      set: ({ api }, answer) => {
        api.metered = answer;
      },
      servers: meteredServers,
    },
    expires: false,
  },
  {
    name: 'coturn',
    make: (world) =>
      coturnTurn({ urls: ['turn:turn.example:3478?transport=udp', 'turns:turn.example:5349'], secret: SECRET }, world),
    expires: true,
  },
];

const ask = (world: TestWorld, provider: TurnProvider, request: Partial<MintRequest> = {}) =>
  inTime(world, (signal) => provider.mint({ ttlSeconds: 3600, user: 'Ab-_1234', signal, ...request }));

/** What a failing call said, all of it. */
async function failure(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    expect(error.name).toBe('TurnFailure');
    expect(error.cause).toBeUndefined();
    for (const secret of SECRETS)
      expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain(secret);
    return error.message;
  }
  throw new Error('it did not fail');
}

describe.each(CASES)('$name', ({ name, make, network, expires }) => {
  it('makes a credential for TURN, without URLs that browsers block and without its key', async () => {
    const world = new TestWorld();
    const made = await ask(world, make(world));
    expect(hasTurn(made.servers)).toBe(true);
    const urls = made.servers.flatMap((server) => server.urls);
    expect(urls.filter((url) => /:53(\?|$)/.test(url))).toEqual([]);
    expect(urls).toContainEqual(expect.stringMatching(/^turns:/));
    for (const { urls, username, credential } of made.servers) {
      const isTurn = urls.some((url) => url.startsWith('turn'));
      expect([username !== undefined, credential !== undefined]).toEqual([isTurn, isTurn]);
    }
    for (const secret of SECRETS) expect(JSON.stringify(made)).not.toContain(secret);
    expect(world.pending).toBe(0);
    expect(make(world).name).toBe(name);
  });

  it.each([1, 5, 3600, 172_800])(
    'says when a credential of %i s ends, or that it does not know',
    async (ttlSeconds) => {
      const world = new TestWorld();
      const { expiresAt } = await ask(world, make(world), { ttlSeconds });
      if (!expires) return expect(expiresAt).toBeUndefined();
      // Never later than it ends: user names of coturn have whole seconds.
      expect(expiresAt).toBeGreaterThan(NOW + (ttlSeconds - 1) * 1000);
      expect(expiresAt).toBeLessThanOrEqual(NOW + ttlSeconds * 1000);
    },
  );

  if (network === undefined) {
    it('asks nobody', async () => {
      const world = new TestWorld();
      await ask(world, make(world));
      expect(world.api.asked).toEqual([]);
    });
    return;
  }

  const { status, body, set, servers } = network;
  const answering = (answer: () => Response | Promise<Response>) => {
    const world = new TestWorld();
    set(world, answer);
    return { world, call: () => ask(world, make(world)) };
  };
  const json = (value: unknown, init = { status }) => Response.json(value, init);

  it.each<[string, () => Response]>([
    ['no JSON', () => new Response('<html>', { status })],
    ['no UTF-8', () => new Response(new Uint8Array([0x22, 0xff, 0x22]), { status })],
    ['nothing', () => new Response(null, { status })],
    ['null', () => json(null)],
    ['another shape', () => json({ servers: 'many' })],
    ['a server that is none', () => json(body([...servers(), 'turn:turn.example']))],
    ['a server without URLs', () => json(body([...servers(), { urls: [] }]))],
    ['a URL of another kind', () => json(body([...servers(), { urls: 'https://turn.example' }]))],
    ['TURN without a credential', () => json(body([...servers(), { urls: 'turn:turn.example' }]))],
    ['too many servers', () => json(body(Array.from({ length: 17 }, () => servers()[0])))],
    ['a list that is too long', () => json(body([...servers(), ...longServers()]))],
    ['a huge body', () => json(body([...servers(), { urls: 'stun:s.example', pad: 'x'.repeat(20_000) }]))],
  ])('fails at an answer with %s', async (_name, answer) => {
    const { call } = answering(answer);
    expect(await failure(call())).toBe('unreadable answer');
  });

  it.each<[string, unknown[]]>([
    ['no servers', []],
    ['STUN alone', [{ urls: 'stun:s.example' }]],
    ['TURN on a blocked port alone', [{ urls: 'turn:t.example:53', username: 'u', credential: 'c' }]],
  ])('fails at %s', async (_name, list) => {
    const { call } = answering(() => json(body(list)));
    expect(await failure(call())).toBe('no TURN server in the answer');
  });

  it('reads no more of a body than it must, and does not wait for the rest', async () => {
    let sent = 0;
    let cancelled = false;
    const endless = () =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          sent += 4096;
          controller.enqueue(new Uint8Array(4096).fill(0x20));
        },
        cancel() {
          cancelled = true;
        },
      });
    const { call } = answering(() => new Response(endless(), { status }));
    expect(await failure(call())).toBe('unreadable answer');
    expect(sent).toBeLessThan(40_000);
    expect(cancelled).toBe(true);
  });

  it.each([200, 201, 204, 400, 401, 403, 404, 429, 500, 503].filter((other) => other !== status))(
    'fails at status %i, whatever its body',
    async (other) => {
      const answer = () =>
        other === 204 ? new Response(null, { status: other }) : json(body(servers()), { status: other });
      expect(await failure(answering(answer).call())).toBe(`HTTP ${other}`);
    },
  );

  it('follows no redirect, which would take the key along', async () => {
    const { world, call } = answering(
      () => new Response(null, { status: 307, headers: { Location: 'https://evil.example/' } }),
    );
    expect(await failure(call())).toBe('HTTP 307');
    expect(world.api.asked.map(({ redirect }) => redirect)).toEqual(['manual']);
  });

  it('says nothing of the error behind a network that fails', async () => {
    const { world, call } = answering(() =>
      Promise.reject(new Error(`no route to ${world.api.asked[0]?.url} ${TOKEN}`)),
    );
    expect(await failure(call())).toBe('not reachable');
  });

  it.each<[string, (asked: { signal: AbortSignal | null | undefined }) => Promise<Response>]>([
    ['does not answer', () => new Promise(() => {})],
    ['ends with the request', ({ signal }) => new Promise((_, reject) => signal?.addEventListener('abort', reject))],
    [
      'sends half an answer',
      async () => new Response(new ReadableStream({ start: (c) => c.enqueue(new Uint8Array([0x5b])) }), { status }),
    ],
  ])('gives up on one that %s', async (_name, answer) => {
    const world = new TestWorld();
    set(world, answer);
    const failed = failure(ask(world, make(world)));
    let over = false;
    void failed.then(() => {
      over = true;
    });
    world.pass(PROVIDER_TIMEOUT_MS - 1);
    await new Promise((resolve) => setTimeout(resolve));
    expect(over).toBe(false);
    world.pass(1);
    expect(await failed).toBe('timed out');
    expect(world.api.asked[0]?.signal?.aborted).toBe(true);
    expect(world.pending).toBe(0);
  });

  it('shows its key to its own server alone, over TLS', async () => {
    const world = new TestWorld();
    await ask(world, make(world));
    const hosts = world.api.asked
      .map(({ url }) => new URL(url))
      .map(({ protocol, hostname }) => `${protocol}//${hostname}`);
    expect(hosts).toEqual([name === 'cloudflare' ? 'https://rtc.live.cloudflare.com' : 'https://my-app.metered.live']);
  });
});

describe.each(CASES.filter(({ make }) => make(new TestWorld()).revoke !== undefined))('$name revokes', ({ make }) => {
  const revoke = (world: TestWorld, username: string) =>
    inTime(world, async (signal) => make(world).revoke?.(username, signal));

  it('what it made', async () => {
    const world = new TestWorld();
    const { usernames, servers } = await ask(world, make(world));
    expect(usernames).toEqual([...new Set(servers.flatMap(({ username }) => username ?? []))]);
    expect(usernames.length).toBeGreaterThan(0);
    for (const username of usernames) await revoke(world, username);
    expect(world.api.revoked).toEqual(usernames);
  });

  it.each([
    ['HTTP 500', () => new Response('no', { status: 500 })],
    ['HTTP 302', () => new Response(null, { status: 302, headers: { Location: 'https://evil.example' } })],
    ['not reachable', () => Promise.reject(new Error(TOKEN))],
  ])('or says that it could not: %s', async (reason, answer) => {
    const world = new TestWorld();
    world.api.cloudflare = answer;
    expect(await failure(revoke(world, 'user'))).toBe(reason);
  });

  it('or gives up in time', async () => {
    const world = new TestWorld();
    world.api.cloudflare = () => new Promise(() => {});
    const failed = failure(revoke(world, 'user'));
    world.pass(PROVIDER_TIMEOUT_MS);
    expect(await failed).toBe('timed out');
  });
});

it('Cloudflare is asked for as long as it allows, by its key', async () => {
  const world = new TestWorld();
  const provider = cloudflareTurn({ keyId: KEY_ID, token: TOKEN }, world);
  const { expiresAt } = await ask(world, provider, { ttlSeconds: 999_999 });
  expect(expiresAt).toBe(NOW + 172_800_000);
  expect(world.api.asked).toMatchObject([
    {
      method: 'POST',
      url: `https://rtc.live.cloudflare.com/v1/turn/keys/${KEY_ID}/credentials/generate-ice-servers`,
      authorization: `Bearer ${TOKEN}`,
      body: '{"ttl":172800}',
    },
  ]);
});

it('Metered is asked for the region', async () => {
  const world = new TestWorld();
  await ask(world, meteredTurn({ app: 'my-app', apiKey: 'a&b=c', region: 'europe' }, world));
  expect(world.api.asked[0]?.url).toBe(
    'https://my-app.metered.live/api/v1/turn/credentials?apiKey=a%26b%3Dc&region=europe',
  );
});

it('coturn gets the user name that it can check', async () => {
  const world = new TestWorld();
  const urls = ['turn:turn.example:3478'];
  const { servers } = await ask(world, coturnTurn({ urls, secret: 'secret' }, world), { ttlSeconds: 60, user: 'user' });
  // printf 1795228860:user | openssl dgst -sha1 -hmac secret -binary | base64
  expect(servers).toEqual([{ urls, username: '1795228860:user', credential: 'xD53HtfkJvKnNlWTWi0foSjBGdE=' }]);
});

/** Over 8 kB, each part within its own limit. */
function longServers() {
  const urls = Array.from({ length: 16 }, (_, n) => `turn:${`${n}`.padStart(500, 'a')}.example`.slice(0, 511));
  return [{ urls, username: 'u'.repeat(512), credential: 'c'.repeat(512) }];
}
