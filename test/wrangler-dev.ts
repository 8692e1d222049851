/** The edge as `npx wrangler dev` serves it to a developer: wrangler's own build, its assets, its log. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../scripts/free-port.ts';
import { type Checkout, checkOut } from './checkout.ts';

/** The build of the page included, on a busy machine. */
const READY_MS = 60_000;

export class WranglerDev {
  readonly url: string;
  /** Everything that wrangler and the edge printed. */
  printed = '';
  readonly #process: ChildProcess;
  readonly #checkout: Checkout;

  private constructor(url: string, process: ChildProcess, checkout: Checkout) {
    this.url = url;
    this.#process = process;
    this.#checkout = checkout;
    const read = (part: Buffer) => {
      this.printed += part;
    };
    process.stdout?.on('data', read);
    process.stderr?.on('data', read);
  }

  /** `secrets` as `wrangler secret put` would set them. @throws Error with what wrangler printed, if it does not start */
  static async start(secrets: Record<string, string>): Promise<WranglerDev> {
    const [checkout, port] = await Promise.all([checkOut(), freePort()]);
    const lines = Object.entries(secrets).map(([name, value]) => `${name}=${value}\n`);
    await writeFile(join(checkout.folder, '.dev.vars'), lines.join(''), { mode: 0o600 });
    const flags = ['--port', `${port}`, '--log-level', 'info', '--show-interactive-dev-session', 'false'];
    const child = spawn(process.execPath, [checkout.wrangler, 'dev', ...flags], {
      cwd: checkout.folder,
      env: checkout.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const edge = new WranglerDev(`http://localhost:${port}`, child, checkout);
    const deadline = Date.now() + READY_MS;
    while (!edge.printed.includes('Ready on')) {
      if (Date.now() > deadline || child.exitCode !== null) {
        await edge.close();
        throw new Error(`wrangler dev did not start:\n${edge.printed}`);
      }
      await delay(50);
    }
    return edge;
  }

  async close(): Promise<void> {
    const { pid, exitCode } = this.#process;
    if (exitCode === null && pid !== undefined) {
      const ended = once(this.#process, 'exit');
      // With the workerd that it started.
      process.kill(-pid, 'SIGTERM');
      await ended;
    }
    await this.#checkout.remove();
  }
}
