/** The answering end of one WebRTC connection by node-datachannel: ICE, DTLS and SCTP are the library's. */
import { MAX_CANDIDATES_PER_SESSION, MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path } from '../shared/path.ts';
import type { Candidate } from '../shared/signal.ts';
import { candidateLine, parseCandidate } from './candidate-line.ts';
import { endpointText } from './datagram.ts';
import { NativeCandidates } from './native-candidates.ts';
import { NativePath } from './native-channel.ts';
import type { NativeConnection, NativeLibrary, NativeServer } from './native-types.ts';
import type { LocalAddress, PortMapper } from './network-settings.ts';
import { type Offer, readOffer } from './offer.ts';
import { pause } from './pause.ts';
import { LINGER_MS, OTHER_CHANNEL, type Peer, type PeerEvents } from './peer.ts';

/** What a connection is made with. */
export interface NativeWay {
  readonly addresses: readonly LocalAddress[];
  readonly servers: readonly NativeServer[];
  /** The port that connections share; undefined: this one has a port of its own. */
  readonly port: number | undefined;
  /** No server has said how this machine is seen from outside. */
  silent(): void;
  /** Somebody else has taken `port` since it was chosen. */
  lost(): void;
}

export interface NativePeerOptions {
  readonly library: NativeLibrary;
  readonly portMapper: PortMapper | undefined;
  way(note: (line: string) => void): Promise<NativeWay>;
  /** Something is being given back; nobody has to wait for it but the end of the process. */
  released(released: Promise<void>): void;
}

/** The library does not tell when the client has changed to another pair. */
const LOOK_MS = 1000;
/** States of a connection that is over. */
const OVER: readonly string[] = ['disconnected', 'failed', 'closed'];

export class NativePeer implements Peer {
  readonly path: Path;
  readonly #options: NativePeerOptions;
  readonly #events: PeerEvents;
  readonly #path: NativePath;
  /** The library has said that it is over. */
  readonly #over = new AbortController();
  #connection: NativeConnection | undefined;
  #candidates: NativeCandidates | undefined;
  #silent: NativeWay['silent'] = () => {};
  #mid = '0';
  #remoteCandidates = 0;
  /** The client's relayed addresses. */
  readonly #relayed = new Set<string>();
  /** Candidates that go into the answer; undefined: it was made, they go by themselves. */
  #inAnswer: string[] | undefined = [];
  #isConnected = false;
  #pair = '';
  /** As it was told last. */
  #kind: 'direct' | 'turn' | undefined;
  #looking: NodeJS.Timeout | undefined;
  #closed = false;

  /** For NativeEngine. */
  constructor(options: NativePeerOptions, events: PeerEvents) {
    this.#options = options;
    this.#events = events;
    this.#path = new NativePath(() => this.close('closed by this end'));
    this.path = this.#path;
  }

