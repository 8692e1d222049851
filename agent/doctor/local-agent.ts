/** The agent that runs on this machine with the same folder, if it says something of itself. */
import { askAgent } from '../control.ts';

export interface LocalAgent {
  readonly pid: number;
  readonly version: string;
  readonly hostId: string;
  /** Why its link to the edge is down; null while it is up. */
  readonly problem: string | null;
}

/** Resolves with undefined where none runs, or none that can be asked. Never rejects. */
export async function askLocalAgent(folder: string, signal: AbortSignal): Promise<LocalAgent | undefined> {
  const report = await askAgent(folder, signal);
  if (report === undefined) return undefined;
  const { pid, version, host_id: hostId, link } = report;
  return { pid, version, hostId, problem: link.state === 'up' ? null : (link.problem ?? 'not connected') };
}
