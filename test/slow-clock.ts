import type { SessionEnvironment } from '../shared/path-link.ts';

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
