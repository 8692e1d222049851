/**
 * Signaling messages (PROTOCOL.md, section 2) and the one place where they are validated.
 * What a parser returns may be trusted in shape and size; what it says may not.
 */
import { DirectError, type ErrorCode, isErrorCode } from './errors.ts';
import { type Grant, isSubject, parseGrant } from './grant.ts';
import { type Announcement, bytesText, KEY_BYTES, parseAnnouncement, SIGNATURE_BYTES } from './host-identity.ts';
import {
  MAX_CANDIDATE_BYTES,
  MAX_CANDIDATES_PER_SESSION,
  MAX_ID_LENGTH,
  MAX_REASON_BYTES,
  MAX_SDP_BYTES,
  MAX_SIGNAL_BYTES,
  MIN_CHOSEN_ID_LENGTH,
} from './limits.ts';
import { ofType, refuse } from './message-fields.ts';

/** RTCIceServer of the W3C's WebRTC API, with `urls` always a list. */
export interface IceServer {
  urls: string[];
  username?: string;
  credential?: string;
}

/** Who named the ICE servers of a session; the first that has any, in this order. */
export const ICE_SOURCES = ['client', 'configuration', 'cloudflare', 'metered', 'coturn', 'default'] as const;
export type IceSource = (typeof ICE_SOURCES)[number];

/** RTCIceCandidateInit of the W3C's WebRTC API. An empty `candidate` ends the candidates (RFC 8838, section 8.2). */
export interface Candidate {
  candidate: string;
  sdpMid: string | null;
  sdpMLineIndex: number | null;
  usernameFragment: string | null;
}

export interface OfferSignal {
  session_id: string;
  type: 'offer';
  sdp: string;
  /** Set by the edge on the way to the agent: what both ends use. */
  ice_servers?: IceServer[];
  /** Likewise: what the client may do. */
  grant?: Grant;
  /** Likewise: tells clients apart by their addresses, which the agent does not get to know; 16 characters. */
  from?: string;
}
export interface AnswerSignal {
  session_id: string;
  type: 'answer';
  sdp: string;
  /** The host's, base64url; see signed-answer.ts. Agents of other projects do not sign. */
  host_key?: string;
  signature?: string;
}
export interface CandidateSignal {
  session_id: string;
  type: 'candidate';
  candidate: Candidate;
}
/** The agent or the edge refuses the session, or gives it up. */
export interface ErrorSignal {
  session_id: string;
  type: 'error';
  code: ErrorCode;
  message: string;
}
/** First message on the agent's WebSocket. */
export interface ReadySignal {
  type: 'ready';
  protocol_version: number;
  host: string;
}

/** What belongs to one signaling session. */
export type SessionSignal = OfferSignal | AnswerSignal | CandidateSignal | ErrorSignal;

/** From the agent, alone in its message: its keys from now on. */
export interface AnnounceSignal {
  type: 'announce';
  announcement: Announcement;
}

/** From the edge, alone in its message: whatever the agent does for this subject is over (`Grant.subject`). */
export interface RevokedSignal {
  type: 'revoked';
  subject: string;
}

/** Body of `POST {base}/session`; every field is optional, and so is the body. */
export interface SessionRequest {
  /** An SDP offer, which saves the client a round trip. */
  offer?: string;
  /** The session's id, random: the client need not wait for the answer to attach to the relay. */
  session_id?: string;
  /** The client's own, in place of the edge's. */
  ice_servers?: IceServer[];
}

/** Answer to `POST {base}/session`: 201. */
export interface SessionReady {
  session_id: string;
  /** Milliseconds since 1970. */
  expires_at: number;
  protocol_version: number;
  ice_servers: IceServer[];
  ice_source?: IceSource;
  /** When the credentials in `ice_servers` end, in milliseconds since 1970; absent if they do not. */
  ice_servers_expire_at?: number;
  /** The first STUN and TURN server once more, for clients that know only single servers. */
  stun_url: string;
  turn_url: string;
  turn_username: string;
  turn_credential: string;
  /** The announcement is the agent's last one; without it the relay is of no use. */
  host: { id: string; online: boolean; announcement?: Announcement };
}

function record(raw: unknown, what: string): Record<string, unknown> {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return refuse(`${what} must be an object`);
  return raw as Record<string, unknown>;
}

