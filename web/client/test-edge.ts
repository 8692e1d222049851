/** For tests: an edge with an agent behind it, and WebRTC between client and agent, all in memory. */
import { DirectError, ERRORS, type ErrorCode, errorBody } from '../../shared/errors.ts';
import type { Path, PathEvents } from '../../shared/path.ts';
import type { Session } from '../../shared/session.ts';
import { parseSessionRequest, parseSignals, type SessionReady, type SessionSignal } from '../../shared/signal.ts';
import { TestClock } from '../../shared/test-clock.ts';
import { type ClientEnvironment, completeEnvironment } from './environment.ts';
import type { NetworkListeners } from './network.ts';
import { type Answer, agentOn, ORIGIN, reply } from './test-host.ts';
import type { DataChannel, PeerConfiguration, PeerConnection, StatsReport } from './webrtc.ts';

/** The client's end of a data channel; the agent's end is a Path. */
export class TestChannel extends EventTarget implements DataChannel {
  readyState = 'connecting';
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  sent: Uint8Array[] = [];
  peer: PathEvents | undefined;

  send(message: Uint8Array<ArrayBuffer>): void {
    if (this.readyState !== 'open') throw new DOMException('not open', 'InvalidStateError');
    const copy = message.slice();
    this.sent.push(copy);
    queueMicrotask(() => this.peer?.message(copy));
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

  agentPath(): Path {
    return {
      maxMessageBytes: 65_536,
      capacity: () => 256 * 1024,
      send: (message) => queueMicrotask(() => this.receive(message.slice().buffer)),
      close: () => this.close(),
      start: (events) => {
        this.peer = events;
      },
    };
  }
}

type Stats = Record<string, unknown>[];

export class TestConnection extends EventTarget implements PeerConnection {
  connectionState = 'new';
  iceConnectionState = 'new';
  readonly sctp = { maxMessageSize: 262_144, transport: { iceTransport: new EventTarget() } };
  readonly channel = new TestChannel();
  /** What was called, in order. */
  readonly calls: string[] = [];
  configuration: PeerConfiguration;
  stats: Stats = [];
  /** The agent's session, once the channel is open. */
  agent: Session | undefined;

  constructor(configuration: PeerConfiguration) {
    super();
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
    const event = new Event('icecandidate');
    const candidate = { candidate: 'candidate:1 1 udp 1 a.local 9 typ host', sdpMid: '0', sdpMLineIndex: 0 };
    this.dispatchEvent(Object.assign(event, { candidate }));
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

export class TestSocket extends EventTarget {
  readyState = 0;
  readonly url: string;
  readonly sent: string[] = [];

  constructor(url: string) {
    super();
    this.url = url;
  }
  open(): void {
    this.readyState = 1;
    this.dispatchEvent(new Event('open'));
  }
  send(text: string): void {
    this.sent.push(text);
  }
  receive(signals: unknown): void {
    this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(signals) }));
  }
  end(code: number): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason: '' }));
  }
  close(): void {
    queueMicrotask(() => this.end(1000));
  }
}

/** Relayed statistics, as with `turn`. */
export const TURN_STATS: Stats = [
  { id: 'T', type: 'transport', selectedCandidatePairId: 'P' },
  { id: 'P', type: 'candidate-pair', localCandidateId: 'L', remoteCandidateId: 'R' },
  { id: 'L', type: 'local-candidate', candidateType: 'relay', protocol: 'udp' },
  { id: 'R', type: 'remote-candidate', candidateType: 'host' },
];

export class TestEdge {
  readonly clock = new TestClock();
  readonly connections: TestConnection[] = [];
  readonly sockets: TestSocket[] = [];
  /** Every request over HTTPS: method, path and what it carried. */
  readonly requests: { method: string; path: string; body: string; authorization: string | null }[] = [];
  /** When each attempt began. */
  readonly attempts: number[] = [];
  readonly #listeners = new Set<NetworkListeners>();

  online = true;
  hostOnline = true;
  /** Refuses sessions with this code. */
  refuses: ErrorCode | undefined;
  /** What happens after the offer: the channel opens, the agent refuses, or nothing. */
  outcome: 'open' | 'silence' | ErrorCode = 'open';
  /** What happens to WebSockets. */
  socketFate: 'open' | 'refused' | 'silent' = 'open';
  answer: Answer = (exchange) => reply(exchange, 200, [], 'over the path');
  stats: Stats = [];
  protocolVersion = 1;
  /** What polls get, in order. */
  readonly polled: SessionSignal[][] = [];

