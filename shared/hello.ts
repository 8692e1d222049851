/** HELLO (PROTOCOL.md, section 3): the first frame in either direction of a path. */
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import { type DeviceProof, parseDeviceProof } from './device-identity.ts';
import { ProtocolError } from './errors.ts';
import type { Frame } from './frame.ts';
import { MAX_LANES, PROTOCOL_VERSION, SESSION_SURVIVAL_MS } from './limits.ts';
import { isId } from './signal.ts';

/** The present ones have 40 bytes (sealing.ts); room for those of another KEM. */
const MAX_PREFACE_LENGTH = 256;

export type HelloFrame = Extract<Frame, { type: 'HELLO' }>;

/** What a client says on each path of its session. */
export interface ClientHello {
  /** The signaling session that the path came from: whoever does not know it was not admitted by the edge. */
  sessionId: string;
  /** The session that the path belongs to. Only its client and its agent know it, so it admits to the session. */
  session: string;
  /** The session has sent something on an earlier path: an agent that does not know it must not begin it anew. */
  resumed: boolean;
  /**
   * Of the only path on which anything was sent so far, and nothing answered, if it was a sealed one: an agent that can
   * tell that nothing has begun by it may begin the session.
   */
  preface?: Uint8Array | undefined;
  /** How long the client keeps the session without any path, in milliseconds. */
  survivalMs: number;
  /** Lanes of the path that the client takes frames in; absent: one. */
  lanes?: number | undefined;
  /** The client's device; its shape is checked, and nothing else. */
  device?: DeviceProof;
}

export function clientHello({
  sessionId,
  session,
  resumed,
  preface,
  survivalMs,
  lanes,
  device,
}: ClientHello): HelloFrame {
  const sealed = preface && encodeBase64url(preface);
  const survival_ms = survivalMs;
  return hello({ session_id: sessionId, session, resumed, preface: sealed, survival_ms, ...several(lanes), device });
}

/** `lanes`: of the path, if it has more than one. */
export function agentHello(sessionId: string, lanes?: number): HelloFrame {
  return hello({ session_id: sessionId, ...several(lanes) });
}

function several(lanes = 1): { lanes?: number } {
  return lanes > 1 ? { lanes } : {};
}

/** @throws ProtocolError `E_VERSION`, `E_SESSION_UNKNOWN` when it is not for `sessionId`, or `E_PROTOCOL` */
export function parseClientHello(json: string, sessionId: string): ClientHello {
  const members = parse(json, sessionId);
  const { session, resumed, preface, survival_ms: survival = SESSION_SURVIVAL_MS, device } = members;
  if (!isId(session)) throw new ProtocolError('HELLO names no session');
  if (typeof survival !== 'number' || !(survival >= 0)) throw new ProtocolError('survival_ms is no duration');
  return {
    sessionId,
    session,
    resumed: resumed === true,
    ...(preface === undefined ? {} : { preface: parsePreface(preface) }),
    survivalMs: Math.min(survival, SESSION_SURVIVAL_MS),
    lanes: parseLanes(members.lanes),
    ...(device === undefined ? {} : { device: parseDeviceProof(device) }),
  };
}

/** Only its shape: who knows relay keys looks at the rest. */
function parsePreface(text: unknown): Uint8Array {
  const bytes = typeof text === 'string' && text.length <= MAX_PREFACE_LENGTH ? decodeBase64url(text) : undefined;
  if (bytes === undefined) throw new ProtocolError('HELLO has a preface that is none');
  return bytes;
}

/** How many lanes the agent takes. @throws ProtocolError as above */
export function parseAgentHello(json: string, sessionId: string): number {
  return parseLanes(parse(json, sessionId).lanes);
}

function parseLanes(lanes: unknown = 1): number {
  if (typeof lanes !== 'number' || !Number.isInteger(lanes) || lanes < 1) throw new ProtocolError('lanes is no number');
  return Math.min(lanes, MAX_LANES);
}

function hello(members: Record<string, unknown>): HelloFrame {
  return { type: 'HELLO', json: JSON.stringify({ protocol_version: PROTOCOL_VERSION, ...members }) };
}

function parse(json: string, sessionId: string): Record<string, unknown> {
  let members: Record<string, unknown>;
  try {
    members = Object(JSON.parse(json)) as typeof members;
  } catch {
    throw new ProtocolError('HELLO is not JSON');
  }
  const version = members.protocol_version;
  if (version !== PROTOCOL_VERSION) {
    throw new ProtocolError(`the peer has ${String(version).slice(0, 20)}, this end ${PROTOCOL_VERSION}`, 'E_VERSION');
  }
  if (members.session_id !== sessionId) throw new ProtocolError('HELLO is for another one', 'E_SESSION_UNKNOWN');
  return members;
}
