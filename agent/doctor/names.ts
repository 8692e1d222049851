/**
 * Names, looked up before anything else asks for them. Node's own look-up for sockets and fetch is `getaddrinfo`, which
 * nothing ends: with a name server that stays silent it holds up the exit of the process for 10 s and more. So what has
 * no address here is not connected to.
 */
import { isIP } from 'node:net';
import { unbracketed } from '../ip-address.ts';
import { codeOf } from './errors.ts';
import { unlessAborted, within } from './once.ts';

/** Name servers answer within a second or have a problem worth telling. */
const ANSWER_MS = 4_000;

export interface Named {
  readonly addresses: readonly string[];
  readonly ms: number;
  /** Why there is none. */
  readonly problem: string | undefined;
}

/** Rejects with the system's error, whose code says why. */
export type Lookup = (host: string, family: 4 | 6) => Promise<readonly string[]>;

/** Rejects only when the signal is aborted. */
export async function named(look: Lookup, host: string, family: 4 | 6, signal: AbortSignal): Promise<Named> {
  // RFC 6761, section 6.3: no name server is asked for it.
  if (host === 'localhost') return { addresses: [family === 4 ? '127.0.0.1' : '::1'], ms: 0, problem: undefined };
  const literal = isIP(host);
  if (literal !== 0) return { addresses: literal === family ? [host] : [], ms: 0, problem: undefined };
  const limit = within(ANSWER_MS, signal);
  const start = performance.now();
  const done = (addresses: readonly string[], problem: string | undefined): Named => ({
    addresses,
    ms: Math.round(performance.now() - start),
    problem,
  });
  try {
    return done(await unlessAborted(look(host, family), limit), undefined);
  } catch (error) {
    signal.throwIfAborted();
    const code = codeOf(error);
    return done([], limit.aborted || code === 'ETIMEOUT' ? 'the name server does not answer' : code);
  }
}

/** Why `host` cannot be connected to by its name; undefined: it can. */
export async function problemOfName(look: Lookup, host: string, signal: AbortSignal): Promise<string | undefined> {
  const both = await Promise.all(([4, 6] as const).map((family) => named(look, host, family, signal)));
  if (both.some(({ addresses }) => addresses.length > 0)) return undefined;
  return both.find(({ problem }) => problem !== undefined)?.problem ?? 'it has no address';
}

/** Of a URL, without brackets. */
export function hostOf(url: string): string {
  return unbracketed(new URL(url).hostname);
}
