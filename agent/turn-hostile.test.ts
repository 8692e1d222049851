/** What a hostile TURN server, or whoever sends to a relayed address, can and cannot do. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { IceServer } from '../shared/signal.ts';
import type { Endpoint } from './datagram.ts';
import type { TurnEntry } from './ice-urls.ts';
import {
  ATTRIBUTE,
  decodeStun,
  encodeStun,
  encodeXorAddress,
  METHOD,
  type StunContent,
  type StunMessage,
  uint32,
  withFingerprint,
} from './stun.ts';
import { anyOffer, iceCredentialsIn, startTestAgent } from './test-webrtc.ts';
import { openCarrier } from './turn-carrier.ts';
import { acceptsAlternate, raceAllocations, type WonAllocation } from './turn-race.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanup.splice(0).reverse()) await clean();
});

type Answer = Pick<StunContent, 'class' | 'attributes'>;

interface TestServer {
  port: number;
  /** Methods of requests. */
  methods: number[];
  /** As if `peer` had sent it to the relayed address. */
  deliver(peer: Endpoint, data: Buffer): void;
}

/** Answers requests as `script` says; undefined: with success and nothing else. */
async function turnServer(script: (request: StunMessage) => Answer | undefined): Promise<TestServer> {
  const socket = createSocket('udp4');
  cleanup.push(() => socket.close());
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  let client: Endpoint | undefined;
  const methods: number[] = [];
  socket.on('message', (data, from) => {
    client = [from.address, from.port];
    const request = decodeStun(data);
    if (request?.class !== 'request') return;
    methods.push(request.method);
    const { method, transactionId } = request;
    const { class: kind, attributes } = script(request) ?? { class: 'success', attributes: [] };
    socket.send(encodeStun({ class: kind, method, transactionId, attributes }), from.port, from.address);
  });
  return {
    port: socket.address().port,
    methods,
    deliver: (peer, data) => {
      if (client === undefined) throw new Error('nobody was here');
      const transactionId = randomBytes(12);
      const attributes = [
        [ATTRIBUTE.xorPeerAddress, encodeXorAddress(peer, transactionId)],
        [ATTRIBUTE.data, data],
      ] as const;
      const [address, port] = client;
      socket.send(encodeStun({ class: 'indication', method: METHOD.data, transactionId, attributes }), port, address);
    },
  };
}

function allocated({ transactionId }: StunMessage, lifetimeS = 600): Answer {
  return {
    class: 'success',
    attributes: [
      [ATTRIBUTE.xorRelayedAddress, encodeXorAddress(['203.0.113.1', 4000], transactionId)],
      [ATTRIBUTE.lifetime, uint32(lifetimeS)],
    ],
  };
}

function race(port: number): Promise<WonAllocation> {
  const entry: TurnEntry = {
    servers: [{ host: '127.0.0.1', port, transport: 'udp' }],
    username: 'name',
    credential: 'secret',
  };
  return raceAllocations(entry, {
    resolve: async (host) => [host],
    family: 4,
    carrierFamilies: [4],
    localAddress: () => undefined,
    extraCa: [],
    signal: new AbortController().signal,
    ended: () => {},
  });
}

test('a server that names another one without a port, or in another family, is refused', async () => {
  const alternates = [Buffer.from([0, 1, 0, 0, 127, 0, 0, 1]), Buffer.from([0, 2, 0, 9, ...new Array(15).fill(0), 1])];
  for (const alternate of alternates) {
    const { port, methods } = await turnServer(() => ({
      class: 'error',
      attributes: [
        [ATTRIBUTE.errorCode, Buffer.from([0, 0, 3, 0])],
        [ATTRIBUTE.alternateServer, alternate],
      ],
    }));
    const error = await race(port).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(AggregateError);
    expect((error as AggregateError).errors.map(String)).toEqual(['Error: the TURN server answers 300']);
    expect(methods).toEqual([METHOD.allocate]);
  }
});

test('a server on the internet does not lead the agent into its own network', () => {
  const server: Endpoint = ['203.0.113.1', 3478];
  for (const inside of ['127.0.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1']) {
    expect(acceptsAlternate(server, [inside, 3478])).toBe(false);
    expect(acceptsAlternate(['10.0.0.1', 3478], [inside, 3478])).toBe(
      inside === '192.168.1.1' || inside === '100.64.0.1',
    );
  }
  expect(acceptsAlternate(server, ['198.51.100.9', 3478])).toBe(true);
  expect(acceptsAlternate(['2001:db8::1', 3478], ['::1', 3478])).toBe(false);
});

test('a lifetime of 136 years is no reason for a flood', async () => {
  const { port, methods } = await turnServer((request) => allocated(request, 0xffff_ffff));
  const { allocation } = await race(port);
  cleanup.push(() => allocation.close());
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(methods).toEqual([METHOD.allocate]);
});

test('a server to which there is no way fails for that reason', async () => {
  const options = { transport: 'udp', host: 'x', localAddress: '127.0.0.1', extraCa: [] } as const;
  const { signal } = new AbortController();
  await expect(openCarrier({ ...options, server: ['203.0.113.1', 3478], signal })).rejects.toThrow(/connect E/);
});

test('a server that takes no data keeps no connection', async () => {
  const server = createServer((socket) => void socket.pause().on('error', () => {}));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  const carrier = await openCarrier({
    transport: 'tcp',
    server: ['127.0.0.1', port],
    host: '127.0.0.1',
    localAddress: undefined,
    extraCa: [],
    signal: new AbortController().signal,
  });
  let closed = false;
  carrier.closed = () => {
    closed = true;
  };
  // More than both ends' buffers take.
  for (let i = 0; i < 400; i++) {
    carrier.send(Buffer.alloc(32_768, 0x40));
    if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  carrier.close();
  await expect.poll(() => closed).toBe(true);
});

test('checks that come to a relayed address have to know the password', async () => {
  const server = await turnServer((request) => (request.method === METHOD.allocate ? allocated(request) : undefined));
  const iceServers: IceServer[] = [
    { urls: [`turn:127.0.0.1:${server.port}?transport=udp`], username: 'name', credential: 'secret' },
  ];
  const agent = await startTestAgent({ settings: { relayOnly: true }, iceServers });
  cleanup.push(async () => {
    agent.peer.close('the test is over');
    await agent.webRtc.close();
  });
  const answer = await agent.peer.answer(await anyOffer());
  const { ufrag, password } = iceCredentialsIn(answer);
  await expect.poll(() => agent.candidates.join()).toContain('typ relay');
  const check = (key: string) => {
    const attributes = [
      [ATTRIBUTE.username, Buffer.from(`${ufrag}:theirs`)],
      [0x0024, uint32(1)],
    ] as const;
    return encodeStun({ class: 'request', method: METHOD.binding, transactionId: randomBytes(12), attributes }, key);
  };
  server.deliver(['203.0.113.8', 8], check('guessed'));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(server.methods).toEqual([METHOD.allocate]);
  server.deliver(['203.0.113.9', 9], withFingerprint(check(password)));
  await expect.poll(() => server.methods).toContain(METHOD.channelBind);
});
