/** An agent in this process for as long as the doctor runs, where the host has none. */
import type { DirectError } from '../../shared/errors.ts';
import type { RunningAgent } from '../agent.ts';
import type { Config } from '../config.ts';
import type { LocalServer } from '../discovery.ts';
import type { Interfaces } from '../local-addresses.ts';
import type { HostIdentity } from '../store.ts';
import { unlessAborted, within } from './once.ts';

const START_MS = 5_000;

export interface TemporaryAgentOptions {
  readonly config: Config;
  readonly folder: string;
  readonly identity: HostIdentity;
  readonly servers: readonly LocalServer[];
  readonly interfaces: () => Interfaces;
  /** Asked at the last moment. */
  mayStart(): Promise<boolean>;
  readonly signal: AbortSignal;
}

/** Resolves when the edge has it. @throws Error that says why not */
export async function startTemporaryAgent(options: TemporaryAgentOptions): Promise<RunningAgent> {
  const { config, folder, identity, servers, interfaces, signal } = options;
  // It takes long to load, and most runs do without.
  const { startAgent } = await import('../agent.ts');
  if (!(await options.mayStart())) throw new Error('the host has come online meanwhile; run this again');
  signal.throwIfAborted();
  const limit = within(START_MS, signal);
  const up = Promise.withResolvers<void>();
  const agent = await startAgent({
    // The router is asked elsewhere; a client on this machine does not come through it.
    config: { ...config, network: { ...config.network, portMapping: false } },
    servers,
    search: async () => servers,
    hostKeys: identity.keys,
    folder,
    log: () => {},
    interfaces,
    up: () => up.resolve(),
    refused: (error: DirectError) => up.reject(error),
  });
  try {
    await unlessAborted(up.promise, limit);
    return agent;
  } catch (error) {
    await agent.close();
    throw limit.aborted ? new Error('the edge does not take it in time') : error;
  }
}
