/** What the supervisor tells `service status`, where the system does not know it: a file in the agent's folder. */
import { join } from 'node:path';
import { z } from 'zod';
import { jsonOf, readPrivate, writePrivate } from '../private-file.ts';

const serviceState = z.object({
  /** Of the agent; null while none runs. */
  pid: z.number().nullable(),
  /** When that was started. */
  since: z.number().nullable(),
  /** Since the supervisor began. */
  restarts: z.number(),
  last_exit: z.object({ code: z.number().nullable(), signal: z.string().nullable(), at: z.number() }).nullable(),
});

export type ServiceState = z.infer<typeof serviceState>;

/** Undefined while the service has not run yet. */
export function readState(folder: string): ServiceState | undefined {
  const text = readPrivate(pathIn(folder));
  return text === undefined ? undefined : serviceState.safeParse(jsonOf(text)).data;
}

export function writeState(folder: string, state: ServiceState): void {
  writePrivate(pathIn(folder), `${JSON.stringify(state)}\n`);
}

function pathIn(folder: string): string {
  return join(folder, 'service.json');
}
