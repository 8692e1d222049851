/** How much of what a slow reader has not read yet the agent holds. */
import { readFileSync } from 'node:fs';
import type { Extra, ExtraContext } from './extras.ts';
import { withinMs } from './place.ts';
import { median, table } from './statistics.ts';

const TOTAL_BYTES = 200e6;
const WARM_BYTES = 10e6;
/** Of the reader; the path would carry more. */
const MEGABYTES_PER_SECOND = 5;
const SAMPLE_MS = 100;
/** Asked for by issue 8. */
const LIMIT_MB = 16;

export const slowReader: Extra = {
  name: 'slow-reader',
  title: `${TOTAL_BYTES / 1e6} MB to a reader of ${MEGABYTES_PER_SECOND} MB/s: memory of the agent`,
  has: ({ link }) => link === undefined,
  async measure(context) {
    const measured = [];
    for (const column of context.columns.filter(({ kind }) => kind === 'client')) {
      measured.push({ name: column.title, ...(await read(context, column)) });
    }
    const rows = measured.map(({ name, read, before, middle, most }) => [
      name,
      (read / 1e6).toFixed(0),
      ...[before, middle - before, most - before].map((bytes) => (bytes / 1e6).toFixed(1)),
      most - before < LIMIT_MB * 1e6 ? 'kept' : 'MISSED',
    ]);
    const head = ['MB', 'read', 'RSS before', 'growth, median', 'growth, most', `growth under ${LIMIT_MB} MB`];
    return { text: table([head, ...rows]), data: measured };
  },
};

async function read({ place }: ExtraContext, column: ExtraContext['columns'][number]) {
  // One that has been busy before has memory to spare, in which growth would not show.
  await place.restartAgent(column);
  const page = await place.page(column);
  // Code and buffers of any transfer are there before.
  await page.evaluate(([bytes, rate]) => bench.readSlowly(bytes, rate), [WARM_BYTES, MEGABYTES_PER_SECOND] as const);
  const before = (await place.counters(column.name, { collect: true }))?.rssBytes ?? Number.NaN;
  const pid = place.agentPid(column.name);
  const samples: number[] = [];
  const timer = setInterval(() => samples.push(residentBytes(pid)), SAMPLE_MS);
  try {
    const reading = page.evaluate(([total, rate]) => bench.readSlowly(total, rate), [
      TOTAL_BYTES,
      MEGABYTES_PER_SECOND,
    ] as const);
    const bytes = await withinMs(120_000, reading, `${TOTAL_BYTES} bytes were not read`);
    return { read: bytes, before, middle: median(samples), most: Math.max(...samples) };
  } finally {
    clearInterval(timer);
  }
}

function residentBytes(pid: number | undefined): number {
  const [, kilobytes = ''] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
