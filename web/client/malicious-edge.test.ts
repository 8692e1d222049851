/** An edge that lies: whatever it swaps or replays, the client notices before it uses it, and nothing goes anywhere. */
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { encodeBase64url } from '../../shared/base64url.ts';
import {
  type Announcement,
  generateHostKeys,
  type HostKeys,
  hostKeyBytes,
  signAnnouncement,
} from '../../shared/host-identity.ts';
import { Session } from '../../shared/session.ts';
import type { AnswerSignal } from '../../shared/signal.ts';
import { signAnswer } from '../../shared/signed-answer.ts';
import { type Client, type ConnectOptions, connect } from './connect.ts';
import { memoryDeviceKeys } from './device-key.ts';
import { ANSWER, OFFER, TestEdge } from './test-edge.ts';
import { failure, ORIGIN } from './test-host.ts';

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

let theirs: HostKeys;
let theirKey: string;
beforeAll(async () => {
  theirs = await generateHostKeys();
  theirKey = encodeBase64url(await hostKeyBytes(theirs));
});

function connected(edge: TestEdge, options: Partial<ConnectOptions> = {}): Client {
  return connect({ url: ORIGIN, host: 'home', token: 'owner', environment: edge.environment, ...options });
}

const keyOf = async (edge: TestEdge) => encodeBase64url(await hostKeyBytes(await edge.hostKeys));

/** The edge's own answer, with its own fingerprint in it, signed with a key that it has. */
const ownAnswer = async ({ session_id }: AnswerSignal): Promise<AnswerSignal> => {
  const sdp = 'v=0 answer of the edge';
  const answered = { hostId: 'home', sessionId: session_id, offer: OFFER, answer: sdp };
  return { session_id, type: 'answer', sdp, ...(await signAnswer(theirs, answered)) };
};
const ownAnnouncement = ({ relay_key }: Announcement): Promise<Announcement> =>
  signAnnouncement(theirs, Uint8Array.from(Buffer.from(relay_key, 'base64url')), Date.now() + HOUR);

type Tamper = (edge: TestEdge) => TestEdge['tampers'];

const ANSWERS: [what: string, code: string, tamper: Tamper][] = [
  [
    'gave the agent another offer than the client’s, with its own fingerprint',
    'E_HOST_KEY',
    (edge) => ({ answer: ({ session_id }) => edge.signedAnswer(session_id, ANSWER, 'v=0 offer of the edge') }),
  ],
  ['changes the answer', 'E_HOST_KEY', () => ({ answer: (signed) => ({ ...signed, sdp: 'v=0 answer of the edge' }) })],
  [
    'drops the signature',
    'E_HOST_KEY',
    () => ({ answer: ({ session_id, sdp }) => ({ session_id, type: 'answer', sdp }) }),
  ],
  ['drops the key', 'E_HOST_KEY', () => ({ answer: ({ host_key: _, ...rest }) => rest })],
  ['signs its own answer', 'E_HOST_KEY_CHANGED', () => ({ answer: ownAnswer })],
  [
    'says that its key had signed the answer',
    'E_HOST_KEY_CHANGED',
    () => ({ answer: (signed) => ({ ...signed, host_key: theirKey }) }),
  ],
  [
    'repeats the answer of another session',
    'E_HOST_KEY',
    (edge) => ({
      answer: async ({ session_id }) => ({ ...(await edge.signedAnswer('an-earlier-session')), session_id }),
    }),
  ],
  [
    'repeats the answer to an earlier offer of the session',
    'E_HOST_KEY',
    (edge) => ({ answer: ({ session_id }) => edge.signedAnswer(session_id, ANSWER, 'v=0 an earlier offer') }),
  ],
  [
    'gives the answer of another host, whose agent has the same key',
    'E_HOST_KEY',
    (edge) => ({
      answer: async (signed) => {
        const answered = { hostId: 'work', sessionId: signed.session_id, offer: OFFER, answer: ANSWER };
        return { ...signed, ...(await signAnswer(await edge.hostKeys, answered)) };
      },
    }),
  ],
];

