/** What the owner set, read from the bindings and checked. */
import { DirectError } from '../shared/errors.ts';
import { POLL_HOLD_MS } from '../shared/limits.ts';
import { type IceServer, isId, parseIceServers } from '../shared/signal.ts';

export interface Settings {
  /** Clients present it as bearer. */
  readonly ownerToken: string;
  /** Agents present it as bearer. */
  readonly agentToken: string;
  /** Hosts whose signaling needs no authorization. */
  readonly openHosts: ReadonlySet<string>;
  /** For tunnelled requests that name no host. */
  readonly defaultHost: string;
  readonly iceServers: IceServer[];
  /** How long a poll waits, in milliseconds. */
  readonly pollHoldMs: number;
}

/** Free, anycast, and at the edge that the owner has chosen already (developers.cloudflare.com/realtime/turn). */
const DEFAULT_ICE_SERVERS: IceServer[] = [{ urls: ['stun:stun.cloudflare.com:3478'] }];

/** The list travels with every offer, beside an SDP of up to 32 kB, in a message of at most 64 kB. */
const MAX_ICE_SERVERS_LENGTH = 8192;

function iceServersOf(json: string | undefined): IceServer[] {
  if (json === undefined || json.trim() === '') return DEFAULT_ICE_SERVERS;
  if (json.length > MAX_ICE_SERVERS_LENGTH) throw new DirectError('E_NOT_CONFIGURED', 'ICE_SERVERS is too long');
  try {
    return parseIceServers(JSON.parse(json));
  } catch {
    // Not the text itself: it may hold the credential of a TURN server.
    throw new DirectError('E_NOT_CONFIGURED', 'ICE_SERVERS must be a JSON list of RTCIceServer');
  }
}

function openHostsOf(list: string | undefined): Set<string> {
  const ids = (list ?? '').split(',').map((id) => id.trim());
  return new Set(ids.filter(isId));
}

function defaultHostOf(value: string | undefined): string {
  const id = (value ?? '').trim() || 'home';
  if (!isId(id)) throw new DirectError('E_NOT_CONFIGURED', 'DEFAULT_HOST must be a host id');
  return id;
}

/** A variable, so that tests need not wait; it cannot outlast what clients wait for (see the constant). */
function pollHoldOf(value: string | undefined): number {
  const ms = Number(value ?? POLL_HOLD_MS);
  return Number.isInteger(ms) && ms >= 0 && ms <= POLL_HOLD_MS ? ms : POLL_HOLD_MS;
}

/**
 * Reads the settings, and fails closed: without both secrets nobody gets in.
 * @throws DirectError `E_NOT_CONFIGURED` that names what is missing, never its value.
 */
export function readSettings(env: Cloudflare.Env): Settings {
  // `echo token | wrangler secret put` may leave a line break at the end.
  const ownerToken = (env.OWNER_TOKEN ?? '').trim();
  const agentToken = (env.AGENT_TOKEN ?? '').trim();
  if (ownerToken === '') throw new DirectError('E_NOT_CONFIGURED', 'OWNER_TOKEN is not set');
  if (agentToken === '') throw new DirectError('E_NOT_CONFIGURED', 'AGENT_TOKEN is not set');
  // With one token for both, every client could answer as the host.
  if (ownerToken === agentToken) throw new DirectError('E_NOT_CONFIGURED', 'OWNER_TOKEN and AGENT_TOKEN must differ');
  return {
    ownerToken,
    agentToken,
    openHosts: openHostsOf(env.OPEN_HOSTS),
    defaultHost: defaultHostOf(env.DEFAULT_HOST),
    iceServers: iceServersOf(env.ICE_SERVERS),
    pollHoldMs: pollHoldOf(env.POLL_HOLD_MS),
  };
}
