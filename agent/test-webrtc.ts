/** A client made of werift, connected to a Peer over loopback addresses, so that tests need no network. */
import type { NetworkInterfaceInfo } from 'node:os';
import { RTCPeerConnection } from 'werift';
import type { IceServer } from '../shared/signal.ts';
import type { NetworkSettings, PortMapper } from './network-settings.ts';
import type { Peer } from './peer.ts';
import { PLAIN_NETWORK } from './test-network.ts';
import { WebRtc } from './webrtc.ts';

/** Interfaces that have these addresses, none of which counts as loopback. */
export function interfacesWith(...addresses: string[]): NodeJS.Dict<NetworkInterfaceInfo[]> {
  return Object.fromEntries(
    addresses.map((address, i): [string, NetworkInterfaceInfo[]] => {
      const common = { address, mac: '00:00:00:00:00:01', internal: false };
      return address.includes(':')
        ? [`eth${i}`, [{ ...common, family: 'IPv6', netmask: 'ffff:ffff::', cidr: null, scopeid: 0 }]]
        : [`eth${i}`, [{ ...common, family: 'IPv4', netmask: '255.0.0.0', cidr: null }]];
    }),
  );
}

export interface TestAgent {
  webRtc: WebRtc;
  peer: Peer;
  /** From the answer and from events; '' ends them. */
  candidates: string[];
  steps: string[];
  closed: string[];
}

export interface TestAgentOptions {
  settings?: Partial<NetworkSettings>;
  iceServers?: IceServer[];
  addresses?: string[];
  portMapper?: PortMapper;
  /** Another agent's, to make one more peer. */
  webRtc?: WebRtc;
}

export async function startTestAgent(options: TestAgentOptions = {}): Promise<TestAgent> {
  const { settings, iceServers = [], addresses = ['127.0.0.1'], portMapper } = options;
  const webRtc =
    options.webRtc ??
    (await WebRtc.open(
      // relay_only is werift's, whatever is tested.
      { ...PLAIN_NETWORK, ...(settings?.relayOnly ? { engine: 'auto' } : {}), ...settings },
      {
        log: () => {},
        interfaces: () => interfacesWith(...addresses),
        ...(portMapper === undefined ? {} : { portMapper }),
      },
    ));
  await webRtc.load();
  const [candidates, steps, closed]: [string[], string[], string[]] = [[], [], []];
  const peer = webRtc.peer(iceServers, {
    candidate: ({ candidate }) => void candidates.push(candidate),
    step: (what) => void steps.push(what),
    closed: (reason) => void closed.push(reason),
  });
  return { webRtc, peer, candidates, steps, closed };
}

/** With one address, 127.0.0.1. */
export function makeClient(): RTCPeerConnection {
  return new RTCPeerConnection({
    iceServers: [],
    iceUseIpv6: false,
    iceAdditionalHostAddresses: ['127.0.0.1'],
    iceFilterCandidatePair: ({ protocol }) => protocol.localIp === '127.0.0.1',
  });
}

/** Any offer with one data channel. */
export async function anyOffer(): Promise<string> {
  const client = new RTCPeerConnection({ iceServers: [] });
  client.createDataChannel('direct-agent', { negotiated: true, id: 0 });
  const { sdp } = await client.createOffer();
  await client.close();
  return sdp;
}

export type TestChannel = ReturnType<RTCPeerConnection['createDataChannel']>;

/** Offer and answer, without trickle: the offer has all candidates and says that these are all. */
export async function negotiate(client: RTCPeerConnection, { peer, candidates }: TestAgent): Promise<TestChannel> {
  const channel = client.createDataChannel('direct-agent', { negotiated: true, id: 0 });
  await client.setLocalDescription(await client.createOffer());
  const sdp = (client.localDescription?.sdp ?? '')
    .split('\r\n')
    .filter((line) => !line.startsWith('a=candidate:') || line.includes(' 127.0.0.1 '))
    .join('\r\n');
  const answer = await peer.answer(sdp);
  candidates.push(...(answer.match(/candidate:.*/g) ?? []));
  await client.setRemoteDescription({ type: 'answer', sdp: answer });
  return channel;
}

/** What a check needs that shall pass for one of the client's: the agent's ICE credentials, out of its answer. */
export function iceCredentialsIn(answer: string): { ufrag: string; password: string } {
  const [, ufrag = ''] = /a=ice-ufrag:(\S+)/.exec(answer) ?? [];
  const [, password = ''] = /a=ice-pwd:(\S+)/.exec(answer) ?? [];
  return { ufrag, password };
}
