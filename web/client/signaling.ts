/** Signaling with the edge (shared/PROTOCOL.md, section 2): where it is, who asks, and how a session begins. */
import { DirectError, type ErrorCode, isErrorCode } from '../../shared/errors.ts';
import { PROTOCOL_VERSION } from '../../shared/limits.ts';
import { parseSessionReady, parseSignalJson, type SessionReady, type SessionRequest } from '../../shared/signal.ts';
import type { ClientEnvironment } from './environment.ts';

export interface Signaling {
  /** `https://edge/_direct/h/{host id}`, without a slash at the end. */
  readonly base: string;
  /** The owner's token for the edge; the host's upstream never sees it. */
  readonly token: string | undefined;
  /** The browser's cookie goes along: this is a page of the edge, and somebody is signed in. */
  readonly cookie: boolean;
  readonly environment: ClientEnvironment;
}

/** Whether the edge gets to know who asks. */
export function isIdentified({ token, cookie }: Pick<Signaling, 'token' | 'cookie'>): boolean {
  return token !== undefined || cookie;
}

/** A request to the edge. @throws DirectError `E_PATH_LOST` when no response came; the signal's reason after an abort. */
export async function ask(
  { base, token, cookie, environment }: Signaling,
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Response> {
  const request = new Request(`${base}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    cache: 'no-store',
    // A token is the only credential then; pages of other origins may signal here too.
    credentials: cookie && token === undefined ? 'same-origin' : 'omit',
    signal,
  });
  try {
    return await environment.fetch(request);
  } catch (error) {
    signal.throwIfAborted();
    throw new DirectError('E_PATH_LOST', 'the edge cannot be reached', { cause: error });
  }
}

/** The error that a response of the edge stands for. */
export async function refusal(response: Response): Promise<DirectError> {
  const body = await response.text().catch(() => '');
  const code = codeOf(body);
  if (code !== undefined) return new DirectError(code);
  return new DirectError(codeOfStatus(response.status), `the edge answered ${response.status}`);
}

function codeOf(body: string): ErrorCode | undefined {
  try {
    const { error } = parseSignalJson(body) as { error?: { code?: unknown } };
    return isErrorCode(error?.code) ? error.code : undefined;
  } catch {
    return undefined;
  }
}

/** Something between us and the edge answered, or an edge of another kind. */
function codeOfStatus(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'E_UNAUTHORIZED';
  return status === 429 ? 'E_RATE_LIMITED' : 'E_INTERNAL';
}

/**
 * Begins a signaling session with the id that the client chose, and the offer in the same round trip if there is one.
 * @throws DirectError with the edge's code, `E_VERSION`, or `E_HOST_OFFLINE`.
 */
export async function createSession(
  signaling: Signaling,
  request: SessionRequest,
  signal: AbortSignal,
): Promise<SessionReady> {
  const response = await ask(signaling, '/session', request, signal);
  if (!response.ok) throw await refusal(response);
  const ready = parseSessionReady(parseSignalJson(await response.text()));
  if (ready.protocol_version !== PROTOCOL_VERSION) {
    throw new DirectError('E_VERSION', `the edge has ${ready.protocol_version}, this client ${PROTOCOL_VERSION}`);
  }
  if (!ready.host.online) throw new DirectError('E_HOST_OFFLINE');
  return ready;
}

/**
 * The signaling base for what a program was given: a base, or an edge and a host id.
 * @throws TypeError when `url` is no http or https URL, or names no host.
 */
export function signalingBase(url: string | URL, host: string | undefined): URL {
  const base = new URL(url);
  if (base.protocol !== 'https:' && base.protocol !== 'http:') throw new TypeError(`not an http or https URL: ${base}`);
  base.hash = '';
  base.search = '';
  if (host !== undefined && !base.pathname.includes('/_direct/h/')) {
    base.pathname = `/_direct/h/${encodeURIComponent(host)}`;
  }
  base.pathname = base.pathname.replace(/\/+$/, '');
  if (base.pathname === '/') throw new TypeError('name the host: pass `host`, or a URL with /_direct/h/{host id}');
  return base;
}

/** The host's id in a signaling base. */
export function hostId(base: URL): string {
  return decodeURIComponent(base.pathname.split('/').at(-1) ?? '');
}
