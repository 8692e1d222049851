/** For tests: WebRTC between client and agent, in memory. */
import type { Path, PathEvents } from '../../shared/path.ts';
import type { DataChannel, PeerConfiguration, PeerConnection, StatsReport } from './webrtc.ts';

/** Brings a message to the other end after a while. */
export type Carry = (deliver: () => void) => void;

/** The client's end of a data channel; the agent's end is a Path. */
export class TestChannel extends EventTarget implements DataChannel {
  readonly #carry: Carry;
  readyState = 'connecting';
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  sent: Uint8Array[] = [];
  peer: PathEvents | undefined;

  constructor(carry: Carry = queueMicrotask) {
    super();
    this.#carry = carry;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    if (this.readyState !== 'open') throw new DOMException('not open', 'InvalidStateError');
    const copy = message.slice();
    this.sent.push(copy);
    this.#carry(() => this.peer?.message(copy));
  }

  open(): void {
    this.readyState = 'open';
    this.dispatchEvent(new Event('open'));
  }

  receive(data: unknown): void {
    this.dispatchEvent(new MessageEvent('message', { data }));
  }

  close(): void {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    queueMicrotask(() => {
      this.dispatchEvent(new Event('close'));
      this.peer?.closed('the channel closed');
    });
  }

  /** From now on nothing passes, and neither end hears why. */
  cut(): void {
    this.peer = undefined;
    this.receive = () => {};
  }

  agentPath(): Path {
    return {
      maxMessageBytes: 65_536,
      capacity: () => 256 * 1024,
      send: (message) => {
        const { buffer } = message.slice();
        this.#carry(() => this.receive(buffer));
      },
      close: () => this.close(),
      start: (events) => {
        this.peer = events;
      },
    };
  }
}

/** RTCPeerConnectionIceEvent, as far as it is read; it can be made from itself, as the real one. */
class CandidateEvent extends Event {
  readonly candidate: { candidate: string; sdpMid: string; sdpMLineIndex: number; toJSON(): object };
  constructor(type: string, { candidate }: { candidate: string | { candidate: string } }) {
    super(type);
    const line = typeof candidate === 'string' ? candidate : candidate.candidate;
    const fields = { candidate: line, sdpMid: '0', sdpMLineIndex: 0 };
    this.candidate = { ...fields, toJSON: () => fields };
  }
}

type Stats = Record<string, unknown>[];

export class TestConnection extends EventTarget implements PeerConnection {
  connectionState = 'new';
  iceConnectionState = 'new';
  readonly sctp = { maxMessageSize: 262_144, transport: { iceTransport: new EventTarget() } };
  readonly channel: TestChannel;
  /** What was called, in order. */
  readonly calls: string[] = [];
  configuration: PeerConfiguration;
  stats: Stats = [];
  readonly #candidate: () => string;
  constructor(configuration: PeerConfiguration, carry?: Carry, candidate = () => '') {
    super();
    this.#candidate = candidate;
    this.channel = new TestChannel(carry);
    this.configuration = configuration;
  }

  createDataChannel(label: string, options: object): TestChannel {
    this.calls.push(`createDataChannel ${label} ${JSON.stringify(options)}`);
    return this.channel;
  }
  async createOffer(): Promise<{ sdp: string }> {
    this.calls.push('createOffer');
    return { sdp: 'v=0 offer' };
  }
  setConfiguration(configuration: PeerConfiguration): void {
    this.calls.push('setConfiguration');
    this.configuration = configuration;
  }
  async setLocalDescription(): Promise<void> {
    this.calls.push('setLocalDescription');
    this.dispatchEvent(new CandidateEvent('icecandidate', { candidate: this.#candidate() }));
  }
  async setRemoteDescription({ sdp }: { sdp: string }): Promise<void> {
    this.calls.push(`setRemoteDescription ${sdp}`);
  }
  async addIceCandidate({ candidate }: { candidate: string }): Promise<void> {
    this.calls.push(`addIceCandidate ${candidate}`);
  }
  async getStats(): Promise<StatsReport> {
    return this.stats;
  }
  become(state: string): void {
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }
  close(): void {
    this.calls.push('close');
    this.connectionState = 'closed';
  }
}

/** Relayed statistics, as with `turn`. */
export const TURN_STATS: Stats = [
  { id: 'T', type: 'transport', selectedCandidatePairId: 'P' },
  { id: 'P', type: 'candidate-pair', localCandidateId: 'L', remoteCandidateId: 'R' },
  { id: 'L', type: 'local-candidate', candidateType: 'relay', protocol: 'udp' },
  { id: 'R', type: 'remote-candidate', candidateType: 'host' },
];
