/** Stock werift beside the copy that this project mends: bulk between two Node processes, nothing else of ours. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawnInside } from '../test/namespaces.ts';
import type { Extra } from './extras.ts';
import type { Place } from './place.ts';
import type { RawMessage } from './raw-node.ts';
import { linesOf, type Metric, type Outcome, tableOf } from './results.ts';

/** Stock werift takes no more in one message. */
const CHUNKS_KIB = [16, 64] as const;
/** Code is compiled. */
const WARM_MS = 1_500;
const PROGRAM = join(import.meta.dirname, 'raw-node.ts');
const ANSWER_MS = 30_000;
const KIB = 1024;

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
    const patched = dirname(dirname(fileURLToPath(import.meta.resolve('werift'))));
    const stock = unpackStock(patched);
    try {
      const copies = new Map([
        ['stock', stock.folder],
        ['patched', patched],
      ]);
      const outcomes = new Map<string, Outcome[]>([...copies.keys()].map((name) => [name, []]));
      for (let run = 0; run < runs; run++) {
        for (const [name, folder] of copies) outcomes.get(name)?.push(await pair(place, folder).catch(asError));
      }
      const lines = linesOf(METRICS, outcomes);
      const titles = new Map([
        ['stock', 'werift as npm has it'],
        ['patched', 'werift with patches/'],
      ]);
      return { text: tableOf(lines, titles), data: lines };
    } finally {
      stock.remove();
    }
  },
};

/** The package as npm has it, with the packages that it needs. */
function unpackStock(patched: string): { folder: string; remove(): void } {
  const { version } = JSON.parse(readFileSync(join(patched, 'package.json'), 'utf8')) as { version: string };
  const root = mkdtempSync(join(tmpdir(), 'direct-agent-werift-'));
  const [file = ''] = execFileSync('npm', ['pack', '--silent', `werift@${version}`], { cwd: root, encoding: 'utf8' })
    .trim()
    .split('\n')
    .slice(-1);
  execFileSync('tar', ['-xzf', file], { cwd: root });
  const modules = join(import.meta.dirname, '../node_modules');
  if (!existsSync(join(root, 'node_modules'))) symlinkSync(modules, join(root, 'node_modules'));
  return { folder: join(root, 'package'), remove: () => rmSync(root, { recursive: true, force: true }) };
}

/** The sender is where the agent is. */
async function pair(place: Place, folder: string): Promise<Record<string, number>> {
  const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const;
  const sender = spawn(process.execPath, [PROGRAM, folder, 'offer', place.lab.hostAddress], { stdio: [...stdio] });
  const inside = [process.execPath, PROGRAM, folder, 'answer', place.lab.clientAddress];
  const receiver = spawnInside(place.lab.namespace, inside, { stdio: [...stdio] });
  try {
    receiver.send(await heard(sender));
    sender.send(await heard(receiver));
    // Both say that the channel is open.
    await Promise.all([heard(sender), heard(receiver)]);
    const { link } = place.condition;
    const times = link === undefined ? { warmMs: 500, ms: 1500 } : { warmMs: 1500, ms: 3000 };
    const values: Record<string, number> = {};
    await bulk(sender, receiver, KIB * CHUNKS_KIB[0], { warmMs: 0, ms: WARM_MS });
    for (const chunk of CHUNKS_KIB) {
      const [sent, came] = await bulk(sender, receiver, KIB * chunk, times);
      values[`rate-${chunk}`] = came.rate;
      values[`sender-${chunk}`] = sent.cpuMs / came.megabytes;
      values[`receiver-${chunk}`] = came.cpuMs / came.megabytes;
    }
    return values;
  } finally {
    sender.kill();
    receiver.kill();
  }
}

interface Came {
  rate: number;
  cpuMs: number;
  megabytes: number;
}

async function bulk(
  sender: ChildProcess,
  receiver: ChildProcess,
  chunk: number,
  { warmMs, ms }: { warmMs: number; ms: number },
): Promise<[Came, Came]> {
  const ask: RawMessage = { ask: { warmMs } };
  // Begins their counts.
  for (const one of [sender, receiver]) await question(one, ask);
  sender.send({ send: { chunk, ms: warmMs + ms } } satisfies RawMessage);
  await new Promise((resolve) => setTimeout(resolve, warmMs + ms + 500));
  const [sent, came] = [await question(sender, ask), await question(receiver, ask)];
  if (came.megabytes === 0) throw new Error('nothing came');
  return [sent, came];
}

async function question(one: ChildProcess, message: RawMessage): Promise<Came> {
  const answer = heard(one);
  one.send(message);
  return (await answer) as Came;
}

async function heard(one: ChildProcess): Promise<RawMessage> {
  const [message] = await once(one, 'message', { signal: AbortSignal.timeout(ANSWER_MS) });
  return message as RawMessage;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
