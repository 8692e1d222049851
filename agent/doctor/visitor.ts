/**
 * How the doctor gets in as a client: with an API key of its own, which can do nothing but list the models of this host,
 * ends by itself after minutes, and is revoked when the doctor leaves. It is never shown.
 */
import { z } from 'zod';
import { SIGNALING_SESSION_TTL_MS } from '../../shared/limits.ts';
import { type IceServer, parseIceServers, type SessionReady } from '../../shared/signal.ts';
import { CommandError, EXIT } from '../command-error.ts';
import type { Connection } from '../config.ts';
import { edgeOf } from '../edge-address.ts';
import { EdgeApi, understood } from '../edge-api.ts';

/** As the login leaves it; the edge lets no other agent make keys. */
const HOST_CREDENTIAL = 'dah_';
/** Longer than the doctor runs, by whatever clock. */
const KEY_LIFETIME_MS = 5 * 60_000;
const CALL_MS = 4_000;
const REVOKE_MS = 1_500;
/** All that the doctor asks for as a client. */
export const PROBED = '/v1/models';

const newKey = z.object({ id: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/), key: z.string().regex(/^[!-~]{20,256}$/) });
const ready = z.object({
  ice_servers: z.unknown(),
  ice_source: z.string().optional(),
  protocol_version: z.number(),
  expires_at: z.number(),
});

export interface VisitorOptions {
  readonly connection: Connection;
  readonly fetch: typeof fetch;
  /** Milliseconds since 1970. */
  now(): number;
  /** Likewise, by the edge’s clock. */
  edgeNow(): number;
}

export interface SessionFacts {
  readonly iceServers: readonly IceServer[];
  readonly iceSource: string | undefined;
  readonly protocol: SessionReady['protocol_version'];
  /** How far this machine's clock is ahead of the edge's; includes the time that the edge's answer took. */
  readonly clockAheadMs: number;
}

/** Why a login is needed; undefined: there is one. */
export function withoutKeys({ token }: Connection): string | undefined {
  return token.startsWith(HOST_CREDENTIAL)
    ? undefined
    : 'this agent runs with a configured token, and only a login can make the API key that it takes';
}

export class Visitor {
  readonly key: string;
  readonly #id: string;
  readonly #options: VisitorOptions;

  /**
   * Not to be aborted: a key that the edge has made and nobody knows of could not be revoked. It takes CALL_MS at most.
   * @throws CommandError
   */
  static async register(options: VisitorOptions): Promise<Visitor> {
    const { connection, edgeNow } = options;
    const api = apiOf(options, connection.token, CALL_MS);
    const answer = await inTime(
      api.call('POST', '/keys', {
        name: 'doctor',
        hosts: [connection.hostId],
        prefixes: [PROBED],
        models: null,
        expires_at: edgeNow() + KEY_LIFETIME_MS,
        requests_per_minute: null,
      }),
    );
    const { id, key } = understood(newKey, answer, edgeOf(connection.signalingUrl));
    return new Visitor(id, key, options);
  }

  private constructor(id: string, key: string, options: VisitorOptions) {
    this.#id = id;
    this.key = key;
    this.#options = options;
  }

  /** What a client is told when it begins: the ICE servers with their credentials. @throws CommandError */
  async session(signal: AbortSignal): Promise<SessionFacts> {
    const { connection, now } = this.#options;
    const api = apiOf(this.#options, this.key, CALL_MS, signal);
    const answer = await inTime(api.request('POST', `/_direct/h/${connection.hostId}/session`, {}));
    const facts = understood(ready, answer, edgeOf(connection.signalingUrl));
    return {
      iceServers: parseIceServers(facts.ice_servers),
      iceSource: facts.ice_source,
      protocol: facts.protocol_version,
      clockAheadMs: now() - (facts.expires_at - SIGNALING_SESSION_TTL_MS),
    };
  }

  /** Whether the edge has taken the key back. Never rejects, and takes REVOKE_MS at most. */
  async leave(): Promise<boolean> {
    const api = apiOf(this.#options, this.#options.connection.token, REVOKE_MS);
    try {
      await api.call('DELETE', `/keys/${this.#id}`);
      return true;
    } catch {
      return false;
    }
  }
}

function apiOf({ connection, fetch }: VisitorOptions, token: string, ms: number, signal?: AbortSignal): EdgeApi {
  const limit = AbortSignal.timeout(ms);
  const either = signal === undefined ? limit : AbortSignal.any([limit, signal]);
  return new EdgeApi({ edge: edgeOf(connection.signalingUrl), token, fetch, signal: either });
}

/** The API rethrows what its signal was aborted for. */
async function inTime<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof Error && error.name === 'TimeoutError')
      throw new CommandError(EXIT.tryAgain, 'the edge does not answer in time');
    throw error;
  }
}
