/**
 * `npm run bench:werift [-- --runs 5] [--megabytes 20] [--copy stock --copy 011+sctp-send]`: what each of our patches of
 * werift (patches/) does for bulk transfer. Two processes on loopback, on werift as npm has it and after each patch in
 * turn; the runs alternate, the figures are medians. werift as npm has it comes from npm's registry or cache.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stockWerift, type WeriftCopy, weriftPatches, withPatch } from '../scripts/werift-copies.ts';
import { median, table } from './statistics.ts';
import type { Figures, PairMessage } from './werift-pair.ts';

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    megabytes: { type: 'string', default: '20' },
    copy: { type: 'string', multiple: true },
  },
});
const BYTES = Number(options.megabytes) * 1e6;
const RUN_LIMIT_MS = 120_000;

/** Bytes of a message, and of the sender's queue. */
interface Load {
  size: number;
  queue: number;
}
const LOADS: readonly Load[] = [
  { size: 65_536, queue: 262_144 },
  { size: 16_384, queue: 262_144 },
  { size: 16_384, queue: 4_194_304 },
  { size: 1_000, queue: 262_144 },
];

/** MB/s, and milliseconds of processor time per MB at each end. */
interface Run {
  speed: number;
  sender: number;
  receiver: number;
}

async function run({ folder }: WeriftCopy, { size, queue }: Load): Promise<Run> {
  const start = (role: string) =>
    fork(join(import.meta.dirname, 'werift-pair.ts'), [role, folder, ...[BYTES, size, queue].map(String)]);
  const [sender, receiver] = [start('sender'), start('receiver')];
  const end = () => [sender, receiver].map((process) => process.kill());
  const limit = setTimeout(end, RUN_LIMIT_MS);
  try {
    const figures = (from: ChildProcess, to: ChildProcess) =>
      new Promise<Figures>((resolve, reject) => {
        from.once('exit', () => reject(new Error(`no figures in ${RUN_LIMIT_MS} ms: ${folder}, ${size} B messages`)));
        from.on('message', (message: PairMessage) => {
          if (message.kind === 'figures') resolve(message.figures);
          else to.send(message);
        });
      });
    const [sent, received] = await Promise.all([figures(sender, receiver), figures(receiver, sender)]);
    const megabytes = BYTES / 1e6;
    const cost = ({ cpuSeconds }: Figures) => (cpuSeconds * 1e3) / megabytes;
    return { speed: megabytes / received.seconds, sender: cost(sent), receiver: cost(received) };
  } finally {
    clearTimeout(limit);
    end();
  }
}

const folder = mkdtempSync(join(tmpdir(), 'direct-agent-werift-'));
try {
  const copies = [stockWerift(folder)];
  for (const patch of weriftPatches()) copies.push(withPatch(folder, copies.at(-1) as WeriftCopy, patch));
  const measured = copies.filter(({ name }) => options.copy?.includes(name) ?? true);
  const rows: string[][] = [];
  for (const load of LOADS) {
    const runs = new Map<WeriftCopy, Run[]>(measured.map((copy) => [copy, []]));
    for (let i = 0; i < Number(options.runs); i++)
      for (const copy of measured) runs.get(copy)?.push(await run(copy, load));
    const middle = (copy: WeriftCopy, of: keyof Run) => median((runs.get(copy) ?? []).map((run) => run[of]));
    for (const [i, copy] of measured.entries()) {
      const speed = middle(copy, 'speed');
      const ratio = (before: WeriftCopy | undefined) => (before ? (speed / middle(before, 'speed')).toFixed(2) : '');
      rows.push([
        `${load.size} B, ${load.queue / 1024} KiB`,
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
    `Medians of ${options.runs} alternating runs of ${options.megabytes} MB. Sender, receiver: ms of processor time per MB.`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
