/** The agent that runs on this machine with the same folder, if it says something of itself. */

export interface LocalAgent {
  readonly pid: number;
  /** Why its link to the edge is down; null while it is up, or unknown. */
  readonly problem: string | null;
}

/** Resolves with undefined where none runs. Never rejects. */
export type AskLocalAgent = (folder: string) => Promise<LocalAgent | undefined>;

export const askLocalAgent: AskLocalAgent = async () => undefined;
