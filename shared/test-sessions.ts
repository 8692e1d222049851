/** For tests: the two ends of a session over one path, without what finds the session of a path. */
import { agentHello, parseClientHello } from './hello.ts';
import type { Path, PathKind } from './path.ts';
import { type LinkOwner, PathLink, type SessionEnvironment } from './path-link.ts';
import { Session, type SessionEvents } from './session.ts';

export interface TestSessionOptions {
  path: Path;
  /** The signaling session. */
  sessionId: string;
  environment: SessionEnvironment;
  events?: SessionEvents;
  survivalMs?: number;
}

/** What `agentSession` is called, and clients of a raw HELLO may call theirs. */
export const SESSION = 'the-session-of-tests';

let clients = 0;

/** A client that dies with its path, unless told otherwise. */
export function clientSession({ path, sessionId, survivalMs = 0, ...options }: TestSessionOptions): Session {
  const session = new Session({ role: 'client', id: `session-${++clients}`, survivalMs, ...options });
  session.attach(path, { sessionId, kind: 'direct' });
  return session;
}

export function agentSession({ path, sessionId, survivalMs = 0, ...options }: TestSessionOptions): Session {
  const session = new Session({ role: 'agent', id: SESSION, survivalMs, ...options });
  adopt(session, path, { sessionId, environment: options.environment });
  return session;
}

/** Gives an agent's session another path. */
export function adopt(
  session: Session,
  path: Path,
  { sessionId, environment, kind = 'direct' }: { sessionId: string; environment: SessionEnvironment; kind?: PathKind },
): PathLink {
  const door: LinkOwner = {
    role: 'agent',
    awaits: () => false,
    hello: (link, json) => {
      const { lanes = 1 } = parseClientHello(json, sessionId);
      link.openLanes(lanes);
      session.adopt(link);
      link.sayHello(agentHello(sessionId, path.lanes));
    },
    frame: () => {},
    flush: () => {},
    changed: () => {},
    rtt: () => {},
    violated: (link, error) => {
      link.close(error);
      session.close(error.code, error.detail);
    },
    closedByPeer: (link, error) => {
      link.end(error);
      session.close(error.code, error.detail);
    },
    lost: (_link, error) => session.close(error.code, error.detail),
  };
  const link = new PathLink({ path, kind, sessionId, environment, owner: door });
  link.start();
  return link;
}
