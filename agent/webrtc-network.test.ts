/** Which candidates a peer offers, and what the owner's settings do to them. */
import { createSocket } from 'node:dgram';
import { afterEach, describe, expect, test } from 'vitest';
import { candidateFoundation } from 'werift';
import type { LocalAddress, MappedAddress, PortMapper } from './network-settings.ts';
import { ATTRIBUTE, decodeStun, encodeStun, encodeXorAddress } from './stun.ts';
import { IS_NATIVE, PLAIN_NETWORK } from './test-network.ts';
import { anyOffer, interfacesWith, startTestAgent, type TestAgent, type TestAgentOptions } from './test-webrtc.ts';
import { WebRtc } from './webrtc.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanup.splice(0).reverse()) await clean();
});

/** A peer that has answered; `inAnswer` is what stood in the SDP. */
async function answered(options: TestAgentOptions = {}): Promise<TestAgent & { inAnswer: string[] }> {
  const agent = await startTestAgent(options);
  cleanup.push(async () => {
    agent.peer.close('the test is over');
    await agent.webRtc.close();
  });
  const answer = await agent.peer.answer(await anyOffer());
  return { ...agent, inAnswer: summaries(answer.match(/candidate:.*/g) ?? []) };
}

/** “host 192.0.2.1”, and with `port` “srflx 192.0.2.1 4000”. */
function summaries(lines: readonly string[], port = false): string[] {
  return lines
    .filter((line) => line !== '')
    .map((line) => {
      const [, , , , address = '', number = '', , type = ''] = line.split(' ');
      return port ? `${type} ${address} ${number}` : `${type} ${address}`;
    });
}

interface StunServer {
  url: string;
  requests: number;
}

/** Sees every client as `seen`; without it, it is silent. */
async function stunServer(seen?: readonly [string, number]): Promise<StunServer> {
  const socket = createSocket('udp4');
  cleanup.push(() => socket.close());
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const server = { url: `stun:127.0.0.1:${socket.address().port}`, requests: 0 };
  socket.on('message', (data, from) => {
    server.requests++;
    const request = decodeStun(data);
    if (request === undefined || seen === undefined) return;
    const { transactionId, method } = request;
    const value = encodeXorAddress(seen, transactionId);
    const attributes = [[ATTRIBUTE.xorMappedAddress, value]] as const;
    socket.send(encodeStun({ class: 'success', method, transactionId, attributes }), from.port, from.address);
  });
  return server;
}

describe('host candidates', () => {
  test('stand in the answer, one for each address, on one port', async () => {
    const { inAnswer, candidates } = await answered({ addresses: ['127.0.0.1', '127.0.0.2', '::1'] });
    expect(inAnswer.toSorted()).toEqual(['host 127.0.0.1', 'host 127.0.0.2', 'host ::1']);
    await expect.poll(() => candidates).toEqual(['']);
  });

  test('have the external addresses of NAT 1:1 in their place', async () => {
    const { inAnswer } = await answered({
      settings: {
        nat1to1: [
          { external: '203.0.113.5', local: '127.0.0.1' },
          { external: '203.0.113.6', local: '127.0.0.2' },
        ],
      },
      addresses: ['127.0.0.1', '127.0.0.2', '127.0.0.3'],
    });
    expect(inAnswer).toEqual(['host 203.0.113.5', 'host 203.0.113.6', 'host 127.0.0.3']);
  });

  test('have the pinned port, and one family if only that is allowed', async () => {
    const free = createSocket('udp4');
    await new Promise<void>((resolve) => free.bind(0, '127.0.0.1', resolve));
    const { port } = free.address();
    await new Promise<void>((resolve) => free.close(resolve));
    const settings = { udpPorts: { min: port, max: port }, ipFamily: 'ipv4' } as const;
    const agent = await startTestAgent({ settings, addresses: ['127.0.0.1', '::1'] });
    cleanup.push(() => agent.webRtc.close());
    const answer = await agent.peer.answer(await anyOffer());
    agent.peer.close('the test is over');
    expect(summaries(answer.match(/candidate:.*/g) ?? [], true)).toEqual([`host 127.0.0.1 ${port}`]);
  });

  test.runIf(IS_NATIVE)('have another port after somebody else has taken theirs', async () => {
    const first = await startTestAgent();
    cleanup.push(() => first.webRtc.close());
    const offer = await anyOffer();
    const portOf = (answer: string) => Number(/ (\d+) typ host/.exec(answer)?.[1]);
    const port = portOf(await first.peer.answer(offer));
    first.peer.close('the client comes again');
    const other = createSocket('udp4');
    cleanup.push(() => other.close());
    // The library closes its socket on a thread of its own.
    await expect
      .poll(
        () => new Promise((resolve) => other.once('error', resolve).bind(port, '127.0.0.1', () => resolve('bound'))),
      )
      .toBe('bound');
    const second = await startTestAgent({ webRtc: first.webRtc });
    await expect(second.peer.answer(offer)).rejects.toThrow();
    second.peer.close('it has no port');
    const third = await startTestAgent({ webRtc: first.webRtc });
    expect(portOf(await third.peer.answer(offer))).not.toBe(port);
    third.peer.close('the test is over');
  });

  test('follow the machine’s addresses', async () => {
    let addresses = ['127.0.0.1'];
    const webRtc = await WebRtc.open(PLAIN_NETWORK, { log: () => {}, interfaces: () => interfacesWith(...addresses) });
    cleanup.push(() => webRtc.close());
    expect((await answered({ webRtc })).inAnswer).toEqual(['host 127.0.0.1']);
    addresses = ['127.0.0.3', '127.0.0.2'];
    expect((await answered({ webRtc })).inAnswer).toEqual(['host 127.0.0.3', 'host 127.0.0.2']);
    addresses = [];
    expect((await answered({ webRtc })).inAnswer).toEqual([]);
  });
});

