/** TURN from the agent's side, against a real coturn: UDP, TCP and TLS, IPv4 and IPv6. */

import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { RTCPeerConnection } from 'werift';
import type { NetworkSettings } from '../agent/network-settings.ts';
import type { Peer } from '../agent/peer.ts';
import { IS_NATIVE, PLAIN_NETWORK } from '../agent/test-network.ts';
import { Allocation } from '../agent/turn-allocation.ts';
import { openCarrier } from '../agent/turn-carrier.ts';
import { WebRtc } from '../agent/webrtc.ts';
import type { IceServer } from '../shared/signal.ts';
import { Coturn, coturnMissing } from './nat/coturn.ts';

const outer = Object.values(networkInterfaces())
  .flatMap((infos = []) => infos)
  .filter(({ internal, address }) => !internal && !/^(fe80|169\.254)/.test(address));
const ipv4 = outer.find(({ family }) => family === 'IPv4')?.address;
const ipv6 = outer.find(({ family }) => family === 'IPv6')?.address;
// The relay's packets come from its address; a loopback address reaches nobody else.
const missing = coturnMissing() || (ipv4 === undefined && 'there is no network');

describe.skipIf(missing)(`through coturn${missing ? ` (${missing})` : ''}`, () => {
  let coturn: Coturn;
  let certificate: string;
  beforeAll(async () => {
    coturn = await Coturn.start({ addresses: [ipv4, ipv6].filter((address) => address !== undefined) });
    certificate = readFileSync(coturn.certificateFile, 'utf8');
  });
  afterAll(() => coturn.close());

  const cleanup: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const clean of cleanup.splice(0).reverse()) await clean();
  });

  interface Agent {
    peer: Peer;
    /** Of all sorts, from the answer and from events. */
    candidates: string[];
    steps: string[];
    kinds: string[];
    webRtc: WebRtc;
  }

  async function startAgent(
    settings: Partial<NetworkSettings>,
    iceServers: IceServer[],
    ca = certificate,
  ): Promise<Agent> {
    // relay_only is werift's, whatever is tested.
    const { engine } = settings.relayOnly ? { engine: 'auto' as const } : PLAIN_NETWORK;
    const webRtc = await WebRtc.open({ ...PLAIN_NETWORK, engine, ...settings }, { log: () => {}, extraCa: [ca] });
    await webRtc.load();
    const [candidates, steps, kinds]: [string[], string[], string[]] = [[], [], []];
    const peer = webRtc.peer(iceServers, {
      candidate: ({ candidate }) => void candidates.push(candidate),
      step: (what) => void steps.push(what),
      kind: (kind) => void kinds.push(kind),
      closed: () => {},
    });
    cleanup.push(async () => {
      peer.close('the test is over');
      await webRtc.close();
    });
    return { peer, candidates, steps, kinds, webRtc };
  }

  /** A client without TURN; what it sends comes back. */
  async function connect({ peer, candidates }: Agent, family?: 4 | 6): Promise<void> {
    const client = new RTCPeerConnection({
      iceServers: [],
      ...(family === undefined ? {} : { iceUseIpv4: family === 4, iceUseIpv6: family === 6 }),
    });
    cleanup.push(() => client.close());
    const channel = client.createDataChannel('direct-agent', { negotiated: true, id: 0 });
    client.onIceCandidate.subscribe((candidate) => {
      if (candidate?.candidate !== undefined) peer.addCandidate(asCandidate(candidate.candidate));
    });
    await client.setLocalDescription(await client.createOffer());
    const answer = await peer.answer(client.localDescription?.sdp ?? '');
    candidates.push(...(answer.match(/candidate:.*/g) ?? []));
    await client.setRemoteDescription({ type: 'answer', sdp: answer });
    let told = 0;
    const trickle = setInterval(() => {
      for (const candidate of candidates.slice(told)) {
        told++;
        if (candidate !== '') void client.addIceCandidate({ candidate, sdpMid: '0', sdpMLineIndex: 0 });
      }
    }, 10);
    cleanup.push(async () => clearInterval(trickle));
    peer.path.start({
      message: (bytes) => peer.path.send(bytes),
      drained: () => {},
      closed: () => {},
    });
    const received: Buffer[] = [];
    channel.onMessage.subscribe((message) => void received.push(Buffer.from(message as Buffer)));
    await expect.poll(() => channel.readyState).toBe('open');
    const sent = Array.from({ length: 50 }, (_, i) => Buffer.alloc(1 + i * 300, i));
    for (const message of sent) channel.send(message);
    await expect.poll(() => received.length).toBe(sent.length);
    expect(Buffer.concat(received).equals(Buffer.concat(sent))).toBe(true);
  }

  function types(candidates: readonly string[]): string[] {
    return [...new Set(candidates.filter((line) => line !== '').map((line) => / typ (\w+)/.exec(line)?.[1] ?? ''))];
  }

  test.each(['udp', 'tcp', 'tls'] as const)('over %s, with nothing but the relay advertised', async (transport) => {
    const agent = await startAgent({ relayOnly: true }, [coturn.iceServer([transport])]);
    await connect(agent);
    expect(types(agent.candidates)).toEqual(['relay']);
    expect(agent.kinds.at(-1)).toBe('turn');
    expect(agent.steps.join()).toContain(`TURN over ${transport.toUpperCase()}`);
  });

  test('UDP is preferred, and TCP takes its place where UDP is silent', async () => {
    const both = await startAgent({ relayOnly: true }, [coturn.iceServer()]);
    await connect(both);
    expect(both.steps.join()).toContain('TURN over UDP');

    const silent = createSocket('udp4');
    await new Promise<void>((resolve) => silent.bind({ port: 0, address: ipv4 ?? '' }, resolve));
    cleanup.push(async () => void silent.close());
    const { urls, ...credentials } = coturn.iceServer(['tcp']);
    const blocked = `turn:${ipv4}:${silent.address().port}?transport=udp`;
    const fallback = await startAgent({ relayOnly: true }, [{ ...credentials, urls: [blocked, ...urls] }]);
    await connect(fallback);
    expect(fallback.steps.join()).toContain('TURN over TCP');
  });

  test('a certificate that nobody vouches for is refused, and so are wrong credentials', async () => {
    const untrusted = await startAgent({ relayOnly: true }, [coturn.iceServer(['tls'])], '');
    await untrusted.peer.answer(await offer());
    await expect.poll(() => untrusted.steps.join()).toMatch(/no relayed IPv4 address: \w*(SELF_SIGNED|VERIFY)\w*/);

    const { urls, username = '' } = coturn.iceServer(['udp']);
    const wrong = await startAgent({ relayOnly: true }, [{ urls, username, credential: 'wrong' }]);
    await wrong.peer.answer(await offer());
    await expect.poll(() => wrong.steps.join()).toContain('no relayed IPv4 address: the TURN server answers 401');
    expect(wrong.steps.join()).not.toContain(username);
  });

  test.runIf(IS_NATIVE)('node-datachannel asks for one over UDP, and says where it cannot', async () => {
    const agent = await startAgent({}, [coturn.iceServer(['udp'])]);
    await connect(agent);
    await expect.poll(() => agent.candidates.filter((line) => line.includes('typ relay')).length).toBe(1);
    const other = await startAgent({}, [coturn.iceServer(['tcp'])]);
    await connect(other);
    expect(other.steps.join()).toContain('no relayed address by node-datachannel: it knows TURN over UDP only');
    expect(other.candidates.join()).not.toContain('typ relay');
  });

  test('the relayed address is given back when the connection ends', async () => {
    const agent = await startAgent({ relayOnly: true }, [coturn.iceServer(['udp'])]);
    await agent.peer.answer(await offer());
    await expect.poll(() => types(agent.candidates)).toEqual(['relay']);
    const given = () => coturn.log.match(/refreshed.*lifetime=0/g)?.length ?? 0;
    const before = given();
    agent.peer.close('done');
    await agent.webRtc.close();
    await expect.poll(given).toBe(before + 1);
  });

  test.skipIf(ipv6 === undefined)('a client that has only IPv6 gets a relayed IPv6 address', async () => {
    const agent = await startAgent({ relayOnly: true }, [coturn.iceServer(['udp'])]);
    await connect(agent, 6);
    expect(agent.candidates.join('\n')).toMatch(/ [0-9a-f]*:[0-9a-f:]+ \d+ typ relay/);
  });

  test.skipIf(ipv6 === undefined)('with ip_family ipv6 the server is reached by IPv6 only', async () => {
    const { username = '', credential = '' } = coturn.iceServer();
    const server = { urls: [coturn.url('udp', ipv6)], username, credential };
    const agent = await startAgent({ relayOnly: true, ipFamily: 'ipv6' }, [server]);
    await connect(agent, 6);
    const other = await startAgent({ relayOnly: true, ipFamily: 'ipv6' }, [coturn.iceServer(['udp'])]);
    await other.peer.answer(await offer());
    await expect.poll(() => other.steps.join()).toContain('no relayed IPv6 address');
  });

  test('permission and allocation are refreshed: data comes in after both would have ended', async () => {
    const forgetful = await Coturn.start({
      addresses: [ipv4 ?? ''],
      args: ['--permission-lifetime=2', '--channel-lifetime=2', '--max-allocate-lifetime=4'],
    });
    cleanup.push(() => forgetful.close());
    const { username = '', credential = '' } = forgetful.iceServer();
    const remote = createSocket('udp4');
    cleanup.push(async () => void remote.close());
    await new Promise<void>((resolve) => remote.bind(0, ipv4, resolve));
    const allocate = async (channelRefreshMs: number) => {
      const carrier = await openCarrier({
        transport: 'udp',
        server: [ipv4 ?? '', forgetful.port],
        host: ipv4 ?? '',
        localAddress: undefined,
        extraCa: [],
        signal: new AbortController().signal,
      });
      const allocation = await Allocation.create(carrier, { username, credential }, { family: 4, channelRefreshMs });
      cleanup.push(() => allocation.close());
      const received: string[] = [];
      allocation.onData = (data) => void received.push(String(data));
      // Sending alone refreshes nothing.
      const sending = setInterval(
        () => void allocation.send(Buffer.from('x'), [ipv4 ?? '', remote.address().port]),
        200,
      );
      cleanup.push(async () => clearInterval(sending));
      return { allocation, received };
    };
    const [kept, neglected] = [await allocate(1000), await allocate(60_000)];
    const both = () => {
      for (const { allocation } of [kept, neglected]) remote.send('hello', allocation.port, allocation.host);
    };
    await expect
      .poll(() => {
        both();
        return [kept.received.length > 0, neglected.received.length > 0];
      })
      .toEqual([true, true]);
    await new Promise((resolve) => setTimeout(resolve, 6000));
    kept.received.length = 0;
    neglected.received.length = 0;
    await expect
      .poll(() => {
        both();
        return kept.received.length > 2;
      })
      .toBe(true);
    // What the server does to a client that refreshes too late.
    expect(neglected.received).toEqual([]);
  });

  async function offer(): Promise<string> {
    const client = new RTCPeerConnection({ iceServers: [] });
    client.createDataChannel('direct-agent', { negotiated: true, id: 0 });
    const { sdp } = await client.createOffer();
    await client.close();
    return sdp;
  }
});

function asCandidate(candidate: string) {
  return { candidate, sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null };
}
