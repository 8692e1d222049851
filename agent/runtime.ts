/** What the session layer takes from Node. */
import type { SessionEnvironment } from '../shared/path-link.ts';

export const nodeEnvironment: SessionEnvironment = {
  now: () => performance.now(),
  timer: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  // After this turn's I/O: what several sockets delivered in one turn leaves as one message.
  defer: (run) => void setImmediate(run),
};
