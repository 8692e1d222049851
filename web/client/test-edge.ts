/** For tests: an edge with an agent behind it, WebRTC between client and agent, and a relay, all in memory. */
import { DirectError, ERRORS, type ErrorCode, errorBody } from '../../shared/errors.ts';
import { type Announcement, generateHostKeys, type HostKeys } from '../../shared/host-identity.ts';
import { SIGNALING_SESSION_TTL_MS } from '../../shared/limits.ts';
import {
  type AnswerSignal,
  type IceServer,
  parseSessionRequest,
  parseSignals,
  type SessionReady,
  type SessionSignal,
} from '../../shared/signal.ts';
import { directBinding, signAnswer } from '../../shared/signed-answer.ts';
import { TestClock } from '../../shared/test-clock.ts';
import { type ClientEnvironment, completeEnvironment } from './environment.ts';
import type { NetworkListeners } from './network.ts';
import { TestAgent } from './test-agent.ts';
import { type Answer, ORIGIN, reply } from './test-host.ts';
import { TEST_PARTS } from './test-parts.ts';
import { quiet } from './test-quiet.ts';
import { TestRelaySocket, TestSocket } from './test-sockets.ts';
import { type Carry, TestConnection } from './test-webrtc.ts';
import type { PeerConfiguration } from './webrtc.ts';

/** What becomes of a WebSocket: a firewall refuses it, or swallows it. */
type SocketFate = 'open' | 'refused' | 'silent';

const EDGE_EPOCH = 1_900_000_000_000;

export const OFFER = 'v=0 offer';
export const ANSWER = 'v=0 answer';

/** From the offer to the open data channel. */
export const WEBRTC_MS = 100;

export class TestEdge {
  readonly clock = new TestClock(quiet);
  readonly connections: TestConnection[] = [];
  /** Of signaling. */
  readonly sockets: TestSocket[] = [];
  readonly relays: TestRelaySocket[] = [];
  /** Every request over HTTPS: method, path and what it carried. */
  readonly requests: { method: string; path: string; body: string; authorization: string | null }[] = [];
  /** When each attempt at a direct path asked for a session. */
  readonly attempts: number[] = [];
  /** When the relay asked for a session of its own. */
  readonly relayAttempts: number[] = [];
  readonly #listeners = new Set<NetworkListeners>();
  #offerSession = '';
  #directBinding: Uint8Array | undefined;
  #pollers: (() => void)[] = [];

  online = true;
  hostOnline = true;
  /** Whether the agent has announced its keys. */
  announces = true;
  /** Who the host is; another process of it is the same. */
  readonly hostKeys: Promise<HostKeys> = generateHostKeys();
  /** What a malicious edge makes of what the agent says. */
  tampers: {
    answer?(signed: AnswerSignal): AnswerSignal | Promise<AnswerSignal>;
    announcement?(signed: Announcement): Announcement | Promise<Announcement>;
  } = {};
  /** Refuses sessions with this code. */
  refuses: ErrorCode | undefined;
  /** What happens after the offer: the channel opens, the agent refuses, or nothing. */
  outcome: 'open' | 'silence' | ErrorCode = 'open';
  /** What happens to WebSockets. */
  socketFate: SocketFate = 'open';
  /** What happens to the relay's, if they pass: `slow` opens after four seconds, a code closes them at once. */
  relayFate: SocketFate | 'slow' | ErrorCode = 'open';
  /** Milliseconds that a message takes, one way. */
  readonly delays = { direct: 0, relay: 0 };
  answer: Answer = (exchange) => reply(exchange, 200, [], 'over the path');
  stats: Record<string, unknown>[] = [];
  protocolVersion = 1;
  iceServers: IceServer[] = [{ urls: ['stun:a.example', 'turn:b.example'], username: 'u', credential: 'c' }];
  /** What the client's connections gather. */
  candidate = 'candidate:1 1 udp 1 a.local 9 typ host';
  /** How long the credentials of its ICE servers last; undefined: for ever. */
  credentialsMs: number | undefined;
  /** What polls get, in order. */
  readonly polled: SessionSignal[][] = [];
  agent: TestAgent;