const ANNOUNCEMENTS: [what: string, code: string, tamper: Tamper][] = [
  ['announces its own keys', 'E_HOST_KEY_CHANGED', () => ({ announcement: ownAnnouncement })],
  [
    'puts its own relay key into the announcement',
    'E_HOST_KEY',
    () => ({ announcement: (signed) => ({ ...signed, relay_key: 'A'.repeat(43) }) }),
  ],
  [
    'lets the relay key live longer',
    'E_HOST_KEY',
    () => ({ announcement: (signed) => ({ ...signed, expires_at: signed.expires_at + HOUR }) }),
  ],
  [
    'says that its key had signed the announcement',
    'E_HOST_KEY_CHANGED',
    () => ({ announcement: (signed) => ({ ...signed, host_key: theirKey }) }),
  ],
];

/** Nothing of what the edge sent was used, nothing is tried again, and requests fail by every way. */
async function expectStopped(edge: TestEdge, client: Client, code: string): Promise<void> {
  expect([client.error?.code, client.path, client.state]).toEqual([code, 'offline', 'failed']);
  expect(edge.connections.flatMap(({ calls }) => calls.filter((call) => call.startsWith('setRemote')))).toEqual([]);
  expect(edge.connections.every(({ connectionState }) => connectionState === 'closed')).toBe(true);
  for (const input of ['/v1/x', new Request(`${ORIGIN}/v1/y`, { keepalive: true })]) {
    const failed = await failure(client.fetch(input, { method: 'POST', body: 'a prompt' }));
    expect([failed.error.name, failed.code]).toEqual(['TypeError', code]);
  }
  const [attempts, relays] = [edge.attempts.length, edge.relays.length];
  edge.tampers = {};
  await edge.clock.advance(300 * SECOND);
  edge.wake();
  await edge.clock.advance(300 * SECOND);
  expect([edge.attempts.length, edge.relays.length]).toEqual([attempts, relays]);
  expect(edge.relays.map(({ readyState }) => readyState)).toEqual(edge.relays.map(() => 3));
  expect(edge.agent.heads).toEqual([]);
  expect(edge.requests.filter(({ path }) => path.startsWith('/v1/'))).toEqual([]);
}

describe('with a pinned key: an edge that', () => {
  test.each(ANSWERS)('%s: %s', async (_what, code, tamper) => {
    const edge = new TestEdge();
    edge.tampers = tamper(edge);
    // So that there is nothing but the answer to show what the edge is.
    edge.relayFate = 'silent';
    const client = connected(edge, { hostKey: await keyOf(edge) });
    await edge.clock.advance(SECOND);
    await expectStopped(edge, client, code);
  });

  test.each(ANNOUNCEMENTS)('%s: %s', async (_what, code, tamper) => {
    const edge = new TestEdge();
    edge.tampers = tamper(edge);
    edge.outcome = 'silence';
    const client = connected(edge, { hostKey: await keyOf(edge) });
    await edge.clock.advance(SECOND);
    expect(edge.relay.messages).toEqual([]);
    await expectStopped(edge, client, code);
  });

  test('lies to one path only ends the other one as well, with what runs on it', async () => {
    const edge = new TestEdge();
    edge.tampers = { answer: ownAnswer };
    const client = connected(edge, { hostKey: await keyOf(edge) });
    await edge.clock.advance(0);
    expect(client.path).toBe('relay');
    edge.answer = async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
    };
    const body = client.fetch('/v1/body', { method: 'POST', body: 'a prompt' }).then((response) => response.text());
    const failed = failure(body);
    await edge.clock.advance(0);
    edge.answer = () => new Promise(() => {});
    const head = failure(client.fetch('/v1/head', { method: 'POST', body: 'a prompt' }));
    await edge.clock.advance(SECOND);
    expect([(await failed).code, (await head).code]).toEqual(['E_HOST_KEY_CHANGED', 'E_HOST_KEY_CHANGED']);
    expect((await failed).error.name).toBe('TypeError');
    expect(edge.agent.ended).toBe('E_HOST_KEY_CHANGED');
    edge.agent.heads.length = 0;
    await expectStopped(edge, client, 'E_HOST_KEY_CHANGED');
  });

  test('answers a request that waits with a lie: it fails, and who looks is told', async () => {
    const edge = new TestEdge();
    edge.tampers = { announcement: ownAnnouncement };
    const client = connected(edge, { hostKey: await keyOf(edge) });
    const told: unknown[] = [];
    client.on('path', (path) => told.push(path));
    client.on('state', (state) => told.push(state));
    const waiting = failure(client.fetch('/v1/x', { method: 'POST', body: 'a prompt' }));
    await edge.clock.advance(SECOND);
    expect([(await waiting).code, await client.ready, told]).toEqual([
      'E_HOST_KEY_CHANGED',
      'offline',
      ['failed', 'offline'],
    ]);
    await expectStopped(edge, client, 'E_HOST_KEY_CHANGED');
  });
});

