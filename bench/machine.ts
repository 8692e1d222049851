/** What a measurement was made with. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { CHROMIUM_OPTIONS } from '../test/chromium.ts';

/** One line: processor, memory, kernel, and the versions of what runs. */
export function machine(): string {
  const [cpu] = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GB`;
  const version = (name: string) =>
    `${name} ${JSON.parse(readFileSync(`${import.meta.dirname}/../node_modules/${name}/package.json`, 'utf8')).version}`;
  const chromium = execFileSync(CHROMIUM_OPTIONS.executablePath ?? 'chromium', ['--version'], {
    encoding: 'utf8',
    // Debian's wrapper complains about its own tests.
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return [
    `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${memory}, Linux ${release()}`,
    `Node ${process.version}, ${version('workerd')}, ${version('werift')}, ${chromium.trim().split(' ').slice(0, 2).join(' ')}`,
  ].join('; ');
}
