/**
 * The soak test: the agent lives through days of sleep, IP changes, redeployed edges and restarted upstreams while
 * clients stream, and holds as much after each hour as after the first ones.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../../shared/test-random.ts';
import type { Client } from '../../web/client/node.ts';
import type { Held } from './agent.ts';
import { House, type HouseOptions } from './house.ts';
import { Ledger } from './ledger.ts';
import { Traffic, until } from './traffic.ts';
import { type Day, hasPath, type Recovery, suffer, TROUBLE_NAMES } from './troubles.ts';
import { type Verdict, verdictOf } from './verdict.ts';

export interface SoakOptions extends HouseOptions {
  hours: number;
  seed: number;
  /** Troubles of an hour, taken in turn from all kinds in an order of chance. */
  troublesPerHour: number;
  /** The kinds to take; all of them otherwise. */
  kinds?: readonly string[];
  /** Clients of an hour that come and go. */
  visitsPerHour: number;
  /** Each hour, as soon as it is over. */
  hour?(hour: Hour): void;
  /** Heap snapshots after the first and the last hour go here, as `{snapshots}-{hour}.heapsnapshot`. */
  snapshots?: string | undefined;
  /** Takes what the clients that stay say of their connections, with their number. */
  trace?: ((line: string) => void) | undefined;
  /** Ends the test early, after an hour. */
  signal?: AbortSignal;
}

export interface Hour {
  number: number;
  troubles: Recovery[];
  /** Requests that ended in this hour. */
  succeeded: number;
  failed: number;
  visits: number;
  /** Paths of the clients that stay: by WebRTC, by the relay alone, by TURN. */
  paths: string[];
  held: Held;
  /** Real time. */
  seconds: number;
}

export interface SoakReport {
  seed: number;
  hours: Hour[];
  verdict: Verdict;
  problems: string[];
  /** Requests by kind and end; codes of failures that were to be expected, with their number. */
  requests: Record<string, { succeeded: number; failed: number }>;
  failures: Record<string, number>;
  /** Those that took longest, in seconds. */
  slowest: string[];
  log: readonly string[];
}

const HOUR_MS = 3_600_000;
/** So much of an hour is at least filled with requests, besides the troubles. */
const CALM_MS = 3_000;
/** Descriptors of the house at rest may take so long, on the agent's clock, to be closed. */
const REST_MS = 180_000;

export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const house = await House.start(options);
  const ledger = new Ledger();
  const random = new Random(options.seed);
  const traffic = new Traffic(house.edgeUrl, ledger, random, options.trace);
  const hours: Hour[] = [];
  const clients: Client[] = [];
  const day: Day = { house, ledger, traffic, random, clients, trace: options.trace };
  try {
    if (!(await until(() => house.agent.ups.length > 0, 30_000))) throw new Error(house.agent.log.join('\n'));
    const first = traffic.staying(1);
    clients.push(first);
    await traffic.chat(first, 10, 1_000);
    traffic.hostKey = first.hostKey;
    clients.push(traffic.staying(2, { webrtc: false }), traffic.staying(3, { iceTransportPolicy: 'relay' }));
    let deck: string[] = [];
    for (let number = 1; number <= options.hours && options.signal?.aborted !== true; number++) {
      while (deck.length < options.troublesPerHour)
        deck = [...deck, ...random.shuffled(options.kinds ?? TROUBLE_NAMES)];
      const hour = await runHour(day, { number, clients, troubles: deck.splice(0, options.troublesPerHour), options });
      hours.push(hour);
      options.hour?.(hour);
      if (options.snapshots !== undefined && (number === 2 || number === options.hours)) {
        await house.agent.snapshot(`${options.snapshots}-${number}.heapsnapshot`);
      }
      if (house.agent.ended !== '') throw new Error(house.agent.ended);
    }
    if (!(await until(() => first.path === 'direct', 90_000))) {
      ledger.problems.push(`the direct path does not come back: ${first.path}, ${first.error?.message}`);
    }
  } catch (error) {
    ledger.problems.push(`the test broke off: ${error instanceof Error ? error.stack : error}`);
  } finally {
    for (const client of clients) client.close();
    await house.close();
  }
  const asked = house.upstreams.flatMap(({ requests, sockets }) => [...requests, ...sockets].map(({ url }) => url));
  ledger.account(asked);
  ledger.problems.push(...house.agent.mistakes.map((line) => `the agent said: ${line}`));
  const verdict = verdictOf(hours.map(({ held }) => held));
  return {
    seed: options.seed,
    hours,
    verdict,
    problems: [...ledger.problems, ...verdict.problems],
    ...requestsOf(ledger),
    log: house.agent.log,
  };
}

interface HourOptions {
  number: number;
  clients: Client[];
  troubles: string[];
  options: SoakOptions;
}