  #ids = 0;
  readonly environment: ClientEnvironment = completeEnvironment({
    ...TEST_PARTS,
    now: this.clock.now,
    timer: this.clock.timer,
    defer: this.clock.defer,
    // The longest jitter, so that tests can say when something happens.
    newId: () => `session-${++this.#ids}-of-these-tests`,
    random: () => 1,
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

  constructor() {
    this.agent = this.#newAgent();
  }

  get connection(): TestConnection {
    const last = this.connections.at(-1);
    if (last === undefined) throw new Error('there was no attempt');
    return last;
  }

  get relay(): TestRelaySocket {
    const last = this.relays.at(-1);
    if (last === undefined) throw new Error('there was no relay');
    return last;
  }

  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  wake(reason = 'online', isElsewhere = reason === 'online'): void {
    for (const { wake } of this.#listeners) wake(reason, isElsewhere);
  }

  leave(): void {
    for (const { leave } of this.#listeners) leave();
  }

  /** Another process takes the agent's place: data channels fall silent, and the edge ends the relays. */
  restartAgent(): void {
    this.agent.kill();
    for (const { channel } of this.connections) channel.cut();
    for (const relay of this.relays) relay.refuse('E_HOST_OFFLINE');
    this.agent = this.#newAgent();
  }

  /** No path works from now on, and nobody is told; see `repair`. */
  cutAll(): void {
    this.outcome = 'silence';
    this.relayFate = 'silent';
    for (const { channel } of this.connections) channel.cut();
    for (const relay of this.relays) relay.cut();
  }

  /** New paths work again. */
  repair(): void {
    this.outcome = 'open';
    this.relayFate = 'open';
  }

  /** A message of the agent, by whatever transport the client uses. */
  signal(...signals: SessionSignal[]): void {
    const socket = this.sockets.at(-1);
    if (socket?.readyState === 1) for (const signal of signals) socket.receive(signal);
    else this.polled.push(signals);
    for (const look of this.#pollers.splice(0)) look();
  }

  /** The agent's answer to a session's offer. */
  async signedAnswer(session_id: string, answer = ANSWER, offer = OFFER): Promise<AnswerSignal> {
    const signature = await signAnswer(await this.hostKeys, { hostId: 'home', sessionId: session_id, offer, answer });
    return { session_id, type: 'answer', sdp: answer, ...signature };
  }

  /** Answers the last offer, and opens the data channel with the agent behind it. */
  async openChannel(): Promise<void> {
    await this.#answer();
    this.#openChannel();
  }

  #openChannel(): void {
    const { connection } = this;
    connection.stats = this.stats;
    this.agent.accept(connection.channel.agentPath(), this.#offerSession, 'direct', () => this.#directBinding);
    connection.channel.open();
  }

  #newAgent(): TestAgent {
    return new TestAgent(this.environment, this.hostKeys, (exchange, head) => this.answer(exchange, head));
  }

  #carry(kind: 'direct' | 'relay'): Carry {
    return (deliver) => {
      const ms = this.delays[kind];
      if (ms === 0) queueMicrotask(deliver);
      else this.clock.timer(ms, deliver);
    };
  }

  #connectionClass(): new (configuration: PeerConfiguration) => TestConnection {
    const { connections } = this;
    const candidate = () => this.candidate;
    const carry = this.#carry('direct');
    return class extends TestConnection {
      constructor(configuration: PeerConfiguration) {
        super(configuration, carry, candidate);
        connections.push(this);
      }
    };
  }

  #socketClass(): new (url: string) => TestSocket {
    const make = (url: string) => (url.includes('/relay?') ? this.#newRelay(url) : this.#newSocket(url));
    return class {
      constructor(url: string) {
        // biome-ignore lint/correctness/noConstructorReturn: `new WebSocket` decides by its URL what comes out
        return make(url);
      }
    } as unknown as new (
      url: string,
    ) => TestSocket;
  }

  #newSocket(url: string): TestSocket {
    const socket = new TestSocket(url);
    this.sockets.push(socket);
    queueMicrotask(() => {
      if (this.socketFate === 'refused') socket.end(1006);
      if (this.socketFate === 'open') socket.open();
    });
    return socket;
  }

  #newRelay(url: string): TestRelaySocket {
    const socket = new TestRelaySocket(url, this.#carry('relay'));
    this.relays.push(socket);
    queueMicrotask(() => {
      const fate = this.socketFate === 'open' ? this.relayFate : this.socketFate;
      if (fate === 'refused') socket.end(1006);
      else if (fate === 'slow') this.clock.timer(4_000, () => void this.#openRelay(socket, undefined));
      else if (fate !== 'silent') void this.#openRelay(socket, fate === 'open' ? undefined : fate);
    });
    return socket;
  }

  async #openRelay(socket: TestRelaySocket, refused: ErrorCode | undefined): Promise<void> {
    // The client did not wait.
    if (socket.readyState !== 0) return;
    const code = refused ?? (this.hostOnline ? undefined : 'E_HOST_OFFLINE');
    // Before `open`, so that nothing is lost.
    if (code === undefined) await this.agent.acceptRelay(socket.agentPath(), socket.sessionId);
    socket.open();
    if (code === undefined) return;
    // In the next event-loop turn, as in a browser.
    await new Promise((resolve) => setImmediate(resolve));
    socket.refuse(code);
  }

  async #fetch(request: Request): Promise<Response> {
    request.signal.throwIfAborted();
    const { pathname, search } = new URL(request.url);
    const body = await request.text();
    const { method, headers } = request;
    this.requests.push({ method, path: pathname + search, body, authorization: headers.get('authorization') });
    if (!this.online) throw new TypeError('Failed to fetch');
    if (pathname.endsWith('/session')) return this.#session(body);
    if (pathname.endsWith('/signal')) return this.#signal(request, body);
    return new Response('over https');
  }