describe('at start', () => {
  const open = (settings: Partial<typeof PLAIN_NETWORK>, ...addresses: string[]) =>
    WebRtc.open({ ...PLAIN_NETWORK, ...settings }, { log: () => {}, interfaces: () => interfacesWith(...addresses) });

  test.each([
    [{ interfaces: ['wlan*'] }],
    [{ excludeInterfaces: ['eth*'] }],
    [{ ipFamily: 'ipv6' as const }],
    [{ interfaces: ['wlan*'], relayOnly: true }],
  ])('%j that leaves no address is an error that names the interfaces', async (settings) => {
    await expect(open(settings, '127.0.0.1', '127.0.0.2')).rejects.toThrow(/eth0.*eth1|eth1.*eth0/);
  });

  test('no network at all is none: it may come later', async () => {
    const webRtc = await open({});
    await webRtc.close();
  });

  test('a port that is taken is an error that names it', async () => {
    const taken = createSocket('udp4');
    cleanup.push(() => taken.close());
    await new Promise<void>((resolve) => taken.bind(0, '127.0.0.1', resolve));
    const { port } = taken.address();
    await expect(open({ udpPorts: { min: port, max: port } }, '127.0.0.1')).rejects.toThrow(
      `udp_ports: ${port} is in use`,
    );
  });
});

