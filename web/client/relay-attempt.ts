/** One attempt at a path through the edge: signaling session, the host's keys, WebSocket, encryption. */
import { DirectError } from '../../shared/errors.ts';
import type { RelayRecipient } from '../../shared/host-identity.ts';
import type { Path } from '../../shared/path.ts';
import { sealedClientPath } from '../../shared/sealed-path.ts';
import type { SessionReady } from '../../shared/signal.ts';
import { closeError } from './close-error.ts';
import type { HostTrust } from './host-trust.ts';
import { RelayPath } from './relay-path.ts';
import { createSession, type Signaling } from './signaling.ts';
import { unlessAborted } from './unless-aborted.ts';

export { sealingIsSupported } from '../../shared/sealing-support.ts';

/** A signaling session that another path asks for. */
export interface Admission {
  sessionId: string;
  /** Undefined if the other path gave up before it asked. */
  ready: Promise<SessionReady | undefined>;
}

export interface RelayAttemptOptions {
  signaling: Signaling;
  /** Says whose keys count. */
  trust: HostTrust;
  /** Absent: the relay asks for a session of its own. */
  admission: Admission | undefined;
  signal: AbortSignal;
}

export interface OpenedRelay {
  /** The signaling session. */
  sessionId: string;
  /** What the edge sees: sealed messages, and the socket's own signs of life. */
  socket: RelayPath;
  /** What the session sees. */
  path: Path;
  binding: Uint8Array;
  preface: Uint8Array | undefined;
}

/** @throws DirectError the edge's code, that of the host's key, or `E_PATH_LOST`; the signal's reason after an abort. */
export async function openRelay(options: RelayAttemptOptions): Promise<OpenedRelay> {
  const { signaling, admission, signal } = options;
  const sessionId = admission?.sessionId ?? signaling.environment.newId();
  const giveUp = new AbortController();
  signal.addEventListener('abort', () => giveUp.abort(signal.reason), { once: true });
  signal.throwIfAborted();
  // At once: its handshakes take more round trips than the session does. The edge lets it wait for that.
  const opening = openSocket(signaling, sessionId, giveUp.signal);
  opening.catch(() => {});
  try {
    const key = await recipient(options, sessionId);
    const socket = await opening;
    const path = sealedClientPath(socket, key, sessionId);
    const binding = await path.bound;
    return { sessionId, socket, path, binding, preface: path.preface };
  } catch (error) {
    giveUp.abort(error);
    throw error;
  }
}

/** The keys to seal to. */
async function recipient(
  { signaling, trust, admission, signal }: RelayAttemptOptions,
  sessionId: string,
): Promise<RelayRecipient> {
  const asked = admission && (await unlessAborted(admission.ready, signal));
  const { host } = asked ?? (await createSession(signaling, { session_id: sessionId }, signal));
  // An agent says it a moment after it is online.
  if (host.announcement === undefined) throw new DirectError('E_PATH_LOST', 'the host announces no key');
  const key = await trust.announcement(host.announcement);
  signal.throwIfAborted();
  return key;
}

/** An abort ends the socket later, too, as long as nobody else looks after it. */
function openSocket({ base, environment }: Signaling, sessionId: string, signal: AbortSignal): Promise<RelayPath> {
  return new Promise((resolve, reject) => {
    const socket = newSocket(environment.WebSocket, `${base.replace(/^http/, 'ws')}/relay?session_id=${sessionId}`);
    signal.addEventListener(
      'abort',
      () => {
        reject(signal.reason);
        socket.close();
      },
      { once: true },
    );
    // The path hears what comes in the same turn, which may be the edge's refusal.
    socket.addEventListener('open', () => resolve(new RelayPath(socket, environment)));
    socket.addEventListener('close', (event: { code: number; reason: string }) => {
      reject(closeError(event) ?? new DirectError('E_PATH_LOST', event.reason || `no WebSocket (${event.code})`));
    });
    // Followed by `close` in every runtime, except for a URL that CSP forbids in some.
    socket.addEventListener('error', () => reject(new DirectError('E_PATH_LOST', 'no WebSocket')));
  });
}

/** @throws DirectError `E_PATH_LOST` without the runtime's own words, which may show the URL and so the session's id. */
function newSocket(WebSocket: Signaling['environment']['WebSocket'], url: string): WebSocket {
  if (WebSocket === undefined) throw new DirectError('E_PATH_LOST', 'this runtime has no WebSocket');
  try {
    return new WebSocket(url);
  } catch (error) {
    // The page's policy forbids it, in some browsers by an exception.
    throw new DirectError('E_PATH_LOST', `no WebSocket: ${error instanceof Error ? error.name : 'refused'}`);
  }
}
