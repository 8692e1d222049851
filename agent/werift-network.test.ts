/**
 * What anybody on the network may send to the agent's ICE port. The worst comes with the client's own address on it:
 * that is not secret, and a datagram can have any.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type RTCPeerConnection, StunProtocol } from 'werift';
import { PATIENCE } from '../shared/test-patience.ts';
import { decodeStun } from './stun.ts';
import { garbage, handshake, kindsOfGarbage, record, stun } from './test-garbage.ts';
import { IS_NATIVE } from './test-network.ts';
import {
  iceCredentialsIn,
  makeClient,
  negotiate,
  startTestAgent,
  type TestAgent,
  type TestChannel,
} from './test-webrtc.ts';

interface Sender {
  sendData(data: Buffer, to: unknown): Promise<void>;
}

let agent: TestAgent;
let client: RTCPeerConnection;
let channel: TestChannel;
const received: Uint8Array[] = [];
const rejections: unknown[] = [];
const rejected = (reason: unknown) => void rejections.push(reason);

beforeEach(async () => {
  received.length = 0;
  rejections.length = 0;
  process.on('unhandledRejection', rejected);
  agent = await startTestAgent();
  agent.peer.path.start({ message: (message) => void received.push(message), drained: () => {}, closed: () => {} });
  client = makeClient();
});
afterEach(async () => {
  await client.close();
  agent.peer.close('the test is over');
  await agent.webRtc.close();
  process.off('unhandledRejection', rejected);
  expect(rejections).toEqual([]);
});

/** From the client's own socket, to where its checks go. */
function send(datagram: Buffer): void {
  const [ice] = client.iceTransports;
  const { nominated } = (ice?.connection ?? {}) as unknown as {
    nominated?: { protocol: Sender; remoteAddr: unknown };
  };
  void nominated?.protocol.sendData(datagram, nominated.remoteAddr);
}

async function open(): Promise<void> {
  channel = await negotiate(client, agent);
  await vi.waitUntil(() => channel.readyState === 'open', PATIENCE);
}

/** The agent has the message `text`, and all before it. */
async function arrives(text: string): Promise<void> {
  channel.send(Buffer.from(text));
  await vi.waitUntil(() => received.some((message) => Buffer.from(message).toString() === text), PATIENCE);
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

test.each(kindsOfGarbage('known').map(([name], i) => [name, i] as const))(
  'a connection outlives %s',
  async (name, i) => {
    await open();
    const { ufrag } = iceCredentialsIn(client.remoteDescription?.sdp ?? '');
    const [, datagram = Buffer.alloc(0)] = kindsOfGarbage(ufrag)[i] ?? [];
    for (let round = 0; round < 3; round++) send(datagram);
    await settle();
    await arrives(`after ${name}`);
    expect(agent.closed).toEqual([]);
  },
);

// OpenSSL ends a handshake at the first malformed record, and libdatachannel the connection with it.
test.skipIf(IS_NATIVE)('a connection is made in the midst of garbage', async () => {
  channel = await negotiate(client, agent);
  const connection = client.iceTransports[0]?.connection as unknown as {
    send(data: Buffer): Promise<void>;
  };
  const original = connection.send.bind(connection);
  // Before each datagram of the handshake: all that is malformed.
  const kinds = kindsOfGarbage('known').filter(([name]) => !/64 kB|5,000|16,000|60,000/.test(name));
  connection.send = async (data) => {
    if (channel.readyState !== 'open') for (const [, datagram] of kinds) send(datagram);
    await original(data);
  };
  await vi.waitUntil(() => channel.readyState === 'open', PATIENCE);
  await arrives('it works');
  expect(agent.closed).toEqual([]);
});

test.skipIf(IS_NATIVE)('random garbage ends nothing', async () => {
  await open();
  const { ufrag } = iceCredentialsIn(client.remoteDescription?.sdp ?? '');
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 32 - 1 }), async (seed) => {
      let left = 100;
      for (const datagram of garbage(seed, ufrag)) {
        send(datagram);
        if (--left === 0) break;
      }
      await arrives(`after ${seed} ${received.length}`);
      expect(agent.closed).toEqual([]);
    }),
    { numRuns: 20 },
  );
});