  async answer(sdp: string): Promise<string> {
    const { library, portMapper } = this.#options;
    const offer = readOffer(sdp);
    const { addresses, servers, port, silent, lost } = await this.#options.way((line) => this.#events.step(line));
    if (this.#closed) throw new Error('the connection was closed');
    const candidates = new NativeCandidates({
      addresses,
      portMapper,
      candidate: (candidate) => this.#tell(candidateLine(candidate)),
      done: () => this.#tell(''),
    });
    this.#candidates = candidates;
    this.#silent = servers.length > 0 ? silent : () => {};
    this.#mid = offer.mid;
    const bindAddress = bindAddressFor(addresses);
    const connection = new library.PeerConnection('direct-agent', {
      iceServers: servers,
      maxMessageSize: MAX_MESSAGE_BYTES,
      ...(bindAddress === undefined ? {} : { bindAddress }),
      ...(port === undefined ? {} : { portRangeBegin: port, portRangeEnd: port, enableIceUdpMux: true }),
    });
    this.#connection = connection;
    this.#observe(connection, candidates);
    try {
      connection.setRemoteDescription(remoteDescription(offer), 'offer');
    } catch (error) {
      // The next connection has another.
      if (port !== undefined) lost();
      throw error;
    }
    this.#path.open(connection, {
      opened: () => this.#events.step('data channel open'),
      closed: () => this.close('data channel closed by the client'),
    });
    const local = connection.localDescription()?.sdp ?? '';
    const bound = port ?? portIn(local);
    if (bound !== undefined) candidates.tellHosts(bound, port !== undefined);
    for (const line of offer.candidates) this.#addCandidate(line);
    const known = this.#inAnswer ?? [];
    this.#inAnswer = undefined;
    const lines = local.split(/\r?\n/).filter((line) => line !== '' && !/^a=(candidate:|end-of-candidates)/.test(line));
    // There is one section, so its lines may come last.
    return [...lines, ...known.map((line) => `a=${line}`), ''].join('\r\n');
  }

  addCandidate({ candidate }: Candidate): void {
    // The end of the list says nothing: checks may still come in.
    if (this.#closed || candidate === '') return;
    this.#addCandidate(candidate);
    // It may say what the address is that a check has come from.
    if (this.#isConnected) this.#look();
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#looking);
    this.#candidates?.close();
    if (this.#candidates?.isReflexive === false) this.#silent();
    this.#events.closed(reason);
    this.#options.released(this.#end(reason));
  }

  async #end(reason: string): Promise<void> {
    const deadline = performance.now() + LINGER_MS;
    await this.#path.drain(LINGER_MS);
    // The client hears it after what SCTP still has; then it ends the connection, and that is heard here.
    if (!this.#over.signal.aborted && this.#path.sayGoodbye()) {
      await pause(Math.max(0, deadline - performance.now()), this.#over.signal);
    }
    this.#path.end(reason);
    this.#connection?.close();
    this.#candidates?.release();
  }

  #observe(connection: NativeConnection, candidates: NativeCandidates): void {
    connection.onLocalCandidate((line) => candidates.found(line));
    connection.onDataChannel(() => this.close(OTHER_CHANNEL));
    connection.onGatheringStateChange((state) => {
      if (state !== 'complete' || this.#closed) return;
      // Events of different kinds may overtake each other.
      for (const line of (connection.localDescription()?.sdp ?? '').split(/\r?\n/)) candidates.found(line);
      candidates.foundAll();
    });
    connection.onIceStateChange((state) => {
      if (state === 'connected' || state === 'completed') this.#connected();
      else if (OVER.includes(state)) this.#isOver(`ICE ${state}`);
    });
    connection.onStateChange((state) => {
      if (OVER.includes(state)) this.#isOver(`connection ${state}`);
      if (state !== 'connected' || this.#closed) return;
      this.#connected();
      this.#events.step('DTLS handshake complete');
      this.#events.step('SCTP association established');
    });
  }

  #isOver(reason: string): void {
    this.#over.abort();
    this.close(reason);
  }

  #connected(): void {
    if (this.#isConnected || this.#closed) return;
    this.#isConnected = true;
    this.#events.step('ICE connection established');
    this.#look();
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    this.#looking.unref();
  }

  /** Which pair is in use. */
  #look(): void {
    const pair = this.#connection?.getSelectedCandidatePair();
    if (pair == null || this.#closed) return;
    const { local, remote } = pair;
    const remoteKey = endpointText([remote.address, remote.port]);
    const key = `${local.type} ${local.address} ${remoteKey}`;
    if (this.#pair !== '' && this.#pair !== key) this.#events.step('ICE has changed to another candidate pair');
    this.#pair = key;
    const isRelayed = local.type === 'relay' || remote.type === 'relay' || this.#relayed.has(remoteKey);
    const kind = isRelayed ? 'turn' : 'direct';
    if (kind === this.#kind) return;
    this.#kind = kind;
    this.#events.kind?.(kind);
  }

  #addCandidate(line: string): void {
    const candidate = parseCandidate(line);
    if (candidate === undefined || ++this.#remoteCandidates > MAX_CANDIDATES_PER_SESSION) return;
    const { foundation, priority, host, port, type } = candidate;
    if (type === 'relay') this.#relayed.add(endpointText([host, port]));
    if (this.#candidates?.allows(host) !== true) return;
    try {
      const text = `candidate:${foundation} 1 UDP ${priority} ${host} ${port} typ ${type}`;
      this.#connection?.addRemoteCandidate(text, this.#mid);
    } catch {
      // The connection has ended on the library's thread; its event says so.
    }
  }

  #tell(candidate: string): void {
    if (this.#closed) return;
    if (this.#inAnswer !== undefined && candidate !== '') this.#inAnswer.push(candidate);
    else this.#events.candidate({ candidate, sdpMid: this.#mid, sdpMLineIndex: 0, usernameFragment: null });
  }
}

/**
 * The one address that is used, if it is one: then nothing leaves by another. Else all of the family, or all; what the
 * client is told is chosen all the same. Loopback addresses are found by no other socket than their own.
 */
function bindAddressFor(addresses: readonly LocalAddress[]): string | undefined {
  const [first] = addresses;
  if (first === undefined) return undefined;
  if (addresses.length === 1 || addresses.every(({ address }) => isLoopback(address))) return first.address;
  return addresses.every(({ family }) => family === 4) ? '0.0.0.0' : undefined;
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** As DTLS client the other end is ready for SCTP with its last flight, and the agent sends INIT with its own. */
function remoteDescription({ mid, ufrag, password, fingerprint, sctpPort, maxMessageBytes }: Offer): string {
  return [
    'v=0',
    'o=- 1 1 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    `a=group:BUNDLE ${mid}`,
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
    'c=IN IP4 0.0.0.0',
    `a=mid:${mid}`,
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${password}`,
    'a=ice-options:trickle',
    `a=fingerprint:${fingerprint}`,
    'a=setup:active',
    `a=sctp-port:${sctpPort}`,
    `a=max-message-size:${maxMessageBytes}`,
    '',
  ].join('\r\n');
}

/** The port of the library's socket, by what it would tell itself. */
function portIn(sdp: string): number | undefined {
  for (const line of sdp.split(/\r?\n/)) {
    const candidate = parseCandidate(line);
    if (candidate?.type === 'host') return candidate.port;
  }
  return undefined;
}
