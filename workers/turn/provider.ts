/**
 * What a TURN provider is: somebody who makes credentials for TURN servers. All behave alike, which
 * turn/providers.test.ts shows for each.
 */
import type { IceServer, IceSource } from '../../shared/signal.ts';
import { hasTurn, parseUsableIceServers, withoutBlockedPorts } from '../ice-servers.ts';

export type TurnSource = Exclude<IceSource, 'client' | 'configuration' | 'default'>;

export interface MintRequest {
  /** How long the credential shall be good for, in seconds; a provider that allows less gives less. */
  readonly ttlSeconds: number;
  /** Tells users apart, and says nothing of who they are: letters, digits, `-` and `_`. */
  readonly user: string;
  readonly signal: AbortSignal;
}

export interface Minted {
  /** With a TURN server at least, and no URL on a port that browsers block. */
  readonly servers: IceServer[];
  /** When the credential ends, in milliseconds since 1970; undefined: the provider does not say. */
  readonly expiresAt?: number;
  /** What `TurnProvider.revoke` takes; empty where nothing can be revoked. */
  readonly usernames: readonly string[];
}

export interface TurnProvider {
  readonly name: TurnSource;
  /** @throws TurnFailure */
  mint(request: MintRequest): Promise<Minted>;
  /** The credential is void from now on. Absent where the provider has no such call. @throws TurnFailure */
  revoke?(username: string, signal: AbortSignal): Promise<void>;
}

/** What providers need of the world. */
export interface TurnWorld {
  readonly fetch: typeof fetch;
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back after `ms`, unless the function it returns was called. */
  timer(ms: number, run: () => void): () => void;
}

export const realWorld = (fetcher: typeof fetch = (input, init) => fetch(input, init)): TurnWorld => ({
  fetch: fetcher,
  now: () => Date.now(),
  timer: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
});

/**
 * Why a provider is of no use now, in a few words for the owner. Never what it answered nor the error behind it: those
 * may name the address that was asked, and Metered's holds the key.
 */
export class TurnFailure extends Error {
  override readonly name = 'TurnFailure';
}

/** A person waits for the page: the next provider is better than a slow one. */
export const PROVIDER_TIMEOUT_MS = 2_000;

/** Runs `act`, and gives up after PROVIDER_TIMEOUT_MS even if that does not end. @throws TurnFailure */
export async function inTime<T>(world: TurnWorld, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let cancel: () => void = () => {};
  const late = new Promise<never>((_, reject) => {
    cancel = world.timer(PROVIDER_TIMEOUT_MS, () => {
      controller.abort();
      reject(new TurnFailure('timed out'));
    });
  });
  try {
    return await Promise.race([act(controller.signal), late]);
  } catch (error) {
    throw error instanceof TurnFailure ? error : new TurnFailure('failed');
  } finally {
    cancel();
  }
}

/** Asks a provider. The answer has the status that was `expected`. @throws TurnFailure */
export async function askProvider(
  world: TurnWorld,
  url: string,
  init: RequestInit & { signal: AbortSignal },
  expected: number,
): Promise<Response> {
  let response: Response;
  try {
    // A redirect could lead the key anywhere.
    response = await world.fetch(url, { ...init, redirect: 'manual' });
  } catch {
    throw new TurnFailure(init.signal.aborted ? 'timed out' : 'not reachable');
  }
  if (response.status === expected) return response;
  await response.body?.cancel().catch(() => {});
  throw new TurnFailure(`HTTP ${response.status}`);
}

/** Honest answers have under 2 kB; more would only cost memory. */
const MAX_ANSWER_BYTES = 16_384;
const UNREADABLE = 'unreadable answer';

/** The body as JSON. @throws TurnFailure */
export async function answeredJson({ body }: Response): Promise<unknown> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
  let text = '';
  let length = 0;
  try {
    // Leaving the loop cancels the stream, so that the rest is not even received.
    for await (const chunk of body ?? []) {
      length += chunk.byteLength;
      if (length > MAX_ANSWER_BYTES) throw new TurnFailure(UNREADABLE);
      text += decoder.decode(chunk, { stream: true });
    }
    return JSON.parse(text + decoder.decode()) as unknown;
  } catch {
    throw new TurnFailure(UNREADABLE);
  }
}

/** The servers in an answer, as far as browsers take them. @throws TurnFailure */
export function mintedServers(value: unknown): IceServer[] {
  let servers: IceServer[];
  try {
    servers = withoutBlockedPorts(parseUsableIceServers(value));
  } catch {
    throw new TurnFailure(UNREADABLE);
  }
  if (!hasTurn(servers)) throw new TurnFailure('no TURN server in the answer');
  return servers;
}
