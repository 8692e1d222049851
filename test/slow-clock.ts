import type { BrowserContext } from 'playwright-core';
import type { SessionEnvironment } from '../shared/path-link.ts';
import { SOCKET_PATIENCE_MS } from '../web/client/signal-socket.ts';

const FACTOR = 10;

/**
 * The environment of a client that takes ten seconds for one: what it would not wait for while a busy machine does it,
 * it waits for here.
 */
export const SLOW_CLOCK: Pick<SessionEnvironment, 'now' | 'timer'> = {
  now: () => performance.now() / FACTOR,
  timer: (ms, run) => {
    const timer = setTimeout(run, ms * FACTOR);
    return () => clearTimeout(timer);
  },
};

/** The same in pages, for the time that their requests wait for the relay before they go by plain HTTPS. */
export async function waitForRelay(context: BrowserContext): Promise<void> {
  await context.addInitScript(
    ({ patienceMs, factor }) => {
      const { setTimeout } = globalThis;
      const slow = (run: TimerHandler, ms?: number, ...values: unknown[]) =>
        setTimeout(run, ms === patienceMs ? ms * factor : ms, ...values);
      globalThis.setTimeout = slow as typeof setTimeout;
    },
    { patienceMs: SOCKET_PATIENCE_MS, factor: FACTOR },
  );
}