async function runHour(day: Day, { number, clients, troubles, options }: HourOptions): Promise<Hour> {
  const { house, ledger, traffic, random } = day;
  const started = performance.now();
  const before = ledger.entries.length;
  let isOver = false;
  let visits = 0;
  const visitors = async () => {
    while (visits < options.visitsPerHour) {
      visits += 1;
      await traffic.visit({ webrtc: random.next() < 0.85 });
    }
  };
  const tunnel = async () => {
    while (!isOver) {
      await traffic.chat(traffic.tunnel, random.between(5, 100), 500);
      await traffic.download(traffic.tunnel, random.between(1, 500_000));
      await sleep(200);
    }
  };
  const load = Promise.all([
    ...clients.map(async (client) => {
      while (!isOver) await something(day, client);
    }),
    // What runs while something happens is what matters.
    ...clients.map(async (client) => {
      while (!isOver) await traffic.chat(client, random.between(100, 400), 100);
    }),
    tunnel(),
  ]);
  const visiting = Promise.all([visitors(), visitors()]);
  const recoveries: Recovery[] = [];
  for (const name of troubles) {
    await sleep(CALM_MS / troubles.length);
    recoveries.push(await suffer(day, name));
  }
  await visiting;
  isOver = true;
  await load;
  // Paths come back by the clients' clocks, which are real: an hour must not pass for the agent meanwhile.
  await until(() => clients.every(hasPath), 70_000);
  const quietFrom = house.agent.log.length;
  const thinking = traffic.think(clients[0] ?? traffic.tunnel, 2_000);
  const elapsed = performance.now() - started;
  await house.agent.advance(Math.max(REST_MS, HOUR_MS - elapsed));
  await thinking;
  // What the clients and the edge did not answer in time would be the test's own doing.
  for (const line of house.agent.log.slice(quietFrom)) {
    if (/link: not|ICE failed/.test(line)) ledger.problems.push(`at rest: ${line}`);
  }
  const held = await atRest(day);
  const ended = ledger.entries.slice(before);
  return {
    number,
    troubles: recoveries,
    succeeded: ended.filter(({ error }) => error === undefined).length,
    failed: ended.filter(({ error }) => error !== undefined).length,
    visits,
    paths: clients.map(({ path }) => path),
    held,
    seconds: (performance.now() - started) / 1000,
  };
}

/** One request of any kind. */
async function something({ traffic, random }: Day, client: Client): Promise<void> {
  switch (random.between(1, 8)) {
    case 1:
      await traffic.download(client, random.between(1, 2_000_000));
      break;
    case 2:
      await traffic.download(client, 3_000_000, random.between(500, 3_000));
      break;
    case 3:
      await traffic.upload(client, random.between(1, 1_000_000));
      break;
    case 4:
      await traffic.abort(client);
      break;
    case 5:
      await traffic.held(client, true);
      break;
    case 6:
      await traffic.socket(client, random.between(10, 100), random.between(1, 20));
      break;
    case 7:
      await traffic.think(client, random.between(1, 1_500));
      break;
    default:
      await traffic.chat(client, random.between(1, 1_000), 5_000);
  }
  await sleep(50);
}

/** What the agent holds once nothing more of the hour is under way. */
async function atRest({ house }: Day): Promise<Held> {
  let held = await house.agent.held();
  // The upstream's idle connections end by real time.
  for (let waited = 0; waited < 8 && (held.descriptors.tcp ?? 0) > 1; waited++) {
    await sleep(1_000);
    await house.agent.advance(2_000);
    held = await house.agent.held();
  }
  return held;
}

function requestsOf({ entries, troubles }: Ledger): Pick<SoakReport, 'requests' | 'failures' | 'slowest'> {
  const requests: SoakReport['requests'] = {};
  const failures: SoakReport['failures'] = {};
  for (const { kind, way, error } of entries) {
    requests[`${kind} by ${way}`] ??= { succeeded: 0, failed: 0 };
    const counts = requests[`${kind} by ${way}`] as { succeeded: number; failed: number };
    counts[error === undefined ? 'succeeded' : 'failed'] += 1;
    if (error === undefined) continue;
    const code = /E_[A-Z_]+/.exec(error)?.[0] ?? error.slice(0, 80);
    failures[code] = (failures[code] ?? 0) + 1;
  }
  const slowest = entries
    .toSorted((a, b) => b.to - b.from - (a.to - a.from))
    .slice(0, 12)
    .map(({ id, way, from, to, error }) => {
      const during = troubles.filter((trouble) => trouble.from < to && trouble.to > from).map(({ name }) => name);
      const seconds = ((to - from) / 1000).toFixed(1);
      return `${id} by ${way}: ${seconds} s from ${(from / 1000).toFixed(1)}, ${error ?? 'well'}; ${during.join(', ')}`;
    });
  return { requests, failures, slowest };
}
