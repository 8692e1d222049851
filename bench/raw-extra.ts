/** Stock werift beside the copy that this project mends: bulk between two Node processes, nothing else of ours. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installedWerift, stockWerift } from '../scripts/werift-copies.ts';
import { spawnInside } from '../test/namespaces.ts';
import type { Extra } from './extras.ts';
import type { Place } from './place.ts';
import { linesOf, type Metric, type Outcome, tableOf } from './results.ts';
import { pairCommand, WeriftPair } from './werift-pair.ts';

/** Stock werift takes no more in one message. */
const CHUNKS_KIB = [16, 64] as const;
/** Code is compiled. */
const WARM_MS = 1_500;
const KIB = 1024;
const QUEUE_BYTES = 256 * KIB;
const STDIO = ['ignore', 'ignore', 'inherit', 'ipc'] as const;

const METRICS: readonly Metric[] = CHUNKS_KIB.flatMap((chunk) => [
  { key: `rate-${chunk}`, label: `bulk, ${chunk} KiB messages`, unit: 'MB/s', digits: 1 },
  { key: `sender-${chunk}`, label: '  sender: CPU for 1 MB', unit: 'ms', digits: 1 },
  { key: `receiver-${chunk}`, label: '  receiver: CPU for 1 MB', unit: 'ms', digits: 1 },
]);

export const raw: Extra = {
  name: 'raw',
  title: 'Bulk between two Node processes by werift alone',
  has: () => true,
  async measure({ place, runs }) {
    const root = mkdtempSync(join(tmpdir(), 'direct-agent-werift-'));
    try {
      const copies = [stockWerift(root), installedWerift(root)];
      const outcomes = new Map<string, Outcome[]>(copies.map(({ name }) => [name, []]));
      for (let run = 0; run < runs; run++) {
        for (const { name, folder } of copies) outcomes.get(name)?.push(await measure(place, folder).catch(asError));
      }
      const lines = linesOf(METRICS, outcomes);
      const titles = new Map([
        ['stock', 'werift as npm has it'],
        ['installed', 'werift with patches/'],
      ]);
      return { text: tableOf(lines, titles), data: lines };
    } finally {
      rmSync(root, { recursive: true });
    }
  },
};

/** The sender is where the agent is. */
async function measure(place: Place, folder: string): Promise<Record<string, number>> {
  const [command = '', ...words] = pairCommand(folder, 'offer', place.lab.hostAddress);
  const sender = spawn(command, words, { stdio: [...STDIO] });
  const inside = pairCommand(folder, 'answer', place.lab.clientAddress);
  const pair = await WeriftPair.connect(sender, spawnInside(place.lab.namespace, inside, { stdio: [...STDIO] }));
  try {
    const { link } = place.condition;
    const times = link === undefined ? { warmMs: 500, ms: 1500 } : { warmMs: 1500, ms: 3000 };
    const values: Record<string, number> = {};
    await pair.bulk({ chunk: KIB * CHUNKS_KIB[0], queue: QUEUE_BYTES, warmMs: 0, ms: WARM_MS });
    for (const chunk of CHUNKS_KIB) {
      const figures = await pair.bulk({ chunk: KIB * chunk, queue: QUEUE_BYTES, ...times });
      for (const [name, value] of Object.entries(figures)) values[`${name}-${chunk}`] = value;
    }
    return values;
  } finally {
    pair.end();
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
