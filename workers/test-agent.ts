/** An agent for tests of the tunnel: the real session layer over the agent's WebSocket, and a script that answers. */
import {
  type ChannelControl,
  type ChannelOpen,
  decodeEnvelope,
  encodeEnvelope,
  parseChannelControl,
} from '../shared/channel.ts';
import { AgentExchange } from '../shared/exchange.ts';
import type { RequestHead } from '../shared/head.ts';
import { MAX_MESSAGE_BYTES } from '../shared/limits.ts';
import type { Path, PathEvents } from '../shared/path.ts';
import type { Session } from '../shared/session.ts';
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

export class TestAgent {
  /** Channels in the order of their opening. */
  readonly opened: number[] = [];
  /** How they were opened, in the same order. */
  readonly opens: ChannelOpen[] = [];
  readonly closed: number[] = [];
  /** Session-layer messages that arrived, by channel. */
  readonly received: { channel: number; message: Uint8Array }[] = [];
  readonly sessions = new Map<number, Session>();
  /** Bytes of messages that were sent. */
  sent = 0;
  pongs = 0;
  /** Requests whose client gave up. */
  aborted = 0;
  readonly lost: Promise<number>;
  readonly socket: WebSocket;
  readonly #paths = new Map<number, PathEvents>();
  readonly #script: Script | undefined;

  private constructor(socket: WebSocket, script: Script | undefined) {
    this.socket = socket;
    this.#script = script;
    this.lost = new Promise((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)));
    socket.addEventListener('message', ({ data }) => {
      if (data === 'pong') this.pongs += 1;
      else if (typeof data === 'string') this.#control(JSON.parse(data));
      else this.#message(new Uint8Array(data as ArrayBuffer));
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

  /** Sends bytes as they are. */
  send(channel: number, message: Uint8Array): void {
    this.sent += message.length;
    this.socket.send(encodeEnvelope(channel, message));
  }

  close(channel: number): void {
    this.socket.send(JSON.stringify({ type: 'channel_close', channel } satisfies ChannelControl));
  }

  #control(raw: unknown): void {
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