function text(value: unknown, name: string, maxLength: number): string {
  if (typeof value !== 'string') return refuse(`${name} must be a string`);
  if (value.length > maxLength) return refuse(`${name} is longer than ${maxLength}`);
  return value;
}

const BASE64URL = /^[A-Za-z0-9_-]+$/;

/** True for a host id or session id: 1 to 64 characters of base64url. */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_ID_LENGTH && BASE64URL.test(value);
}

function sessionId(value: unknown): string {
  return isId(value) ? value : refuse('session_id must be 1 to 64 characters of base64url');
}

function chosenId(value: unknown): string {
  const id = sessionId(value);
  return id.length >= MIN_CHOSEN_ID_LENGTH ? id : refuse(`session_id must have ${MIN_CHOSEN_ID_LENGTH} characters`);
}

const FROM = /^[A-Za-z0-9_-]{16}$/;

/** What the edge says of a client that it lets in, as far as it is there. @throws DirectError `E_BAD_REQUEST` */
export function parseAdmission({ grant, from }: Record<string, unknown>): Pick<OfferSignal, 'grant' | 'from'> {
  if (from !== undefined && !(typeof from === 'string' && FROM.test(from))) {
    return refuse('from must be 16 characters of base64url');
  }
  return { ...(grant === undefined ? {} : { grant: parseGrant(grant) }), ...(from === undefined ? {} : { from }) };
}

function sdp(value: unknown): string {
  const body = text(value, 'sdp', MAX_SDP_BYTES);
  return body.startsWith('v=0') ? body : refuse('sdp must start with “v=0” (RFC 8866)');
}

// One printable ASCII line: a line break would let a candidate add lines to an SDP.
const CANDIDATE_LINE = /^[\x20-\x7e]*$/;

function candidate(value: unknown): Candidate {
  // `null` is what browsers' `icecandidate` event holds at the end.
  const raw = value === null ? { candidate: '' } : record(value, 'candidate');
  const line = text(raw.candidate, 'candidate.candidate', MAX_CANDIDATE_BYTES);
  if (!CANDIDATE_LINE.test(line)) return refuse('candidate.candidate must be one line of printable ASCII');
  const index = raw.sdpMLineIndex ?? null;
  if (index !== null && !(Number.isInteger(index) && (index as number) >= 0 && (index as number) < 16)) {
    return refuse('candidate.sdpMLineIndex must be a small integer');
  }
  const optional = (name: 'sdpMid' | 'usernameFragment') => {
    const field = raw[name] ?? null;
    return field === null ? null : text(field, `candidate.${name}`, 256);
  };
  return {
    candidate: line,
    sdpMid: optional('sdpMid'),
    sdpMLineIndex: index as number | null,
    usernameFragment: optional('usernameFragment'),
  };
}

/** Parses a list of RTCIceServer. @throws DirectError `E_BAD_REQUEST` that names the field. */
export function parseIceServers(value: unknown): IceServer[] {
  if (!Array.isArray(value) || value.length > 16) return refuse('ice_servers must be a list of at most 16');
  return value.map((item) => {
    const raw = record(item, 'ice_servers');
    const urls = Array.isArray(raw.urls) ? raw.urls : [raw.urls];
    if (urls.length > 16) return refuse('ice_servers.urls must have at most 16 entries');
    return {
      urls: urls.map((url) => text(url, 'ice_servers.urls', 512)),
      ...(raw.username === undefined ? {} : { username: text(raw.username, 'ice_servers.username', 512) }),
      ...(raw.credential === undefined ? {} : { credential: text(raw.credential, 'ice_servers.credential', 512) }),
    };
  });
}

/**
 * Validates one signaling message.
 * @throws DirectError `E_BAD_REQUEST` that names the field.
 */
export function parseSignal(value: unknown): SessionSignal {
  const raw = record(value, 'a message');
  const session_id = sessionId(raw.session_id);
  switch (raw.type) {
    case 'offer':
      return {
        session_id,
        type: 'offer',
        sdp: sdp(raw.sdp),
        ...(raw.ice_servers === undefined ? {} : { ice_servers: parseIceServers(raw.ice_servers) }),
        ...parseAdmission(raw),
      };
    case 'answer':
      return {
        session_id,
        type: 'answer',
        sdp: sdp(raw.sdp),
        ...(raw.host_key === undefined ? {} : { host_key: bytesText(raw.host_key, 'host_key', KEY_BYTES) }),
        ...(raw.signature === undefined ? {} : { signature: bytesText(raw.signature, 'signature', SIGNATURE_BYTES) }),
      };
    case 'candidate':
      return { session_id, type: 'candidate', candidate: candidate(raw.candidate) };
    case 'error':
      return {
        session_id,
        type: 'error',
        code: isErrorCode(raw.code) ? raw.code : 'E_INTERNAL',
        message: text(raw.message, 'message', MAX_REASON_BYTES),
      };
    default:
      return refuse('type must be offer, answer, candidate or error');
  }
}