test('the parts of a handshake message may come in any order, twice and among others', async () => {
  await open();
  const dtls = client.dtlsTransports[0] as unknown as {
    dtls: { wholeHandshakes(parts: readonly object[]): { fragment: Buffer }[] };
  };
  const part = (offset: number, bytes: Buffer, sequence = 1) => ({
    msg_type: 11,
    length: 300,
    message_seq: sequence,
    fragment_offset: offset,
    fragment_length: bytes.length,
    fragment: bytes,
  });
  const whole = Buffer.from(Array.from({ length: 300 }, (_, i) => i));
  const parts = [part(200, whole.subarray(200)), part(0, whole.subarray(0, 120)), part(100, whole.subarray(100, 200))];
  const give = (given: object) => dtls.dtls.wholeHandshakes([given]);
  expect(give(parts[0] ?? {})).toEqual([]);
  expect(give(part(0, Buffer.alloc(150, 9), 2))).toEqual([]);
  expect(give(parts[0] ?? {})).toEqual([]);
  expect(give(parts[1] ?? {})).toEqual([]);
  expect(give(parts[2] ?? {}).map(({ fragment }) => fragment.equals(whole))).toEqual([true]);
});

test('a flood of ClientHello is answered once in a while', async () => {
  await open();
  let heard = 0;
  const connection = client.iceTransports[0]?.connection as unknown as {
    onData: { subscribe(listener: (data: Buffer) => void): void };
  };
  connection.onData.subscribe(() => heard++);
  for (let i = 0; i < 200; i++)
    send(record(22, 0, handshake({ type: 1, sequence: i }, Buffer.alloc(80)), undefined, i));
  await settle();
  expect(heard).toBeLessThan(20);
  await arrives('it lives');
});

test('an address of 60,000 bytes costs werift no more than its length', () => {
  const concat = vi.spyOn(Buffer, 'concat');
  const attribute = Buffer.alloc(60_004);
  attribute.writeUInt16BE(0x20, 0);
  attribute.writeUInt16BE(60_000, 2);
  const protocol = new StunProtocol() as unknown as { datagramReceived(data: Buffer, from: [string, number]): void };
  protocol.datagramReceived(stun(0x11, attribute), ['127.0.0.1', 9]);
  expect(concat.mock.calls.length).toBeLessThan(10);
  concat.mockRestore();
});

test('any STUN bytes are read in time that follows their length, and nothing is thrown', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0x3fff }),
      fc.uint8Array({ maxLength: 200 }),
      fc.integer(),
      (type, body, lie) => {
        const bytes = Buffer.from(body);
        decodeStun(stun(type, bytes));
        decodeStun(stun(type, bytes, lie));
      },
    ),
    { numRuns: 2_000 },
  );
  expect(decodeStun(stun(1, Buffer.alloc(64_000)))).toBeUndefined();
});

// libdatachannel is silent about an OPEN where a channel is.
test.skipIf(IS_NATIVE)(
  'a client that opens a data channel of its own is closed, and told apart from one that closes',
  async () => {
    await open();
    client.createDataChannel('mine');
    await vi.waitUntil(() => agent.closed.length > 0, PATIENCE);
    expect(agent.closed).toEqual(['the client has opened another data channel']);
  },
);

// usrsctp drops it.
test.skipIf(IS_NATIVE)('a client that sends a message without end is closed, with what it did', async () => {
  await open();
  const sctp = client.sctpTransport?.sctp as unknown as {
    enqueue(stream: number, protocol: number, message: Buffer, options: { ordered: boolean }): void;
  };
  sctp.enqueue(5, 53, Buffer.alloc(70_000), { ordered: true });
  await vi.waitUntil(() => agent.closed.length > 0, PATIENCE);
  expect(agent.closed).toEqual(['the client broke SCTP: a message over the greatest size']);
});

test.each([
  ['sctp-port:0', /sctp-port:\d+/],
  ['sctp-port:70000', /sctp-port:\d+/],
  ['sctp-port:-1', /sctp-port:\d+/],
  ['sctp-port:x', /sctp-port:\d+/],
  ['x:none', /sctp-port:\d+/],
  ['max-message-size:-5', /max-message-size:\d+/],
  ['max-message-size:x', /max-message-size:\d+/],
  ['max-message-size:99999999999999999999', /max-message-size:\d+/],
])('an offer with %s harms nobody', async (line, what) => {
  const answer = agent.peer.answer.bind(agent.peer);
  agent.peer.answer = (sdp) => answer(sdp.replace(what, line));
  await negotiate(client, agent).catch(() => {});
  await vi
    .waitUntil(() => agent.steps.includes('DTLS handshake complete') || agent.closed.length > 0, { timeout: 1_000 })
    .catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 200));
  // What matters comes after each test: no rejection is left over, and everything can be closed.
});
