/** What happens to a box at home, and how it is over again. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Random } from '../../shared/test-random.ts';
import type { Client } from '../../web/client/node.ts';
import type { House } from './house.ts';
import type { Ledger } from './ledger.ts';
import { type Traffic, until } from './traffic.ts';

export interface Day {
  house: House;
  ledger: Ledger;
  traffic: Traffic;
  random: Random;
  /** Those that stay all day. */
  clients: Client[];
  trace?: ((line: string) => void) | undefined;
}

interface TroubleKind {
  /** Requests in sessions that began before it go on all the same. */
  sparesSessions: boolean;
  /** Resolves when its cause is over; what it led to may last. */
  act(day: Day): Promise<void>;
}

const VANISHING_CLIENT = fileURLToPath(new URL('./vanishing-client.ts', import.meta.url));
/** The edge counts a host as offline after 75 s; sessions have ended by then, too. */
const LONG_SLEEP_MS = 80_000;
const HOUR_MS = 3_600_000;

async function sleepFor(day: Day, ms: number): Promise<void> {
  const { house, random } = day;
  // The network of a machine that sleeps answers nobody either.
  house.lab.cut('all');
  house.lab.sleep();
  await sleep(ms);
  house.lab.restore();
  house.lab.wake();
  await house.agent.suspended(random.between(1, 3) * HOUR_MS);
}

export const TROUBLES: Readonly<Record<string, TroubleKind>> = {
  'edge redeploy': {
    sparesSessions: true,
    act: async ({ house }) => {
      await house.stopEdge();
      await house.startEdge();
    },
  },
  'edge away': {
    sparesSessions: true,
    act: async ({ house, random }) => {
      await house.stopEdge();
      await sleep(random.between(5_000, 10_000));
      await house.startEdge();
    },
  },
  'IP change': {
    sparesSessions: true,
    act: async ({ house }) => {
      house.lab.roam();
      await sleep(3_000);
    },
  },
  nap: { sparesSessions: true, act: (day) => sleepFor(day, day.random.between(4_000, 9_000)) },
  sleep: { sparesSessions: false, act: (day) => sleepFor(day, LONG_SLEEP_MS) },
  'sleep and IP change': {
    sparesSessions: true,
    act: async (day) => {
      day.house.lab.sleep();
      day.house.lab.roam();
      await sleep(day.random.between(2_000, 5_000));
      day.house.lab.wake();
      await day.house.agent.suspended(HOUR_MS);
    },
  },
  'link down': {
    sparesSessions: true,
    act: async ({ house, random }) => {
      house.link('down');
      await sleep(random.between(1_000, 6_000));
      house.link('up');
    },
  },
  'UDP blocked': {
    sparesSessions: true,
    act: async ({ house, random }) => {
      house.lab.cut('udp');
      await sleep(random.between(4_000, 8_000));
      house.lab.restore();
    },
  },
  'connections reset': { sparesSessions: true, act: async ({ house }) => house.lab.reset() },
  'upstream restart': {
    sparesSessions: false,
    act: async ({ house, random }) => {
      await house.stopUpstream();
      await sleep(random.between(500, 3_000));
      await house.startUpstream();
    },
  },
  'model loading': {
    sparesSessions: false,
    act: async ({ house, random }) => {
      await house.stopUpstream();
      const loaded = await house.loadModel();
      await sleep(random.between(1_000, 3_000));
      await loaded();
      await house.startUpstream();
    },
  },
  'clients vanish': {
    sparesSessions: true,
    act: async ({ house }) => {
      const children = [1, 2].map(() => fork(VANISHING_CLIENT, [house.edgeUrl], { stdio: 'ignore' }));
      await Promise.all(
        children.map(async (child) => {
          const exited = once(child, 'exit');
          await Promise.race([once(child, 'message'), exited, sleep(20_000)]);
          child.kill('SIGKILL');
          await exited;
        }),
      );
    },
  },
  'forgotten answers': {
    sparesSessions: true,
    act: async ({ traffic }) => {
      const client = traffic.client();
      await Promise.all([1, 2, 3].map(() => traffic.held(client, false)));
      client.close();
    },
  },
};

export const TROUBLE_NAMES: readonly string[] = Object.keys(TROUBLES);

export interface Recovery {
  name: string;
  /** From the end of the cause to the first answer through the tunnel: of real time, and as the agent saw it. */
  ms: number;
  agentMs: number;
  /** Until the clients that stay had their sessions again, at most `PATHS_WITHIN_MS`. */
  pathsMs: number;
}

/**
 * An agent that hears nothing notices a dead link within 35 s. For those that wait for it, time is real, and it must not
 * give up their sessions (SESSION_SURVIVAL_MS) because its own time has passed so fast.
 */
const MAX_ADVANCE_MS = 40_000;
const STEP_MS = 2_000;
/** Its pauses between attempts grow to a minute. */
const ANSWERS_WITHIN_MS = 90_000;
/** Pauses of clients that had a path before. */
const PATHS_WITHIN_MS = 40_000;

/** Runs one trouble to its end, and until the house answers again. */
export async function suffer(day: Day, name: string): Promise<Recovery> {
  const { house, ledger } = day;
  const kind = TROUBLES[name];
  if (kind === undefined) throw new Error(`no such trouble: ${name}`);
  const trouble = ledger.trouble(name, kind);
  day.trace?.(`${(trouble.from / 1000).toFixed(3)} ${name}`);
  await kind.act(day);
  const started = performance.now();
  let advanced = 0;
  const answers = async () => {
    const timeout = AbortSignal.timeout(2_000);
    const response = await day.traffic.tunnel('/v1/models', { signal: timeout }).catch(() => undefined);
    await response?.body?.cancel();
    return response?.status === 200;
  };
  // Chances of real time first, as a client has them.
  const back = await until(async () => {
    if (await answers()) return true;
    if (performance.now() - started < 1_500 || advanced >= MAX_ADVANCE_MS) return false;
    await house.agent.advance(STEP_MS);
    advanced += STEP_MS;
    return false;
  }, ANSWERS_WITHIN_MS);
  const ms = performance.now() - started;
  if (!back) ledger.problems.push(`${name}: the host does not answer ${Math.round(ms / 1000)} s later`);
  await until(() => day.clients.every(hasPath), PATHS_WITHIN_MS);
  ledger.over(trouble);
  return { name, ms, agentMs: ms + advanced, pathsMs: performance.now() - started };
}

/** Whether its session can be used. */
export const hasPath = ({ path }: Client): boolean => path !== 'offline' && path !== 'tunnel';
