/**
 * `npm run bench:werift [-- --runs 5] [--megabytes 20] [--copy stock --copy 011+sctp-send]`: what each of our patches of
 * werift (patches/) does for bulk transfer. Two processes on loopback, on werift as npm has it and after each patch in
 * turn; the runs alternate, the figures are medians. werift as npm has it comes from npm's registry or cache.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stockWerift, type WeriftCopy, weriftPatches, withPatch } from '../scripts/werift-copies.ts';
import { median, table } from './statistics.ts';
import { type Bulk, type BulkFigures, pairCommand, WeriftPair } from './werift-pair.ts';

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    copy: { type: 'string', multiple: true },
  },
});
const LOOPBACK = '127.0.0.1';
/** Code is compiled, and the window is open. */
const WARM_MS = 1_000;

type Load = Pick<Bulk, 'chunk' | 'queue'>;
const LOADS: readonly Load[] = [
  { chunk: 65_536, queue: 262_144 },
  { chunk: 16_384, queue: 262_144 },
  { chunk: 16_384, queue: 4_194_304 },
  { chunk: 1_000, queue: 262_144 },
];

async function run({ folder }: WeriftCopy, load: Load): Promise<BulkFigures> {
  const start = (role: 'offer' | 'answer') => {
    const [command = '', ...words] = pairCommand(folder, role, LOOPBACK);
    return spawn(command, words, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  };
  const pair = await WeriftPair.connect(start('offer'), start('answer'));
  try {
    return await pair.bulk({ ...load, warmMs: WARM_MS, ms: Number(options.seconds) * 1000 });
  } finally {
    pair.end();
  }
}

const folder = mkdtempSync(join(tmpdir(), 'direct-agent-werift-'));
try {
  const copies = [stockWerift(folder)];
  for (const patch of weriftPatches()) copies.push(withPatch(folder, copies.at(-1) as WeriftCopy, patch));
  const measured = copies.filter(({ name }) => options.copy?.includes(name) ?? true);
  const rows: string[][] = [];
  for (const load of LOADS) {
    const runs = new Map<WeriftCopy, BulkFigures[]>(measured.map((copy) => [copy, []]));
    for (let i = 0; i < Number(options.runs); i++)
      for (const copy of measured) runs.get(copy)?.push(await run(copy, load));
    const middle = (copy: WeriftCopy, of: keyof BulkFigures) => median((runs.get(copy) ?? []).map((run) => run[of]));
    for (const [i, copy] of measured.entries()) {
      const speed = middle(copy, 'rate');
      const ratio = (before: WeriftCopy | undefined) => (before ? (speed / middle(before, 'rate')).toFixed(2) : '');
      rows.push([
        `${load.chunk} B, ${load.queue / 1024} KiB`,
        copy.name,
        speed.toFixed(1),
        ratio(measured[i - 1]),
        ratio(measured[0]),
        middle(copy, 'sender').toFixed(1),
        middle(copy, 'receiver').toFixed(1),
      ]);
    }
  }
  const head = ['messages, queue', 'after patch', 'MB/s', 'to the one before', 'to the first', 'sender', 'receiver'];
  console.log(`${cpus().length} × ${cpus()[0]?.model}, Linux ${release()}, Node ${process.version}\n`);
  console.log(`${table([head, ...rows])}\n`);
  console.log(
    `Medians of ${options.runs} alternating runs of ${options.seconds} s. Sender, receiver: ms of processor time per MB.`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