describe('without a pinned key: an edge that', () => {
  test.each([...ANSWERS, ...ANNOUNCEMENTS].filter(([, code]) => code === 'E_HOST_KEY'))(
    '%s: %s',
    async (_what, code, tamper) => {
      const edge = new TestEdge();
      edge.tampers = tamper(edge);
      if (edge.tampers.answer !== undefined) edge.relayFate = 'silent';
      // The honest announcement would pin the key, which is another test.
      edge.announces = edge.tampers.announcement !== undefined;
      const client = connected(edge);
      await edge.clock.advance(SECOND);
      await expectStopped(edge, client, code);
    },
  );

  test('shows one key to the relay and another one in the answer: E_HOST_KEY_CHANGED', async () => {
    for (const tampers of [{ answer: ownAnswer }, { announcement: ownAnnouncement }]) {
      const edge = new TestEdge();
      edge.tampers = tampers;
      const client = connected(edge);
      await edge.clock.advance(SECOND);
      await expectStopped(edge, client, 'E_HOST_KEY_CHANGED');
    }
  });

  test('changes the key while the client lives: E_HOST_KEY_CHANGED', async () => {
    const edge = new TestEdge();
    const client = connected(edge);
    const pinned: string[] = [];
    client.on('hostKey', (key) => pinned.push(key));
    await edge.clock.advance(SECOND);
    expect([client.path, client.hostKey, pinned]).toEqual(['direct', await keyOf(edge), [await keyOf(edge)]]);
    edge.tampers = { answer: ownAnswer };
    edge.connection.become('failed');
    await edge.clock.advance(30 * SECOND);
    expect([client.error?.code, client.path, edge.connection.calls.filter((call) => /^setRemote/.test(call))]).toEqual([
      'E_HOST_KEY_CHANGED',
      'offline',
      [],
    ]);
    expect(pinned).toHaveLength(1);
  });
});

describe('what is no lie', () => {
  test('an announcement that has expired, as after a night of the host: the relay waits for the next one', async () => {
    const edge = new TestEdge();
    const old = signAnnouncement(await edge.hostKeys, new Uint8Array(32), Date.now() - 1);
    edge.tampers = { announcement: () => old };
    const client = connected(edge, { hostKey: await keyOf(edge), webrtc: false });
    await edge.clock.advance(SECOND);
    expect([client.error?.code, client.path, edge.relay.messages]).toEqual(['E_HOST_KEY', 'tunnel', []]);
    edge.tampers = {};
    await edge.clock.advance(60 * SECOND);
    expect([client.error, client.path]).toEqual([undefined, 'relay']);
  });

  test('this device’s clock, when it is wrong: the direct path needs none', async () => {
    const edge = new TestEdge();
    const environment = { ...edge.environment, wallClock: () => Date.now() + 24 * HOUR };
    const client = connected(edge, { hostKey: await keyOf(edge), environment });
    await edge.clock.advance(SECOND);
    expect([client.path, edge.relay.messages]).toEqual(['direct', []]);
  });

  test('a relay key that the restarted agent no longer has: the next attempt brings the new one', async () => {
    const edge = new TestEdge();
    const old = (await edge.agent.keys).announcement();
    edge.restartAgent();
    edge.tampers = { announcement: () => old };
    const client = connected(edge, { hostKey: await keyOf(edge), webrtc: false });
    await edge.clock.advance(50);
    expect([client.error?.code, edge.relays.length]).toEqual(['E_PATH_LOST', 1]);
    edge.tampers = {};
    await edge.clock.advance(60 * SECOND);
    expect([client.path, client.error, client.hostKey]).toEqual(['relay', undefined, await keyOf(edge)]);
  });

  test('a code that the edge itself says: it may be tried again', async () => {
    const edge = new TestEdge();
    edge.outcome = 'E_HOST_KEY_CHANGED';
    edge.relayFate = 'E_HOST_KEY';
    const client = connected(edge, { hostKey: await keyOf(edge) });
    await edge.clock.advance(SECOND);
    expect(client.path).toBe('tunnel');
    edge.repair();
    await edge.clock.advance(60 * SECOND);
    expect(client.path).toBe('direct');
  });
});

