/** What the owner set, read from the bindings and checked. */
import { DirectError } from '../shared/errors.ts';
import { MAX_ICE_SERVERS_LENGTH } from '../shared/ice-url.ts';
import { POLL_HOLD_MS } from '../shared/limits.ts';
import { type IceServer, isId } from '../shared/signal.ts';
import { type AccessSettings, accessSettings } from './cloudflare-access.ts';
import { parseUsableIceServers, withoutBlockedPorts } from './ice-servers.ts';
import { type TurnSettings, turnSettings } from './turn/settings.ts';
import { type WebUiSites, webUiSites } from './web-ui-sites.ts';

export interface Settings {
  /** The owner signs in with it, and programs of the owner's may present it as bearer. */
  readonly ownerToken: string;
  /** Agents that were set up without login present it as bearer; undefined: there are none. */
  readonly agentToken: string | undefined;
  /** Hosts whose signaling needs no authorization. */
  readonly openHosts: ReadonlySet<string>;
  /** Pages of other origins that may open WebSockets; `*` for all. */
  readonly allowedOrigins: ReadonlySet<string>;
  /** For tunnelled requests that name no host; undefined: the caller's only one. */
  readonly defaultHost: string | undefined;
  /** Named by the owner; undefined: not. */
  readonly iceServers: IceServer[] | undefined;
  readonly turn: TurnSettings;
  /** Cloudflare Access, if it is to be checked. */
  readonly access: AccessSettings | undefined;
  /** Host names of web UIs. */
  readonly webUiSites: WebUiSites;
  /** How long a poll waits, in milliseconds. */
  readonly pollHoldMs: number;
}

function iceServersOf(json: string | undefined): IceServer[] | undefined {
  if (json === undefined || json.trim() === '') return undefined;
  if (json.length > MAX_ICE_SERVERS_LENGTH) throw new DirectError('E_NOT_CONFIGURED', 'ICE_SERVERS is too long');
  try {
    return withoutBlockedPorts(parseUsableIceServers(JSON.parse(json)));
  } catch (error) {
    // Not the text itself, as JSON.parse would say it: it may hold the credential of a TURN server.
    const why = error instanceof DirectError ? `: ${error.detail}` : '';
    throw new DirectError('E_NOT_CONFIGURED', `ICE_SERVERS must be a JSON list of RTCIceServer${why}`);
  }
}

function openHostsOf(list: string | undefined): Set<string> {
  const ids = (list ?? '').split(',').map((id) => id.trim());
  return new Set(ids.filter(isId));
}

/** As browsers send them: a slash at the end, or an upper-case letter, would never match. */
function allowedOriginsOf(list: string | undefined): Set<string> {
  const origins = (list ?? '').split(',').map((origin) => origin.trim());
  return new Set(origins.filter((origin) => origin !== '').map(originOf));
}

function originOf(text: string): string {
  if (text === '*') return text;
  const origin = URL.parse(text)?.origin ?? 'null';
  if (origin !== 'null') return origin;
  // Those of extensions and apps, which are opaque to URL. Never “null” itself, which any sandboxed page can have.
  if (/^[a-z][a-z0-9+.-]*:\/\/[a-z0-9.-]+$/.test(text)) return text;
  throw new DirectError('E_NOT_CONFIGURED', 'ALLOWED_ORIGINS must be a list of origins, such as https://chat.example');
}

function defaultHostOf(value: string | undefined): string | undefined {
  const id = (value ?? '').trim();
  if (id === '') return undefined;
  if (!isId(id)) throw new DirectError('E_NOT_CONFIGURED', 'DEFAULT_HOST must be a host id');
  return id;
}

/** A variable, so that tests need not wait; it cannot outlast what clients wait for (see the constant). */
function pollHoldOf(value: string | undefined): number {
  const ms = Number(value ?? POLL_HOLD_MS);
  return Number.isInteger(ms) && ms >= 0 && ms <= POLL_HOLD_MS ? ms : POLL_HOLD_MS;
}

/** Shorter ones can be guessed; 20 characters of base64 are 120 bits. */
const MIN_TOKEN_LENGTH = 20;

/** `echo token | wrangler secret put` may leave a line break at the end. */
function tokenOf(name: string, value: string | undefined): string | undefined {
  const token = (value ?? '').trim();
  if (token === '') return undefined;
  if (token.length >= MIN_TOKEN_LENGTH) return token;
  throw new DirectError('E_NOT_CONFIGURED', `${name} has fewer than ${MIN_TOKEN_LENGTH} characters`);
}

/**
 * Reads the settings, and fails closed: without the owner's token nobody gets in.
 * @throws DirectError `E_NOT_CONFIGURED` that names what is missing, never its value.
 */
export function readSettings(env: Cloudflare.Env): Settings {
  const ownerToken = tokenOf('OWNER_TOKEN', env.OWNER_TOKEN);
  const agentToken = tokenOf('AGENT_TOKEN', env.AGENT_TOKEN);
  if (ownerToken === undefined) throw new DirectError('E_NOT_CONFIGURED', 'OWNER_TOKEN is not set');
  // With one token for both, every client could answer as the host.
  if (ownerToken === agentToken) throw new DirectError('E_NOT_CONFIGURED', 'OWNER_TOKEN and AGENT_TOKEN must differ');
  return {
    ownerToken,
    agentToken,
    openHosts: openHostsOf(env.OPEN_HOSTS),
    allowedOrigins: allowedOriginsOf(env.ALLOWED_ORIGINS),
    defaultHost: defaultHostOf(env.DEFAULT_HOST),
    iceServers: iceServersOf(env.ICE_SERVERS),
    turn: turnSettings(env),
    access: accessSettings(env),
    webUiSites: webUiSites(env),
    pollHoldMs: pollHoldOf(env.POLL_HOLD_MS),
  };
}
