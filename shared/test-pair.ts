/** For tests: a client, an agent's table of sessions, and wires between them in a simulated world. */
import type { PathKind } from './path.ts';
import type { PathLink } from './path-link.ts';
import { Session, type SessionEvents } from './session.ts';
import { type AcceptedPath, type PathEvents, Sessions, type SessionsOptions } from './sessions.ts';
import type { Stream } from './stream.ts';
import { Wire, type WireOptions, World } from './test-world.ts';

/** The signaling session of all tests. */
export const SIGNALING = 'k3Jx0dQ2pA8';

export interface PairOptions {
  world?: World;
  events?: SessionEvents;
  survivalMs?: number;
  agent?: Partial<SessionsOptions>;
}

export interface Connection {
  wire: Wire;
  link: PathLink;
  accepted: AcceptedPath;
}

export class Pair {
  readonly world: World;
  readonly client: Session;
  /** What the agent's application was given, in order. */
  readonly streams: Stream[] = [];
  readonly #agent: Partial<SessionsOptions>;
  sessions: Sessions;

  constructor({ world = new World(), events = {}, survivalMs, agent = {} }: PairOptions = {}) {
    this.world = world;
    this.#agent = agent;
    this.sessions = this.#start();
    const survival = survivalMs === undefined ? {} : { survivalMs };
    this.client = new Session({ role: 'client', id: 'a-session', environment: world, events, ...survival });
  }

  /** A path between the two, which the agent takes at once. */
  connect(
    kind: PathKind = 'direct',
    options: WireOptions = { delayMs: 10 },
    events: PathEvents = {},
    preface?: Uint8Array,
  ): Connection {
    const wire = new Wire(this.world, options);
    const accepted = this.sessions.accept(wire.agent, { sessionId: SIGNALING, kind }, events);
    const link = this.client.attach(wire.client, { sessionId: SIGNALING, kind, preface });
    return { wire, link, accepted };
  }

  /** Everything that the peer sends. */
  readonly readAll = async (stream: Stream): Promise<Buffer> => {
    const parts: Uint8Array[] = [];
    for (let part = await stream.read(); part !== null; part = await stream.read()) {
      parts.push(part);
      this.world.step();
    }
    return Buffer.concat(parts);
  };

  /** Another agent, which knows nothing. */
  restart(): void {
    this.sessions = this.#start();
  }

  #start(): Sessions {
    return new Sessions({ environment: this.world, stream: (stream) => this.streams.push(stream), ...this.#agent });
  }
}