  async #session(body: string): Promise<Response> {
    const { offer, session_id = '' } = parseSessionRequest(body);
    (offer === undefined ? this.relayAttempts : this.attempts).push(this.clock.now());
    if (this.refuses !== undefined) {
      return Response.json(errorBody(new DirectError(this.refuses)), { status: ERRORS[this.refuses].http });
    }
    if (offer !== undefined) {
      if (offer !== OFFER) throw new Error('another offer');
      this.#offerSession = session_id;
      void this.#afterOffer(session_id);
    }
    const announcement = this.announces ? await this.#announcement() : undefined;
    const ready: SessionReady = {
      session_id,
      // Its clock is not the client's.
      expires_at: EDGE_EPOCH + this.clock.now() + SIGNALING_SESSION_TTL_MS,
      protocol_version: this.protocolVersion,
      ice_servers: this.iceServers,
      ice_source: 'coturn',
      ...(this.credentialsMs === undefined
        ? {}
        : { ice_servers_expire_at: EDGE_EPOCH + this.clock.now() + this.credentialsMs }),
      stun_url: '',
      turn_url: '',
      turn_username: '',
      turn_credential: '',
      host: { id: 'home', online: this.hostOnline, ...(announcement === undefined ? {} : { announcement }) },
    };
    return Response.json(ready, { status: 201 });
  }

  async #announcement(): Promise<Announcement> {
    const announcement = await (await this.agent.keys).announcement();
    return (await this.tampers.announcement?.(announcement)) ?? announcement;
  }

  async #afterOffer(session_id: string): Promise<void> {
    // After the client has opened its signaling channel, and the relay.
    await this.#later(WEBRTC_MS / 2);
    if (this.outcome === 'silence') return;
    if (this.outcome !== 'open') {
      return this.signal({ session_id, type: 'error', code: this.outcome, message: 'as told' });
    }
    await this.#answer();
    await this.#later(WEBRTC_MS / 2);
    if (this.outcome === 'open') this.#openChannel();
  }

  async #answer(): Promise<void> {
    const answer = await this.signedAnswer(this.#offerSession);
    this.#directBinding = await directBinding(OFFER, answer.sdp);
    this.signal((await this.tampers.answer?.(answer)) ?? answer);
  }

  async #signal(request: Request, body: string): Promise<Response> {
    if (request.method === 'POST') {
      parseSignals(body);
      return new Response(null, { status: 204 });
    }
    const ready = this.polled.shift();
    if (ready !== undefined) return Response.json(ready);
    await Promise.race([new Promise<void>((resolve) => this.#pollers.push(resolve)), this.#later(10_000)]);
    const news = this.polled.shift();
    return news === undefined ? new Response(null, { status: 204 }) : Response.json(news);
  }

  #later(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.timer(ms, resolve));
  }
}