describe('an edge that lets no path come up, so that requests would be its to read', () => {
  const BODY = { method: 'POST', body: 'a prompt' };
  const REQUESTS: [what: string, init: RequestInit][] = [
    ['a request', BODY],
    ['a request that only the platform can make', { ...BODY, keepalive: true }],
  ];
  const block = (edge: TestEdge) => {
    edge.outcome = 'E_HOST_OFFLINE';
    edge.relayFate = 'refused';
  };

  const ownKeys = (edge: TestEdge) => ({ ...edge.environment, deviceKeys: memoryDeviceKeys() });

  test.each(REQUESTS)('gets nothing of a paired device: %s', async (_, init) => {
    const edge = new TestEdge();
    const deviceKeys = memoryDeviceKeys();
    await deviceKeys.make(ORIGIN, 'home');
    block(edge);
    const environment = { ...edge.environment, deviceKeys };
    const client = connected(edge, { hostKey: await keyOf(edge), device: 'auto', environment });
    const response = failure(client.fetch('/v1/x', init));
    await edge.clock.advance(60 * SECOND);
    expect(['E_HOST_OFFLINE', 'E_PATH_LOST']).toContain((await response).code);
    expect(edge.requests.filter(({ path }) => path === '/v1/x')).toEqual([]);
    expect(client.path).toBe('offline');
    // Nor does it once nobody looks after the paths any more.
    client.close();
    await expect(client.fetch('/v1/x', init)).rejects.toThrow(TypeError);
    expect(edge.requests.filter(({ path }) => path === '/v1/x')).toEqual([]);
  });

  test('nor of one that is about to be paired, or that shows a key of its own', async () => {
    for (const device of [
      { pairing: Buffer.alloc(32, 3).toString('base64url') },
      { device: await generateHostKeys() },
    ]) {
      const edge = new TestEdge();
      block(edge);
      const client = connected(edge, { hostKey: await keyOf(edge), environment: ownKeys(edge), ...device });
      const response = failure(client.fetch('/v1/x', BODY));
      await edge.clock.advance(60 * SECOND);
      await response;
      expect(edge.requests.filter(({ path }) => path === '/v1/x')).toEqual([]);
    }
  });

  test('but a device that was never paired has the tunnel', async () => {
    const edge = new TestEdge();
    block(edge);
    const client = connected(edge, { hostKey: await keyOf(edge), device: 'auto', environment: ownKeys(edge) });
    const response = client.fetch('/v1/x', BODY);
    await edge.clock.advance(60 * SECOND);
    expect([await (await response).text(), client.path]).toEqual(['over https', 'tunnel']);
  });
});

