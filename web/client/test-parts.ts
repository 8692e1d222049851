/** For tests: the client's later files, which are there at once, as no simulated clock knows how long a file takes. */
import type { ClientEnvironment } from './environment.ts';
import * as relay from './relay-attempt.ts';
import * as session from './session-parts.ts';
import * as polling from './signal-poll.ts';

export const TEST_PARTS: Pick<ClientEnvironment, 'sessionParts' | 'relay' | 'polling'> = {
  sessionParts: async () => session,
  relay: async () => relay,
  polling: async () => polling,
};
