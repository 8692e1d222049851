/**
 * `npm run soak`: 24 hours in the agent's life in a quarter of an hour, with a row for each (test/soak/). Needs root, for
 * networks of its own, and coturn.
 *
 *   npm run soak -- --hours 24 --seed 1        another day is another seed; it is printed
 *   npm run soak -- --minutes 10               as many hours as fit
 *   npm run soak -- --json                     the whole report on stdout
 *   npm run soak -- --log agent.log --trace    what the agent logged last; what the clients that stay say, on stderr
 *   npm run soak -- --snapshots /tmp/day       heap snapshots after the second hour and the last one
 *   npm run soak -- --node-arg=--max-semi-space-size=2
 *   npm run soak -- --kind 'IP change'         this kind of trouble alone; repeatable
 *   npm run soak -- --agent dist/agent.js      the packed agent in place of the source
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { houseMissing } from '../test/soak/house.ts';
import { type Hour, runSoak } from '../test/soak/soak.ts';

const { values } = parseArgs({
  options: {
    hours: { type: 'string', default: '24' },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    troubles: { type: 'string', default: '2' },
    kind: { type: 'string', multiple: true },
    visits: { type: 'string', default: '12' },
    agent: { type: 'string' },
    'node-arg': { type: 'string', multiple: true, default: [] },
    snapshots: { type: 'string' },
    trace: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    log: { type: 'string' },
  },
});

const missing = houseMissing();
if (missing !== false) throw new Error(`the soak test cannot run here: ${missing}`);
// So that the lab's own handler of “exit” removes what runs in it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
const row = (cells: readonly (string | number)[], widths: readonly number[]) =>
  cells.map((cell, i) => String(cell).padStart(widths[i] ?? 0)).join('  ');
const HEAD = [
  'hour',
  'heap MB',
  'total',
  'ext. MB',
  'RSS MB',
  'fds',
  'udp',
  'tcp',
  'timers',
  'ok',
  'failed',
  'p99 ms',
  's',
];
const WIDTHS = HEAD.map((name) => Math.max(5, name.length));

function tell({ number, held, succeeded, failed, seconds, troubles, paths }: Hour): void {
  const { heapUsed, heapTotal, external, rss, descriptors, timers, delayP99 } = held;
  const all = Object.values(descriptors).reduce((sum, count) => sum + count, 0);
  const memory = [heapUsed, heapTotal, external, rss].map(megabytes);
  const sockets = [all, descriptors.udp ?? 0, descriptors.tcp ?? 0];
  const cells = [number, ...memory, ...sockets, timers, succeeded, failed, delayP99.toFixed(0), seconds.toFixed(0)];
  const told = troubles
    .map(({ name, agentMs, pathsMs }) => `${name} (${(agentMs / 1000).toFixed(1)} s, ${(pathsMs / 1000).toFixed(1)} s)`)
    .join(', ');
  process.stderr.write(`${row(cells, WIDTHS)}  ${told}; ${paths.join(' ')}\n`);
}

process.stderr.write(
  `seed ${seed}\n${row(HEAD, WIDTHS)}  what happened (on the agent’s clock, until the host answered; in real time, until sessions went on)\n`,
);
const report = await runSoak({
  hours: Number(values.hours),
  seed,
  troublesPerHour: Number(values.troubles),
  ...(values.kind === undefined ? {} : { kinds: values.kind }),
  visitsPerHour: Number(values.visits),
  hour: tell,
  main: values.agent,
  nodeArgs: values['node-arg'],
  snapshots: values.snapshots,
  trace: values.trace ? (line) => void process.stderr.write(`${line}\n`) : undefined,
  ...(values.minutes === undefined ? {} : { signal: AbortSignal.timeout(Number(values.minutes) * 60_000) }),
});
const { verdict, requests, failures, slowest, problems, log } = report;
process.stderr.write(`${JSON.stringify({ ...verdict, problems: undefined, failures })}\n`);
for (const [kind, { succeeded, failed }] of Object.entries(requests)) {
  process.stderr.write(`${kind}: ${succeeded} succeeded, ${failed} failed in troubles that explain it\n`);
}
for (const line of slowest.slice(0, 5)) process.stderr.write(`slow: ${line}\n`);
if (values.log !== undefined) writeFileSync(values.log, `${log.join('\n')}\n`);
for (const problem of problems) process.stderr.write(`✗ ${problem}\n`);
process.stderr.write(problems.length === 0 ? '✓ flat, and all requests accounted for\n' : '');
if (values.json) console.log(JSON.stringify({ ...report, log: undefined }));
process.exit(problems.length === 0 ? 0 : 1);