/**
 * The announcement in parsed JSON, or undefined when it is a message of another kind.
 * @throws DirectError `E_BAD_REQUEST` when it is one, and malformed.
 */
export function parseAnnounce(raw: unknown): Announcement | undefined {
  const message = ofType(raw, 'announce');
  return message === undefined ? undefined : parseAnnouncement(message.announcement);
}

/** The same for what the edge says of a subject. @throws DirectError `E_BAD_REQUEST` */
export function parseRevoked(raw: unknown): string | undefined {
  const message = ofType(raw, 'revoked');
  if (message === undefined) return undefined;
  return isSubject(message.subject) ? message.subject : refuse('subject names nobody');
}

/** JSON text from the wire, its length checked first. @throws DirectError `E_TOO_LARGE` or `E_BAD_REQUEST`. */
export function parseSignalJson(body: string): unknown {
  if (body.length > MAX_SIGNAL_BYTES) throw new DirectError('E_TOO_LARGE');
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return refuse('the message is not JSON');
  }
}

/**
 * Parses the text of a WebSocket message or of a POST or poll body: one message, or a list of them.
 * @throws DirectError `E_TOO_LARGE` or `E_BAD_REQUEST`.
 */
export function parseSignals(body: string): SessionSignal[] {
  return parseSignalList(parseSignalJson(body));
}

/** The same for JSON that is parsed already. @throws DirectError `E_BAD_REQUEST` */
export function parseSignalList(raw: unknown): SessionSignal[] {
  if (!Array.isArray(raw)) return [parseSignal(raw)];
  if (raw.length > MAX_CANDIDATES_PER_SESSION + 2) return refuse('too many messages in one batch');
  return raw.map(parseSignal);
}

/** Parses the body of `POST {base}/session`, where an empty body counts as `{}`. @throws DirectError */
export function parseSessionRequest(body: string): SessionRequest {
  if (body.trim() === '') return {};
  const raw = record(parseSignalJson(body), 'the body');
  return {
    ...(raw.offer === undefined ? {} : { offer: sdp(raw.offer) }),
    ...(raw.session_id === undefined ? {} : { session_id: chosenId(raw.session_id) }),
    ...(raw.ice_servers === undefined ? {} : { ice_servers: parseIceServers(raw.ice_servers) }),
  };
}

function isIceSource(value: unknown): value is IceSource {
  return ICE_SOURCES.some((source) => source === value);
}

/** Parses the edge's answer to `POST {base}/session`. @throws DirectError `E_BAD_REQUEST` */
export function parseSessionReady(value: unknown): SessionReady {
  const raw = record(value, 'the session');
  const host = record(raw.host, 'host');
  const version = raw.protocol_version;
  if (typeof version !== 'number' || typeof raw.expires_at !== 'number') {
    return refuse('protocol_version and expires_at must be numbers');
  }
  if (!isId(host.id)) return refuse('host.id must be an id');
  return {
    session_id: sessionId(raw.session_id),
    expires_at: raw.expires_at,
    protocol_version: version,
    ice_servers: parseIceServers(raw.ice_servers),
    // An edge of another version may know more sources.
    ...(isIceSource(raw.ice_source) ? { ice_source: raw.ice_source } : {}),
    ...(typeof raw.ice_servers_expire_at === 'number' ? { ice_servers_expire_at: raw.ice_servers_expire_at } : {}),
    stun_url: text(raw.stun_url, 'stun_url', 512),
    turn_url: text(raw.turn_url, 'turn_url', 512),
    turn_username: text(raw.turn_username, 'turn_username', 512),
    turn_credential: text(raw.turn_credential, 'turn_credential', 512),
    host: {
      id: host.id,
      online: host.online === true,
      ...(host.announcement === undefined ? {} : { announcement: parseAnnouncement(host.announcement) }),
    },
  };
}
