/**
 * The tunnel: plain HTTP requests over sessions whose client is the HostObject itself. A session exists while it has
 * requests and no longer, so that no timer of its keeps an idle object in memory.
 */
import type { Envelope } from '../shared/channel.ts';
import { DirectError } from '../shared/errors.ts';
import {
  INITIAL_SESSION_CREDIT,
  INITIAL_STREAM_CREDIT,
  MAX_CONCURRENT_STREAMS,
  MAX_TUNNEL_CHANNELS,
} from '../shared/limits.ts';
import { newId } from '../shared/new-id.ts';
import type { SessionEnvironment } from '../shared/path-link.ts';
import { Session } from '../shared/session.ts';
import { newChannelNumber } from './channel-number.ts';
import { ChannelPath } from './channel-path.ts';
import { errorResponse } from './responses.ts';
import type { Sender } from './socket.ts';
import { requestHead, TunnelExchange } from './tunnel-exchange.ts';

const environment: SessionEnvironment = {
  // Stands still while code runs, which is no time for a path.
  now: () => Date.now(),
  timer: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  // Messages to the agent are free, so nothing is gained by waiting for more than what this code writes.
  defer: (run) => queueMicrotask(run),
};

interface Channel {
  path: ChannelPath;
  session: Session;
  /** Requests that use it. */
  requests: number;
}

/** So many readers that stand still cannot use up the credit of their session, and stop no other request. */
const REQUESTS_PER_SESSION = INITIAL_SESSION_CREDIT / INITIAL_STREAM_CREDIT;

export class Tunnel {
  readonly #channels = new Map<number, Channel>();

  /** Sessions that are open now. */
  get size(): number {
    return this.#channels.size;
  }

  /** Passes a request to the agent. Never rejects: what goes wrong before the head is a JSON error. */
  async fetch(request: Request, agent: Sender): Promise<Response> {
    const path = new URL(request.url).pathname;
    try {
      const head = requestHead(request);
      const channel = this.#channel(agent);
      channel.requests += 1;
      const exchange = new TunnelExchange(channel.session, request, head, () => this.#release(channel));
      return await exchange.response();
    } catch (error) {
      if (!(error instanceof DirectError)) console.error('unexpected error', error);
      return errorResponse(error, path);
    }
  }

  /** A message of the agent; false when its channel is not open. */
  fromAgent({ channel, message }: Envelope): boolean {
    const known = this.#channels.get(channel);
    known?.path.receive(message);
    return known !== undefined;
  }

  /** The agent closed a channel, which may be over already. */
  closedByAgent(channel: number): void {
    this.#channels.get(channel)?.path.end('closed by the agent');
  }

  /** The connection `agent` is gone, or all are. */
  lost(reason: string, agent?: Sender): void {
    for (const { path } of [...this.#channels.values()]) {
      if (agent === undefined || path.isOn(agent)) path.end(reason);
    }
  }

  /** A session with room, or a new one; if there are enough of them, the one with the fewest requests. */
  #channel(agent: Sender): Channel {
    const least = [...this.#channels.values()]
      .filter(({ path }) => path.isOn(agent))
      .sort((a, b) => a.requests - b.requests)[0];
    const requests = least?.requests ?? Number.POSITIVE_INFINITY;
    if (requests >= REQUESTS_PER_SESSION && this.#channels.size < MAX_TUNNEL_CHANNELS) return this.#open(agent);
    if (least === undefined || requests >= MAX_CONCURRENT_STREAMS) throw new DirectError('E_STREAM_LIMIT');
    return least;
  }

  #open(agent: Sender): Channel {
    const number = newChannelNumber('tunnel', (taken) => this.#channels.has(taken));
    const sessionId = newId();
    const path = new ChannelPath(agent, number, sessionId, () => this.#channels.delete(number));
    // It has no other path to go on by.
    const session = new Session({ role: 'client', id: newId(), environment, survivalMs: 0 });
    session.attach(path, { sessionId, kind: 'relay' });
    const channel = { path, session, requests: 0 };
    this.#channels.set(number, channel);
    return channel;
  }

  #release(channel: Channel): void {
    channel.requests -= 1;
    if (channel.requests === 0) channel.session.close('E_CANCELLED');
  }
}