  readonly environment: ClientEnvironment = completeEnvironment({
    now: this.clock.now,
    timer: this.clock.timer,
    defer: this.clock.defer,
    browser: true,
    baseUrl: () => `${ORIGIN}/`,
    fetch: (request) => this.#fetch(request),
    RTCPeerConnection: this.#connectionClass(),
    WebSocket: this.#socketClass() as unknown as new (url: string) => WebSocket,
    network: {
      online: () => this.online,
      watch: (listeners) => {
        this.#listeners.add(listeners);
        return () => this.#listeners.delete(listeners);
      },
    },
  });

  get connection(): TestConnection {
    const last = this.connections.at(-1);
    if (last === undefined) throw new Error('there was no attempt');
    return last;
  }

  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  wake(reason = 'online'): void {
    for (const { wake } of this.#listeners) wake(reason);
  }

  leave(): void {
    for (const { leave } of this.#listeners) leave();
  }

  /** A message of the agent, by whatever transport the client uses. */
  signal(...signals: SessionSignal[]): void {
    const socket = this.sockets.at(-1);
    if (socket?.readyState === 1) for (const signal of signals) socket.receive(signal);
    else this.polled.push(signals);
  }

  /** Opens the data channel, with the agent behind it. */
  openChannel(connection = this.connection): void {
    const id = `session-${this.attempts.length}`;
    connection.stats = this.stats;
    connection.agent = agentOn(connection.channel.agentPath(), this.environment, id, (exchange, head) =>
      this.answer(exchange, head),
    );
    connection.channel.open();
  }

  #connectionClass(): new (configuration: PeerConfiguration) => TestConnection {
    const { connections } = this;
    return class extends TestConnection {
      constructor(configuration: PeerConfiguration) {
        super(configuration);
        connections.push(this);
      }
    };
  }

  #socketClass(): new (url: string) => TestSocket {
    const edge = this;
    return class extends TestSocket {
      constructor(url: string) {
        super(url);
        edge.sockets.push(this);
        queueMicrotask(() => {
          if (edge.socketFate === 'refused') this.end(1006);
          if (edge.socketFate === 'open') this.open();
        });
      }
    };
  }

  async #fetch(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const body = await request.text();
    const { method, headers } = request;
    this.requests.push({ method, path: pathname + search, body, authorization: headers.get('authorization') });
    if (!this.online) throw new TypeError('Failed to fetch');
    if (pathname.endsWith('/session')) return this.#session(body);
    if (pathname.endsWith('/signal')) return this.#signal(request, body);
    return new Response('over https');
  }

  #session(body: string): Response {
    this.attempts.push(this.clock.now());
    if (this.refuses !== undefined) {
      return Response.json(errorBody(new DirectError(this.refuses)), { status: ERRORS[this.refuses].http });
    }
    if (parseSessionRequest(body).offer !== 'v=0 offer') throw new Error('no offer');
    const session_id = `session-${this.attempts.length}`;
    const ready: SessionReady = {
      session_id,
      expires_at: 0,
      protocol_version: this.protocolVersion,
      ice_servers: [{ urls: ['stun:a.example', 'turn:b.example'], username: 'u', credential: 'c' }],
      stun_url: '',
      turn_url: '',
      turn_username: '',
      turn_credential: '',
      host: { id: 'home', online: this.hostOnline },
    };
    void this.#afterOffer(session_id);
    return Response.json(ready, { status: 201 });
  }

  async #afterOffer(session_id: string): Promise<void> {
    // After the client has opened its signaling channel.
    await new Promise((resolve) => setTimeout(resolve));
    if (this.outcome === 'silence') return;
    if (this.outcome !== 'open') {
      return this.signal({ session_id, type: 'error', code: this.outcome, message: 'as told' });
    }
    this.signal({ session_id, type: 'answer', sdp: 'v=0 answer' });
    await new Promise((resolve) => setTimeout(resolve));
    this.openChannel();
  }

  async #signal(request: Request, body: string): Promise<Response> {
    if (request.method === 'POST') {
      parseSignals(body);
      return new Response(null, { status: 204 });
    }
    const ready = this.polled.shift();
    if (ready !== undefined) return Response.json(ready);
    await new Promise<void>((resolve) => this.clock.timer(10_000, resolve));
    return new Response(null, { status: 204 });
  }
}
