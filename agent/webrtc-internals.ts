/** The parts of werift's ICE that its types hide and that gathering of our own needs; checked, since they may change. */
import {
  type Candidate,
  type CandidatePair,
  CandidatePairState,
  type Event,
  RTCPeerConnection,
  StunProtocol,
} from 'werift';
import type { DatagramTransport, Endpoint } from './datagram.ts';

/** werift's `Message`, as far as it is used. */
interface StunRequest {
  readonly attributesKeys: readonly string[];
  readonly transactionIdHex: string;
}

/** werift's StunProtocol: connectivity checks over one transport. */
export interface CheckProtocol {
  transport: DatagramTransport;
  localCandidate?: Candidate;
  localIp?: string;
  readonly onRequestReceived: Event<[StunRequest, Endpoint, Buffer]>;
  /** Requests that wait for an answer. */
  readonly transactions: Record<string, { readonly request: StunRequest; readonly expectedAddr: Endpoint }>;
  datagramReceived(data: Buffer, from: Endpoint): void;
  sendStun(message: StunRequest, to: Endpoint): Promise<void>;
  request(
    message: StunRequest,
    to: Endpoint,
    key: Buffer,
    options: { retransmissions: number; responseTimeout: number },
  ): Promise<unknown>;
}

/** werift's Connection: one ICE component. */
export interface IceConnection {
  localUsername: string;
  localPassword: string;
  readonly remoteUsername: string;
  readonly remotePassword: string;
  readonly iceControlling: boolean;
  readonly generation: number;
  readonly state: string;
  readonly checkList: CandidatePair[];
  readonly protocols: CheckProtocol[];
  readonly userHistory: Record<string, string>;
  readonly onData: Event<[Buffer]>;
  localCandidates: Candidate[];
  localCandidatesStart: boolean;
  localCandidatesEnd: boolean;
  nominated?: CandidatePair;
  gatherCandidates(): Promise<void>;
  addRemoteCandidate(candidate: Candidate): Promise<void>;
  ensureProtocol(protocol: CheckProtocol): void;
  pairLocalProtocol(protocol: CheckProtocol): void;
  queryConsent(): void;
  buildRequest(options: {
    nominate: boolean;
    localUsername: string;
    remoteUsername: string;
    iceControlling: boolean;
    localCandidate: Candidate;
  }): StunRequest;
}

/** werift's SCTP, with our patch (patches/README.md): streams without data channels. */
export interface SctpStreams {
  /** Streams that the peer may use. What comes in others is acknowledged and dropped. */
  _inboundStreamsMax: number;
  /** What the peer did, if this end has ended the association for it. */
  readonly violation: string | undefined;
  readonly onReceive: Event<[stream: number, protocol: number, message: Buffer]>;
  /** `sent` is called when all of the message has left for the first time. */
  enqueue(stream: number, protocol: number, message: Buffer, options: { ordered: true }, sent: () => void): void;
}

/** The SCTP of `connection`, which has a data channel. @throws Error when werift is not the version this was made for. */
export function sctpStreamsOf(connection: RTCPeerConnection): SctpStreams {
  const sctp: unknown = connection.sctpTransport?.sctp;
  const { onReceive, enqueue, _inboundStreamsMax: most } = record(sctp);
  if (typeof onReceive !== 'object' || typeof enqueue !== 'function' || typeof most !== 'number') {
    throw changed(['onReceive', 'enqueue', '_inboundStreamsMax']);
  }
  return sctp as SctpStreams;
}

const METHODS = ['gatherCandidates', 'addRemoteCandidate', 'ensureProtocol', 'pairLocalProtocol', 'queryConsent'];
const STRINGS = ['localUsername', 'localPassword', 'remoteUsername', 'remotePassword', 'state'];
const LISTS = ['checkList', 'protocols', 'localCandidates'];
const FLAGS = ['localCandidatesStart', 'localCandidatesEnd', 'iceControlling'];

/** The ICE of `connection`, which has a data channel. @throws Error when werift is not the version this was made for. */
export function iceConnectionOf(connection: RTCPeerConnection): IceConnection {
  const ice: unknown = connection.iceTransports[0]?.connection;
  const has = (name: string, type: string) => record(ice)[name] !== undefined && typeof record(ice)[name] === type;
  const missing = [
    ...[...METHODS, 'buildRequest'].filter((name) => !has(name, 'function')),
    ...STRINGS.filter((name) => !has(name, 'string')),
    ...LISTS.filter((name) => !Array.isArray(record(ice)[name])),
    ...FLAGS.filter((name) => !has(name, 'boolean')),
    ...['generation'].filter((name) => !has(name, 'number')),
    ...['userHistory', 'onData'].filter((name) => !has(name, 'object')),
  ];
  if (missing.length > 0) throw changed(missing);
  return ice as IceConnection;
}

/** Makes checks over `transport`. */
export function checkProtocol(transport: DatagramTransport): CheckProtocol {
  const made: unknown = new StunProtocol();
  const missing = ['datagramReceived', 'request', 'sendStun'].filter(
    (name) => typeof record(made)[name] !== 'function',
  );
  if (missing.length > 0 || typeof record(made).transactions !== 'object') throw changed(missing);
  const protocol = made as CheckProtocol;
  protocol.transport = transport;
  return protocol;
}

/** Fails at start, not at the first client. @throws Error */
export async function checkWerift(): Promise<void> {
  const connection = new RTCPeerConnection({ iceServers: [] });
  try {
    connection.createDataChannel('check', { negotiated: true, id: 0 });
    iceConnectionOf(connection);
    sctpStreamsOf(connection);
    checkProtocol({} as DatagramTransport);
    if (CandidatePairState.SUCCEEDED === undefined) throw changed(['CandidatePairState']);
  } finally {
    await connection.close();
  }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function changed(names: readonly string[]): Error {
  return new Error(`werift is not the version that the agent was made for: ${names.join(', ')}`);
}
