/** A WebRTC client that says whatever a test wants, with signaling over IPC to `agent-process.ts`. */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { RTCPeerConnection } from 'werift';
import { encodeFrames, type Frame } from '../shared/frame.ts';
import { clientHello } from '../shared/hello.ts';
import type { ErrorSignal, SessionSignal } from '../shared/signal.ts';
import type { FromAgent, Measurement, ToAgent } from './agent-process.ts';

export class AgentProcess {
  readonly #child: ChildProcess;
  readonly #listeners = new Map<string, (signal: SessionSignal) => void>();
  /** What the agent logged. */
  log = '';
  exited = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.on('data', (part) => {
      this.log += part;
    });
    child.on('exit', () => {
      this.exited = true;
    });
    child.on('message', (message: FromAgent) => {
      if ('signal' in message) this.#listeners.get(message.signal.session_id)?.(message.signal);
    });
  }

  static async start(upstream: string, handshakeTimeoutMs: number): Promise<AgentProcess> {
    const child = fork(
      fileURLToPath(new URL('agent-process.ts', import.meta.url)),
      [upstream, `${handshakeTimeoutMs}`],
      {
        execArgv: ['--expose-gc'],
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      },
    );
    const agent = new AgentProcess(child);
    await agent.#next((message) => 'ready' in message);
    return agent;
  }

  #next(wanted: (message: FromAgent) => boolean): Promise<FromAgent> {
    return new Promise((resolve) => {
      const listener = (message: FromAgent) => {
        if (!wanted(message)) return;
        this.#child.off('message', listener);
        resolve(message);
      };
      this.#child.on('message', listener);
    });
  }

  #tell(message: ToAgent): void {
    this.#child.send(message);
  }

  /** Opens signaling for a session; the returned functions send and end it. */
  signaling(sessionId: string, listener: (signal: SessionSignal) => void) {
    this.#listeners.set(sessionId, listener);
    return {
      send: (signal: SessionSignal) => this.#tell({ signal }),
      end: () => void this.#listeners.delete(sessionId),
    };
  }

  async measure(): Promise<Measurement> {
    const answer = this.#next((message) => 'measurement' in message);
    this.#tell({ measure: true });
    const message = await answer;
    if (!('measurement' in message)) throw new Error('no measurement');
    return message.measurement;
  }

  /** Waits until no connection is left. */
  async idle(ms = 10_000): Promise<void> {
    const end = performance.now() + ms;
    while ((await this.measure()).connections > 0) {
      if (performance.now() > end) throw new Error(`connections are left after ${ms} ms`);
    }
  }

  close(): void {
    this.#child.disconnect();
  }
}

export class RawClient {
  readonly sessionId = randomBytes(12).toString('base64url');
  readonly connection = new RTCPeerConnection({ iceServers: [] });
  readonly messages: Buffer[] = [];
  readonly #channel = this.connection.createDataChannel('direct-agent', { negotiated: true, id: 0 });
  readonly #signaling: ReturnType<AgentProcess['signaling']>;
  /** The agent's refusal, if it refused. */
  refused: ErrorSignal | undefined;
  answered = false;
  closed = false;

  constructor(agent: AgentProcess) {
    this.#signaling = agent.signaling(this.sessionId, (signal) => void this.#hear(signal).catch(() => {}));
    this.#channel.onMessage.subscribe((message) => void this.messages.push(Buffer.from(message)));
    this.#channel.stateChanged.subscribe((state) => {
      if (state === 'closed') this.closed = true;
    });
    this.connection.onIceCandidate.subscribe((candidate) => {
      if (candidate === undefined) return;
      const { candidate: line = '', sdpMid = '0', sdpMLineIndex = 0 } = candidate.toJSON();
      this.#signaling.send({
        session_id: this.sessionId,
        type: 'candidate',
        candidate: { candidate: line, sdpMid, sdpMLineIndex, usernameFragment: null },
      });
    });
  }

  /** Sends the offer; candidates follow. */
  async offer(): Promise<void> {
    const offer = await this.connection.createOffer();
    this.#signaling.send({ session_id: this.sessionId, type: 'offer', sdp: offer.sdp });
    await this.connection.setLocalDescription(offer);
  }

  /** Offers and waits for the channel. @throws Error when the agent refuses or it takes over 10 s. */
  async open(): Promise<this> {
    await this.offer();
    await this.until(() => this.#channel.readyState === 'open' || this.refused !== undefined);
    if (this.refused !== undefined) throw new Error(this.refused.code);
    return this;
  }

  /** Begins a session that dies with its path. */
  hello(): this {
    const hello = { sessionId: this.sessionId, session: this.sessionId, resumed: false, survivalMs: 0 };
    return this.say(clientHello(hello));
  }

  /** Begins a session, and waits for the agent's answer: what is sent in lanes meanwhile may come first. */
  async greet(): Promise<this> {
    this.hello();
    await this.until(() => this.messages.length > 0);
    return this;
  }

  say(...frames: Frame[]): this {
    this.raw(encodeFrames(frames));
    return this;
  }

  raw(bytes: Uint8Array | string): this {
    this.#channel.send(typeof bytes === 'string' ? bytes : Buffer.from(bytes));
    return this;
  }

  /** A message in an SCTP stream of any number and with any payload protocol: no channel is needed. */
  inStream(stream: number, protocol: number, message: Uint8Array): this {
    const sctp = this.connection.sctpTransport?.sctp as unknown as {
      enqueue(stream: number, protocol: number, message: Buffer, options: { ordered: boolean }): void;
    };
    sctp.enqueue(stream, protocol, Buffer.from(message), { ordered: true });
    return this;
  }

  async until(condition: () => boolean, ms = 30_000): Promise<void> {
    const end = performance.now() + ms;
    while (!condition()) {
      if (performance.now() > end) throw new Error('it did not happen in time');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Closes as a page does. */
  async close(): Promise<void> {
    this.#signaling.end();
    await this.connection.close();
  }

  /** Vanishes without a word, as a phone in a tunnel does. */
  async vanish(): Promise<void> {
    this.#signaling.end();
    for (const { connection } of this.connection.iceTransports) await connection.close();
  }

  async #hear(signal: SessionSignal): Promise<void> {
    if (signal.type === 'error') this.refused = signal;
    if (signal.type === 'answer') {
      await this.connection.setRemoteDescription({ type: 'answer', sdp: signal.sdp });
      this.answered = true;
    }
    if (signal.type !== 'candidate' || signal.candidate.candidate === '') return;
    const { candidate, sdpMid, sdpMLineIndex } = signal.candidate;
    await this.connection.addIceCandidate({ candidate, sdpMid: sdpMid ?? '0', sdpMLineIndex: sdpMLineIndex ?? 0 });
  }
}
