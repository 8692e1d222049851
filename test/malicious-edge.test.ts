/**
 * The whole product with an edge that lies: a real agent, the real client with werift, and a proxy in front of the real
 * edge that changes and repeats what passes. The upstream must see nothing of it.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { RTCPeerConnection } from 'werift';
import { WebSocket } from 'ws';
import { encodeBase64url } from '../shared/base64url.ts';
import type { ErrorCode } from '../shared/errors.ts';
import {
  type Announcement,
  generateHostKeys,
  type HostKeys,
  hostKeyBytes,
  signAnnouncement,
} from '../shared/host-identity.ts';
import { signAnswer } from '../shared/signed-answer.ts';
import { type Client, type ConnectOptions, connect } from '../web/client/index.ts';
import { type Lies, MaliciousEdge, type Signal } from './malicious-edge.ts';
import { onPath } from './on-path.ts';
import { SLOW_CLOCK } from './slow-clock.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

const PATIENCE = { timeout: 20_000, interval: 20 };

let stack: Stack;
let edge: MaliciousEdge;
let hostKey: string;
/** The liar's own. */
let theirs: HostKeys;
/** Descriptions of the agent that clients have used. */
let used: string[];
const clients: Client[] = [];
/** Requests before this test. */
let before = 0;

beforeAll(async () => {
  theirs = await generateHostKeys();
  stack = await Stack.start();
  hostKey = encodeBase64url(await hostKeyBytes(stack.hostKeys));
});
afterAll(() => stack?.close());
beforeEach(async () => {
  edge = await MaliciousEdge.start(stack.edge.url);
  before = posts();
  used = [];
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  edge?.close();
});

class Watched extends RTCPeerConnection {
  override setRemoteDescription(description: Parameters<RTCPeerConnection['setRemoteDescription']>[0]) {
    used.push(`${description.type}`);
    return super.setRemoteDescription(description);
  }
}

function connected(options: Partial<ConnectOptions> = {}): Client {
  const client = connect({
    url: edge.url,
    host: HOST_ID,
    token: OWNER_TOKEN,
    hostKey,
    environment: { ...SLOW_CLOCK, RTCPeerConnection: Watched },
    ...options,
  });
  clients.push(client);
  return client;
}

/** A request that costs something. */
const ask = (client: Client) =>
  client.fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tokens-10', messages: [{ role: 'user', content: 'a secret' }] }),
  });

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'it succeeded',
    (error: Error) => `${error.name} ${(error.cause as { code?: string } | undefined)?.code}`,
  );

const posts = () => stack.fake.requests.filter(({ method }) => method === 'POST').length;
/** Requests of this test that the upstream has seen. */
const asked = () => posts() - before;

/** Another certificate than that of the end whose description it is. */
const otherFingerprint = (sdp: string) =>
  sdp.replace(/(a=fingerprint:sha-256 )\S+/g, (_, start) => `${start}${Array(32).fill('AB').join(':')}`);

/** The answer as the liar signs it. */
async function ownAnswer(signal: Signal): Promise<void> {
  const answer = otherFingerprint(String(signal.sdp));
  const answered = { hostId: HOST_ID, sessionId: String(signal.session_id), offer: 'v=0', answer };
  Object.assign(signal, { sdp: answer }, await signAnswer(theirs, answered));
}

const inAnswers = (change: (signal: Signal) => void | Promise<void>): Lies => ({
  // So that the answer alone shows what the edge is.
  relay: false,
  signal: (signal) => (signal.type === 'answer' ? change(signal) : undefined),
});

const inAnnouncements = (
  change: (announcement: Announcement) => Partial<Announcement> | Promise<Announcement>,
): Lies => ({
  session: async ({ host }) => {
    const { announcement } = host as { announcement: Announcement };
    Object.assign(announcement, await change(announcement));
  },
});

test('an edge that does not lie is believed by the same client', async () => {
  const client = connected();
  await onPath(client, 'direct');
  expect((await ask(client)).status).toBe(200);
  expect([used, asked(), edge.tunnelled, client.hostKey]).toEqual([['answer'], 1, [], hostKey]);
});

describe('an edge that, on the direct path,', () => {
  const attacks: [what: string, code: ErrorCode, lies: () => Lies][] = [
    [
      'puts its own fingerprint into the offer',
      'E_HOST_KEY',
      () => ({ relay: false, offer: (sdp) => otherFingerprint(sdp) }),
    ],
    [
      'puts its own fingerprint into the answer',
      'E_HOST_KEY',
      () => inAnswers((signal) => void Object.assign(signal, { sdp: otherFingerprint(String(signal.sdp)) })),
    ],
    ['drops the signature', 'E_HOST_KEY', () => inAnswers((signal) => void delete signal.signature)],
    ['signs an answer of its own', 'E_HOST_KEY_CHANGED', () => inAnswers(ownAnswer)],
    [
      'says that its own key has signed',
      'E_HOST_KEY_CHANGED',
      () =>
        inAnswers(async (signal) => {
          signal.host_key = encodeBase64url(await hostKeyBytes(theirs));
        }),
    ],
  ];
  test.each(attacks)('%s is refused: %s', async (_what, code, lies) => {
    edge.lies = lies();
    const client = connected();
    await expectRefused(client, code);
  });

  test('repeats the answer of an earlier session is refused: E_HOST_KEY', async () => {
    const earlier: Signal = {};
    edge.lies = inAnswers((signal) => void Object.assign(earlier, signal));
    const honest = connected();
    await onPath(honest, 'direct');
    honest.close();
    used = [];
    edge.lies = inAnswers((signal) => void Object.assign(signal, earlier, { session_id: signal.session_id }));
    await expectRefused(connected(), 'E_HOST_KEY');
  });
});

