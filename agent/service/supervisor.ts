/** Keeps the agent running where the system cannot tell exit codes apart: launchd and the Task Scheduler. */
import { FINAL_EXIT_CODES } from './program.ts';
import type { ServiceState } from './service-state.ts';

const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 300_000;
/** An agent that ran so long has not failed at once; the pauses begin anew. */
const RAN_WELL_MS = 300_000;
/** For what is under way to end. */
const STOP_MS = 15_000;

export interface Exit {
  code: number | null;
  signal: string | null;
}

/** One run of the agent. */
export interface Run {
  pid: number | undefined;
  /** Also when it could not be started. */
  ended: Promise<Exit>;
  /** Asks it to end. */
  stop(): void;
  kill(): void;
}

export interface SupervisorOptions {
  start(): Run;
  log(line: string): void;
  state(state: ServiceState): void;
  now(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** The end of the service. */
  signal: AbortSignal;
}

/** Until the signal, or an exit after which another start would end the same way. */
export async function supervise({ start, log, state, now, sleep, signal }: SupervisorOptions): Promise<void> {
  let pause = FIRST_PAUSE_MS;
  let lastExit: ServiceState['last_exit'] = null;
  for (let restarts = 0; !signal.aborted; restarts++) {
    const since = now();
    const run = start();
    state({ pid: run.pid ?? null, since, restarts, last_exit: lastExit });
    const exit = await endOf(run, sleep, signal);
    lastExit = { ...exit, at: now() };
    state({ pid: null, since: null, restarts, last_exit: lastExit });
    if (signal.aborted) break;
    const how = exit.code === null ? `by ${exit.signal ?? 'an unknown cause'}` : `with code ${exit.code}`;
    if (exit.code === 0 || FINAL_EXIT_CODES.includes(exit.code ?? -1)) {
      log(`service: the agent ended ${how}, and is not started again`);
      return;
    }
    if (now() - since >= RAN_WELL_MS) pause = FIRST_PAUSE_MS;
    log(`service: the agent ended ${how}; it is started again in ${pause / 1_000} s`);
    await sleep(pause, signal);
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
  log('service: stopped');
}

async function endOf(run: Run, sleep: SupervisorOptions['sleep'], signal: AbortSignal): Promise<Exit> {
  const over = new AbortController();
  const aborted = new Promise<void>((resolve) => {
    const done = () => resolve();
    signal.addEventListener('abort', done, { once: true, signal: over.signal });
    over.signal.addEventListener('abort', done, { once: true });
  });
  try {
    const first = await Promise.race([run.ended, aborted]);
    if (first !== undefined) return first;
    run.stop();
    const second = await Promise.race([run.ended, sleep(STOP_MS, over.signal)]);
    if (second !== undefined) return second;
    run.kill();
    return await run.ended;
  } finally {
    over.abort();
  }
}