describe('a person who is asked', () => {
  /** An edge, a client, and the answer to come. */
  async function asked(options: Partial<ConnectOptions> = {}) {
    const edge = new TestEdge();
    const answer = Promise.withResolvers<boolean>();
    const questions: string[] = [];
    const client = connected(edge, {
      confirmHostKey: ({ hostKey }) => {
        questions.push(hostKey);
        return answer.promise;
      },
      ...options,
    });
    const response = client.fetch('/v1/x', { method: 'POST', body: 'a prompt' });
    response.catch(() => {});
    return { edge, answer, questions, client, response };
  }

  test.each([[undefined], [false]] as const)('may take a minute: requests wait (webrtc: %s)', async (webrtc) => {
    const { edge, answer, questions, client, response } = await asked(webrtc === undefined ? {} : { webrtc });
    let ready = false;
    void client.ready.then(() => {
      ready = true;
    });
    await edge.clock.advance(60 * SECOND);
    edge.wake();
    await edge.clock.advance(60 * SECOND);
    expect([questions, ready, client.hostKey]).toEqual([[await keyOf(edge)], false, undefined]);
    expect([edge.agent.heads, edge.requests.filter(({ path }) => path === '/v1/x')]).toEqual([[], []]);
    // No attempt was wasted meanwhile, and none keeps a slot of the agent.
    expect([edge.attempts.length + edge.relayAttempts.length, edge.relays.length]).toEqual([1, 1]);
    answer.resolve(true);
    await edge.clock.advance(SECOND);
    expect(await (await response).text()).toBe('over the path');
    await edge.clock.advance(SECOND);
    expect([client.path, client.hostKey, client.error, questions.length]).toEqual([
      webrtc === false ? 'relay' : 'direct',
      await keyOf(edge),
      undefined,
      1,
    ]);
    expect(edge.requests.filter(({ path }) => path === '/v1/x')).toEqual([]);
  });

  test('who answers at once costs no second attempt', async () => {
    const { edge, answer, client } = await asked();
    answer.resolve(true);
    await edge.clock.advance(SECOND);
    expect([client.path, edge.attempts.length, edge.relays.length]).toEqual(['direct', 1, 1]);
  });

  test('who says no ends it: nothing goes to the host by any way', async () => {
    for (const wait of [0, 60 * SECOND]) {
      const { edge, answer, client, response } = await asked();
      await edge.clock.advance(wait);
      answer.resolve(false);
      await edge.clock.advance(SECOND);
      expect((await failure(response)).code).toBe('E_HOST_KEY_UNCONFIRMED');
      await expectStopped(edge, client, 'E_HOST_KEY_UNCONFIRMED');
    }
  });

  test('is the only one without a token, too: the direct path waits', async () => {
    const { edge, answer, client, response } = await asked({ token: undefined as never });
    await edge.clock.advance(60 * SECOND);
    expect([edge.attempts.length, edge.agent.heads]).toEqual([1, []]);
    answer.resolve(true);
    await edge.clock.advance(SECOND);
    expect([await (await response).text(), client.path]).toEqual(['over the path', 'direct']);
  });

  test('and the page that goes away, or gives up, leaves nothing', async () => {
    const { edge, answer, client, response } = await asked();
    await edge.clock.advance(60 * SECOND);
    client.close();
    await edge.clock.advance(0);
    await response;
    expect([edge.clock.pending, edge.watched, client.state]).toEqual([0, false, 'closed']);
    answer.resolve(true);
    await edge.clock.advance(60 * SECOND);
    expect([edge.attempts.length, client.hostKey]).toEqual([1, undefined]);
  });

  test('is not asked where a key is pinned', async () => {
    const edge = new TestEdge();
    const questions: unknown[] = [];
    const confirmHostKey = async (question: unknown) => questions.push(question) > 0;
    const client = connected(edge, { hostKey: await keyOf(edge), confirmHostKey });
    await edge.clock.advance(SECOND);
    expect([client.path, questions]).toEqual(['direct', []]);
  });
});

describe('a runtime without Ed25519', () => {
  test.each([[true], [false]])('has the tunnel only, and says so (pinned: %s)', async (isPinned) => {
    const edge = new TestEdge();
    const log: string[] = [];
    const client = connected(edge, {
      environment: { ...edge.environment, canVerify: async () => false },
      diagnostics: (line) => log.push(line),
      ...(isPinned ? { hostKey: await keyOf(edge) } : {}),
    });
    const response = client.fetch('/v1/x', { method: 'POST', body: 'a prompt' });
    await edge.clock.advance(300 * SECOND);
    edge.wake();
    await edge.clock.advance(300 * SECOND);
    expect(await (await response).text()).toBe('over https');
    expect([client.path, client.state, client.hostKey]).toEqual(['tunnel', 'off', undefined]);
    expect(client.error?.code).toBe(isPinned ? 'E_HOST_KEY_UNCONFIRMED' : undefined);
    expect([edge.attempts, edge.relays]).toEqual([[], []]);
    expect(log.join('\n')).toContain('cannot check the host’s key');
  });
});

test('the binding of a path is the same at both ends, and another one on each path', async () => {
  const edge = new TestEdge();
  const attach = vi.spyOn(Session.prototype, 'attach');
  const client = connected(edge, { hostKey: await keyOf(edge) });
  await edge.clock.advance(SECOND);
  expect(client.path).toBe('direct');
  const bindings = edge.agent.session?.links.map(({ kind, binding }) => [kind, binding]);
  expect(bindings?.map(([kind]) => kind)).toEqual(['relay', 'direct']);
  expect(bindings?.map(([, binding]) => binding?.length)).toEqual([32, 32]);
  expect(bindings?.[0]?.[1]).not.toEqual(bindings?.[1]?.[1]);
  expect(attach.mock.calls.map(([, { kind, binding }]) => [kind, binding])).toEqual(bindings);
  attach.mockRestore();
});