describe('an edge that, on the relay,', () => {
  const attacks: [what: string, code: ErrorCode, lies: () => Lies][] = [
    [
      'announces keys of its own',
      'E_HOST_KEY_CHANGED',
      () =>
        inAnnouncements(({ relay_key, expires_at }) =>
          signAnnouncement(theirs, Uint8Array.from(Buffer.from(relay_key, 'base64url')), expires_at),
        ),
    ],
    [
      'puts its own relay key into the announcement',
      'E_HOST_KEY',
      () => inAnnouncements(() => ({ relay_key: encodeBase64url(crypto.getRandomValues(new Uint8Array(32))) })),
    ],
    [
      'lets the announcement live longer',
      'E_HOST_KEY',
      () => inAnnouncements(({ expires_at }) => ({ expires_at: expires_at + 1 })),
    ],
  ];
  test.each(attacks)('%s is refused: %s', async (_what, code, lies) => {
    edge.lies = lies();
    const client = connected({ webrtc: false });
    // Made at once: it waits for the relay.
    expect(await codeOf(ask(client))).toBe(`TypeError ${code}`);
    await expectRefused(client, code);
    expect(edge.relays.flatMap(({ messages }) => messages)).toEqual([]);
  });
});

test('an edge with one key for the relay and another one for the answer is refused by a client that knows neither', async () => {
  edge.lies = {
    signal: async (signal) => {
      if (signal.type !== 'answer') return;
      // Else the liar's may be the key that the client knows.
      await vi.waitUntil(() => client.hostKey !== undefined, PATIENCE);
      await ownAnswerTo(signal);
    },
  };
  // The offer that the answer is to, for which the liar signs properly.
  let offer = '';
  edge.lies.offer = (sdp) => {
    offer = sdp;
    return sdp;
  };
  async function ownAnswerTo(signal: Signal): Promise<void> {
    const answered = { hostId: HOST_ID, sessionId: String(signal.session_id), offer, answer: String(signal.sdp) };
    Object.assign(signal, await signAnswer(theirs, answered));
  }
  const client = connected({ hostKey: undefined as never });
  await expectRefused(client, 'E_HOST_KEY_CHANGED');
});

test('a person who says no is obeyed', async () => {
  const client = connected({ hostKey: undefined as never, confirmHostKey: async () => false });
  expect(await codeOf(ask(client))).toBe('TypeError E_HOST_KEY_UNCONFIRMED');
  await expectRefused(client, 'E_HOST_KEY_UNCONFIRMED');
});

describe('sealed messages that the edge repeats', () => {
  test('on the same relay run nothing twice, and the client gets its answer by the next one', async () => {
    edge.lies = { relayed: (message, relay) => (relay === 0 ? [message, message] : [message]) };
    const client = connected({ webrtc: false });
    const response = await ask(client);
    expect([response.status, JSON.parse(await response.text())]).toMatchObject([200, { choices: [{}] }]);
    expect([asked(), edge.tunnelled]).toEqual([1, []]);
    await vi.waitUntil(() => edge.relays.length > 1, PATIENCE);
  });

  test('on another relay of the session, and to a restarted agent, run nothing', async () => {
    const client = connected({ webrtc: false });
    await (await ask(client)).text();
    const [recorded] = edge.relays;
    client.close();
    expect([asked(), recorded?.messages.length]).toEqual([1, expect.any(Number)]);
    for (const again of ['same agent', 'restarted agent']) {
      const answers: unknown[] = [];
      const url = `${stack.signalingUrl.replace('http', 'ws')}/relay?session_id=${recorded?.sessionId}`;
      const socket = new WebSocket(url);
      socket.on('message', (data) => answers.push(data));
      await new Promise((resolve) => socket.once('open', resolve));
      const closed = new Promise<number>((resolve) => socket.once('close', resolve));
      for (const message of recorded?.messages ?? []) socket.send(message);
      // The agent ended its channel without a word.
      expect([again, await closed, answers]).toEqual([again, 4015, []]);
      expect(asked()).toBe(1);
      await stack.stopAgent();
      await stack.startAgent();
    }
  });
});

/** The client has used nothing, stops everything, and tells why; the upstream and the tunnel have seen nothing. */
async function expectRefused(client: Client, code: ErrorCode): Promise<void> {
  await vi.waitUntil(() => client.error?.code === code, PATIENCE);
  expect(client.path).toBe('offline');
  expect(await codeOf(ask(client))).toBe(`TypeError ${code}`);
  // An attempt that went on would have come far in this time.
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect([used, asked(), edge.tunnelled]).toEqual([[], 0, []]);
}
