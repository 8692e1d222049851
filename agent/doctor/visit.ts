/** The doctor's visit to the host as a client: what it takes to get in, made when the first check needs it, undone after. */

import { DirectError } from '../../shared/errors.ts';
import type { RunningAgent } from '../agent.ts';
import type { Config } from '../config.ts';
import type { LocalServer } from '../discovery.ts';
import type { Interfaces } from '../local-addresses.ts';
import type { Store } from '../store.ts';
import type { Look } from './host.ts';
import type { LocalAgent } from './local-agent.ts';
import { once } from './once.ts';
import { DoctorDevice, type Pass } from './pass.ts';
import { startTemporaryAgent } from './temporary-agent.ts';
import { type SessionFacts, Visitor, withoutKeys } from './visitor.ts';

const UNDO_MS = 2_000;

export interface VisitOptions {
  readonly config: Config;
  readonly store: Store;
  readonly fetch: typeof fetch;
  now(): number;
  readonly interfaces: () => Interfaces;
  readonly look: () => Promise<Look>;
  /** The same call once more. */
  readonly lookAgain: () => Promise<Look>;
  readonly localAgent: () => Promise<LocalAgent | undefined>;
  readonly servers: () => Promise<readonly LocalServer[]>;
  readonly signal: AbortSignal;
}

export interface Admitted {
  readonly facts: SessionFacts;
  readonly hostKey: string;
  readonly visitor: Visitor;
  /** The agent of this process is who answers. */
  readonly isTemporary: boolean;
}

/** Why a visit is not possible; completes “… was not tried: ”. */
export interface Refused {
  readonly why: string;
}

export class Visit {
  readonly #options: VisitOptions;
  #registering: Promise<Visitor> | undefined;
  #agent: Promise<RunningAgent> | undefined;
  #passing: Promise<Pass> | undefined;
  #device: DoctorDevice | undefined;
  /** Gets in. Never rejects. */
  readonly admitted: () => Promise<Admitted | Refused>;

  constructor(options: VisitOptions) {
    this.#options = options;
    this.admitted = once(() => this.#enter().catch((error: unknown) => ({ why: reasonOf(error) })));
  }

  /** For the agent's own door. @throws Error that says why a device of the doctor's is not let in */
  pass(admitted: Admitted): Promise<Pass> {
    this.#passing ??= this.#pass(admitted);
    return this.#passing;
  }

  async #pass({ visitor, hostKey }: Admitted): Promise<Pass> {
    const { config, store, signal } = this.#options;
    if (config.access !== 'paired') return { key: visitor.key, device: undefined };
    this.#device = await DoctorDevice.prepare(store.folder);
    await this.#device.pair(config, hostKey, visitor.key, signal);
    return { key: visitor.key, device: this.#device.keys };
  }

  /** What could not be undone, a sentence each. Never rejects, and takes UNDO_MS at most. */
  async end(): Promise<string[]> {
    const problems: string[] = [];
    const undo = async () => {
      const [visitor, agent] = await Promise.all([
        settled(this.#registering),
        settled(this.#agent),
        settled(this.#passing),
      ]);
      // While the agent is still there to hear of both.
      const [removed, revoked] = await Promise.all([this.#device?.remove(), visitor?.leave()]);
      if (removed === false)
        problems.push('The doctor’s own device is still paired. Run: direct-agent device remove doctor');
      if (revoked === false)
        problems.push('The doctor’s API key could not be revoked; it ends by itself within 5 minutes.');
      await agent?.close().catch(() => {});
    };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, UNDO_MS, 'late');
    });
    if ((await Promise.race([undo(), late])) === 'late') {
      if (this.#registering !== undefined)
        problems.push('The doctor’s API key may still be there; it ends by itself within 5 minutes.');
      if (this.#device !== undefined)
        problems.push('The doctor’s own device may still be paired. Look: direct-agent device list');
    }
    clearTimeout(timer);
    return problems;
  }

  async #enter(): Promise<Admitted | Refused> {
    const { config, store, fetch, now, look, localAgent, signal } = this.#options;
    const seen = await look();
    if (seen.unreachable !== undefined) return { why: 'the edge does not answer' };
    if (seen.credential === 'refused') return { why: 'the edge does not accept this host’s credential' };
    const why = withoutKeys(config);
    if (why !== undefined) return { why };
    const edgeNow = () => now() - (seen.clockAheadMs ?? 0);
    signal.throwIfAborted();
    const registering = Visitor.register({ connection: config, fetch, now, edgeNow });
    this.#registering = registering;
    // Whoever awaits it below may come late.
    registering.catch(() => {});
    const isTemporary = seen.online === false;
    if (isTemporary) {
      if ((await localAgent()) !== undefined) return { why: 'an agent runs here, but the edge does not see it' };
      await this.#startAgent();
    }
    const visitor = await registering;
    const facts = await visitor.session(signal);
    const { hostKey } = await store.identity();
    return { facts, hostKey, visitor, isTemporary };
  }

  async #startAgent(): Promise<void> {
    const { config, store, servers, interfaces, lookAgain, signal } = this.#options;
    const [identity, found] = await Promise.all([store.identity(), servers()]);
    this.#agent = startTemporaryAgent({
      config,
      folder: store.folder,
      identity,
      servers: found,
      interfaces,
      signal,
      // A second agent would end the first one for good.
      mayStart: async () => (await lookAgain()).online === false,
    });
    this.#agent.catch(() => {});
    try {
      await this.#agent;
    } catch (error) {
      throw new Error(`no agent runs, and none could be started for the test (${reasonOf(error)})`);
    }
  }
}

async function settled<T>(promise: Promise<T> | undefined): Promise<T | undefined> {
  return promise?.catch(() => undefined);
}

function reasonOf(error: unknown): string {
  if (error instanceof DirectError) return `${error.code}: ${error.message}`;
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
}