describe('reflexive candidates', () => {
  // libjuice asks one server for each connection: the next test.
  test.skipIf(IS_NATIVE)(
    'come from every server that answers, each once; what is silent or unknown delays nothing',
    async () => {
      const [one, two, same] = [
        await stunServer(['203.0.113.1', 4001]),
        await stunServer(['203.0.113.2', 4002]),
        await stunServer(['203.0.113.1', 4001]),
      ];
      const silent = await stunServer();
      const urls = [silent.url, 'stun:no-such-host.invalid', 'stun:[::1]:9', one.url, two.url, same.url];
      const agent = await answered({ iceServers: [{ urls }] });
      expect(agent.inAnswer).toEqual(['host 127.0.0.1']);
      await expect
        .poll(() => summaries(agent.candidates, true).toSorted())
        .toEqual(['srflx 203.0.113.1 4001', 'srflx 203.0.113.2 4002']);
      // The end comes when the silent one is given up.
      await expect.poll(() => agent.candidates.at(-1)).toBe('');
      expect(agent.candidates.join()).not.toContain('127.0.0.1');

      // Who comes again finds them in the answer.
      const again = await answered({ iceServers: [{ urls }], webRtc: agent.webRtc });
      expect(again.inAnswer).toEqual(['host 127.0.0.1', 'srflx 203.0.113.1', 'srflx 203.0.113.2']);
    },
  );

  test.runIf(IS_NATIVE)('come from one server; after one that was silent another is asked', async () => {
    const silent = await stunServer();
    const answering = await stunServer(['203.0.113.1', 4001]);
    const iceServers = [{ urls: ['stun:no-such-host.invalid', silent.url, answering.url] }];
    const first = await answered({ iceServers });
    expect(first.inAnswer).toEqual(['host 127.0.0.1']);
    await expect.poll(() => silent.requests).toBeGreaterThan(0);
    expect(answering.requests).toBe(0);
    first.peer.close('the client comes again');
    const again = await answered({ iceServers, webRtc: first.webRtc });
    await expect.poll(() => summaries(again.candidates, true)).toContain('srflx 203.0.113.1 4001');
  });

  test('are those of the owner’s STUN servers, if there are any', async () => {
    const [edges, owners] = [await stunServer(['203.0.113.1', 4001]), await stunServer(['203.0.113.2', 4002])];
    const { candidates } = await answered({
      settings: { stunUrls: [owners.url] },
      iceServers: [{ urls: [edges.url] }],
    });
    await expect.poll(() => candidates.at(-1)).toBe('');
    expect(summaries(candidates)).toEqual(['srflx 203.0.113.2']);
    expect(edges.requests).toBe(0);
  });

  test('are what the router has mapped, which is asked for when the socket is there', async () => {
    const [mapped, unmapped]: [MappedAddress[], MappedAddress[]] = [[], []];
    let external: MappedAddress | undefined;
    const portMapper: PortMapper = {
      map: (local) => void mapped.push(local),
      unmap: (local) => void unmapped.push(local),
      external: () => external,
      close: async () => {},
    };
    const agent = await startTestAgent({ portMapper });
    expect(mapped.map(({ address }) => address)).toEqual(['127.0.0.1']);
    await agent.peer.answer(await anyOffer());
    external = { address: '203.0.113.9', port: 5009 };
    await expect.poll(() => summaries(agent.candidates, true)).toEqual(['srflx 203.0.113.9 5009']);
    agent.peer.close('the test is over');
    const again = await answered({ webRtc: agent.webRtc });
    expect(again.inAnswer).toEqual(['host 127.0.0.1', 'srflx 203.0.113.9']);
    await agent.webRtc.close();
    expect(unmapped).toEqual(mapped);
  });
});

test('relay_only offers and uses nothing else', async () => {
  const stun = await stunServer(['203.0.113.1', 4001]);
  const agent = await answered({ settings: { relayOnly: true }, iceServers: [{ urls: [stun.url] }] });
  expect(agent.inAnswer).toEqual([]);
  await expect.poll(() => agent.candidates).toEqual(['']);
  expect(stun.requests).toBe(0);
  expect(agent.steps.join()).toContain('no TURN server');
});

test('foundations tell candidates of one address from those of another, and not which', async () => {
  const stun = await stunServer(['203.0.113.1', 4001]);
  const agent = await startTestAgent({ addresses: ['127.0.0.7', '127.0.0.8'], iceServers: [{ urls: [stun.url] }] });
  cleanup.push(async () => {
    agent.peer.close('the test is over');
    await agent.webRtc.close();
  });
  const lines = (await agent.peer.answer(await anyOffer())).match(/candidate:.*/g) ?? [];
  await expect.poll(() => agent.candidates.at(-1)).toBe('');
  const foundations = [...lines, ...agent.candidates.slice(0, -1)].map((line) => /^candidate:(\S+)/.exec(line)?.[1]);
  expect(new Set(foundations).size).toBe(3);
  for (const [type, address] of ['host', 'srflx'].flatMap((type) => [
    [type, '127.0.0.7'],
    [type, '127.0.0.8'],
  ])) {
    expect(foundations).not.toContain(candidateFoundation(type ?? '', 'udp', address ?? ''));
  }
});

test('local addresses stay out of reflexive candidates', async () => {
  const stun = await stunServer(['203.0.113.1', 4001]);
  const addresses: LocalAddress['address'][] = ['127.0.0.7'];
  const { candidates } = await answered({ addresses, iceServers: [{ urls: [stun.url] }] });
  await expect.poll(() => candidates.find((line) => line.includes('srflx'))).toContain('raddr 0.0.0.0 rport 0');
});
