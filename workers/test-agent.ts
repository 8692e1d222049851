/** Agents for tests of channels: the real session layer by WebSocket or by polls, and a script that answers. */
import {
  BATCH_TYPE,
  type ChannelControl,
  type ChannelOpen,
  decodeBatch,
  decodeEnvelope,
  encodeEnvelope,
  encodePart,
  type LinkMessage,
  parseChannelControl,
} from '../shared/channel.ts';
import { AgentExchange } from '../shared/exchange.ts';
import type { RequestHead } from '../shared/head.ts';
import { MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path, PathEvents } from '../shared/path.ts';
import type { Session } from '../shared/session.ts';
import { parseRevoked } from '../shared/signal.ts';
import { agentSession } from '../shared/test-sessions.ts';
import { AGENT, base, call } from './test-edge.ts';

export type Script = (exchange: AgentExchange, head: RequestHead) => Promise<void>;

/** Answers everything with the request's path. */
export const echoPath: Script = (exchange, { path }) => reply(exchange, 200, path);

export async function reply(exchange: AgentExchange, status: number, text: string): Promise<void> {
  await exchange.sendHead({ status, statusText: '', headers: [['content-type', 'text/plain']] });
  await exchange.sendData(new TextEncoder().encode(text));
  exchange.finish();
}

abstract class ScriptedAgent {
  /** Channels in the order of their opening. */
  readonly opened: number[] = [];
  /** How they were opened, in the same order. */
  readonly opens: ChannelOpen[] = [];
  readonly closed: number[] = [];
  /** Subjects, in the order in which the edge told. */
  readonly revoked: string[] = [];
  /** Session-layer messages that arrived, by channel. */
  readonly received: { channel: number; message: Uint8Array }[] = [];
  readonly sessions = new Map<number, Session>();
  /** Bytes of messages that were sent. */
  sent = 0;
  /** Requests whose client gave up. */
  aborted = 0;
  readonly #paths = new Map<number, PathEvents>();
  readonly #script: Script | undefined;

  protected constructor(script: Script | undefined) {
    this.#script = script;
  }

  abstract transmit(message: LinkMessage): void;

  protected take(message: LinkMessage): void {
    if (typeof message === 'string') this.#control(JSON.parse(message));
    else this.#message(message);
  }

  /** Sends bytes as they are. */
  send(channel: number, message: Uint8Array): void {
    this.sent += message.length;
    this.transmit(encodeEnvelope(channel, message));
  }

  close(channel: number): void {
    this.transmit(JSON.stringify({ type: 'channel_close', channel } satisfies ChannelControl));
  }

  #control(raw: unknown): void {
    const revoked = parseRevoked(raw);
    if (revoked !== undefined) this.revoked.push(revoked);
    const control = parseChannelControl(raw);
    if (control?.type === 'channel_close') {
      this.closed.push(control.channel);
      this.#paths.get(control.channel)?.closed('closed by the edge');
    }
    if (control?.type !== 'channel_open') return;
    const { channel, session_id } = control;
    this.opened.push(channel);
    this.opens.push(control);
    if (this.#script === undefined) return;
    const session = agentSession({
      sessionId: session_id,
      path: this.#path(channel),
      environment: {
        now: () => Date.now(),
        timer: (ms, run) => {
          const timer = setTimeout(run, ms);
          return () => clearTimeout(timer);
        },
        defer: (run) => queueMicrotask(run),
      },
      events: {
        stream: (stream) => {
          stream.onabort = () => {
            this.aborted += 1;
          };
          const exchange = new AgentExchange(stream);
          exchange
            .readHead()
            .then((head) => this.#script?.(exchange, head))
            .catch(() => {});
        },
      },
    });
    this.sessions.set(channel, session);
  }

  #path(channel: number): Path {
    return {
      maxMessageBytes: MAX_MESSAGE_BYTES,
      capacity: () => MAX_MESSAGE_BYTES,
      send: (message) => this.send(channel, message),
      close: () => this.close(channel),
      start: (events) => void this.#paths.set(channel, events),
    };
  }

  #message(bytes: Uint8Array): void {
    const envelope = decodeEnvelope(bytes);
    this.received.push(envelope);
    this.#paths.get(envelope.channel)?.message(envelope.message);
  }
}

export class TestAgent extends ScriptedAgent {
  pongs = 0;
  readonly lost: Promise<number>;
  readonly socket: WebSocket;

  private constructor(socket: WebSocket, script: Script | undefined) {
    super(script);
    this.socket = socket;
    this.lost = new Promise((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)));
    socket.addEventListener('message', ({ data }) => {
      if (data === 'pong') this.pongs += 1;
      else this.take(typeof data === 'string' ? data : new Uint8Array(data as ArrayBuffer));
    });
    socket.binaryType = 'arraybuffer';
    socket.accept();
  }

  /** Without a script it takes note and answers nothing. */
  static async connect(host: string, script?: Script): Promise<TestAgent> {
    const response = await call(`${base(host)}/signal`, { token: AGENT, headers: { Upgrade: 'websocket' } });
    if (response.webSocket === null) throw new Error(`no WebSocket: ${response.status}`);
    return new TestAgent(response.webSocket, script);
  }

  transmit(message: LinkMessage): void {
    this.socket.send(message);
  }
}

/** One that polls and posts in a row, as fast as it is answered. */
export class PollingAgent extends ScriptedAgent {
  readonly id: string = crypto.randomUUID();
  /** Signals that came. */
  readonly signals: unknown[] = [];
  /** Statuses of polls and POSTs. */
  readonly polls: number[] = [];
  readonly posts: number[] = [];
  after = 0;
  number = 0;
  readonly #host: string;
  #stopped = false;
  #waiting: LinkMessage[] = [];
  #posting: Promise<void> | undefined;

  constructor(host: string, script?: Script) {
    super(script);
    this.#host = host;
  }

  /** Polls until `stop`, or until it is refused. */
  static async start(host: string, script?: Script): Promise<PollingAgent> {
    const agent = new PollingAgent(host, script);
    await agent.poll();
    void agent.#run();
    return agent;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One poll, and what it brings. */
  async poll(after = this.after): Promise<Response> {
    const path = `${base(this.#host)}/signal?batch=1&channels=${this.id}&after=${after}`;
    const response = await call(path, { token: AGENT });
    this.polls.push(response.status);
    if (response.headers.get('Content-Type') !== BATCH_TYPE) return response;
    const batch = decodeBatch(new Uint8Array(await response.clone().arrayBuffer()));
    if (after === this.after) {
      this.after += 1;
      for (const message of batch) this.take(message);
    }
    return response;
  }

  async post(messages: LinkMessage[], number = ++this.number): Promise<Response> {
    const body = new Uint8Array(await new Blob(messages.map(encodePart)).arrayBuffer());
    const path = `${base(this.#host)}/channels?channels=${this.id}&number=${number}`;
    const response = await call(path, { method: 'POST', token: AGENT, body });
    this.posts.push(response.status);
    return response;
  }

  transmit(message: LinkMessage): void {
    this.#waiting.push(message);
    this.#posting ??= this.#postAll();
  }

  protected override take(message: LinkMessage): void {
    if (typeof message === 'string' && message.startsWith('[')) this.signals.push(JSON.parse(message));
    else super.take(message);
  }

  async #postAll(): Promise<void> {
    // Up to 200 kB each, as a batch has a limit.
    while (this.#waiting.length > 0) await this.post(this.#waiting.splice(0, 3));
    this.#posting = undefined;
  }

  async #run(): Promise<void> {
    while (!this.#stopped && (await this.poll()).status < 300);
  }
}
