/** A few small requests by the way in use and by the tunnel, one beside the other. */
import { isPathKind } from '../../shared/path.ts';
import { type Client, DirectError } from '../client/index.ts';
import { median } from './latency.ts';

const ROUNDS = 5;

export interface Measured {
  /** Milliseconds to the first byte; undefined if no request was answered. */
  median: number | undefined;
  /** Why, in few words. */
  problem: string | undefined;
}

export interface Measurement {
  /** Undefined where the tunnel is the way in use. */
  current: (Measured & { way: Client['path'] }) | undefined;
  tunnel: Measured;
}

export async function measure(client: Pick<Client, 'fetch' | 'path'>, now: () => number): Promise<Measurement> {
  const way = client.path;
  const isBeside = isPathKind(way);
  const times: Record<'current' | 'tunnel', number[]> = { current: [], tunnel: [] };
  const problems: { current?: string; tunnel?: string } = {};
  const ask = async (name: 'current' | 'tunnel', init: RequestInit) => {
    // What cannot be asked once need not be asked again.
    if (problems[name] !== undefined) return;
    const started = now();
    try {
      const response = await client.fetch('/v1/models', { ...init, cache: 'no-store' });
      const took = now() - started;
      await response.arrayBuffer();
      if (response.ok) times[name].push(took);
      else problems[name] = `it was answered with ${response.status}`;
    } catch (error) {
      problems[name] = reasonOf(error);
    }
  };
  // In turns: a network that changes meanwhile does so for both.
  for (let round = 0; round < ROUNDS; round++) {
    if (isBeside) await ask('current', {});
    // What is to outlive the page only the platform can send, by HTTPS.
    await ask('tunnel', { keepalive: true });
  }
  const measured = (name: 'current' | 'tunnel') => ({ median: median(times[name]), problem: problems[name] });
  return { current: isBeside ? { way, ...measured('current') } : undefined, tunnel: measured('tunnel') };
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof DirectError) return cause.detail ?? cause.code;
  return error instanceof Error ? error.message : String(error);
}
