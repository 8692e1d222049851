/** For tests: an agent that takes paths of every kind, and finds by HELLO which of its sessions each belongs to. */
import { AgentExchange } from '../../shared/exchange.ts';
import type { RequestHead } from '../../shared/head.ts';
import type { HostKeys } from '../../shared/host-identity.ts';
import type { Path, PathKind } from '../../shared/path.ts';
import type { SessionEnvironment } from '../../shared/path-link.ts';
import { RelayKeys } from '../../shared/relay-keys.ts';
import { sealedAgentPath } from '../../shared/sealed-path.ts';
import type { Session } from '../../shared/session.ts';
import { Sessions } from '../../shared/sessions.ts';
import type { Answer } from './test-host.ts';

/** Keys do not rotate while a test runs. */
const keyTime = { now: () => performance.now(), timer: () => () => {} };

export class TestAgent {
  readonly keys: Promise<RelayKeys>;
  /** Heads of the requests that it saw, in order. */
  readonly heads: RequestHead[] = [];
  /** Its sessions, in the order in which they began. */
  readonly sessions: Session[] = [];
  /** How many paths of each kind were accepted. */
  readonly accepted: Record<PathKind, number> = { direct: 0, turn: 0, relay: 0 };
  readonly #table: Sessions;
  #killed = false;

  constructor(environment: SessionEnvironment, hostKeys: Promise<HostKeys>, answer: Answer) {
    this.keys = hostKeys.then((hostKeys) =>
      RelayKeys.create({ hostKeys, environment: keyTime, wallClock: () => Date.now() }),
    );
    let keys: RelayKeys | undefined;
    void this.keys.then((made) => {
      keys = made;
    });
    this.#table = new Sessions({
      environment,
      neverBegan: (preface) => keys?.neverBegan(preface) === true,
      stream: (stream) => {
        const exchange = new AgentExchange(stream);
        const run = async () => {
          const head = await exchange.readHead();
          this.heads.push(head);
          await answer(exchange, head);
        };
        // What the client aborts fails here too; the test looks at the client.
        run().catch(() => {});
      },
      moved: (session) => {
        if (!this.sessions.includes(session)) this.sessions.push(session);
      },
    });
  }

  /** The session that began last. */
  get session(): Session | undefined {
    return this.sessions.at(-1);
  }

  /** How it learned that the last session has ended. */
  get ended(): string | undefined {
    return this.session?.error?.code;
  }

  accept(
    path: Path,
    sessionId: string,
    kind: PathKind = 'direct',
    binding?: () => Uint8Array | undefined,
    opened?: () => void,
  ): void {
    this.accepted[kind] += 1;
    const options = { sessionId, kind, ...(binding === undefined ? {} : { binding }) };
    this.#table.accept(this.#mortal(path), options, opened === undefined ? {} : { opened });
  }

  async acceptRelay(path: Path, sessionId: string): Promise<void> {
    const keys = await this.keys;
    const sealed = sealedAgentPath(path, keys, sessionId);
    const opened = () => void (sealed.preface && keys.began(sealed.preface));
    this.accept(sealed, sessionId, 'relay', () => sealed.binding, opened);
  }

  /** The process is gone: it says and hears nothing more. */
  kill(): void {
    this.#killed = true;
    for (const session of this.sessions) session.close('E_GOING_AWAY');
  }

  /** Ends all sessions, and tells the clients why. */
  stop(): void {
    this.#table.close('E_GOING_AWAY');
  }

  #mortal(path: Path): Path {
    return {
      maxMessageBytes: path.maxMessageBytes,
      capacity: () => path.capacity(),
      send: (message) => {
        if (!this.#killed) path.send(message);
      },
      close: () => {
        if (!this.#killed) path.close();
      },
      start: (events) =>
        path.start({
          message: (message) => {
            if (!this.#killed) events.message(message);
          },
          drained: () => events.drained(),
          closed: (reason) => events.closed(reason),
        }),
    };
  }
}
