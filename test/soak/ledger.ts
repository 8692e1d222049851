/** What was asked and what came of it. A request may fail while that was to be expected, and for no other reason. */

/** Where a request goes: through a session of the npm client, which survives its paths, or plainly through the edge. */
export type Way = 'session' | 'tunnel';

/** What a trouble ends. */
export interface Trouble {
  name: string;
  from: number;
  /** Infinity while it lasts. */
  to: number;
  /** Requests in sessions that began before it go on all the same. */
  sparesSessions: boolean;
}

export interface Entry {
  /** What the upstream was asked by; it runs once. */
  id: string;
  kind: string;
  way: Way;
  from: number;
  to: number;
  /** Of the failure. */
  error?: string;
}

/** After a trouble, what began in it may still fail so much later. */
const AFTERMATH_MS = 2_000;

export class Ledger {
  readonly entries: Entry[] = [];
  readonly troubles: Trouble[] = [];
  /** What must not have happened. */
  readonly problems: string[] = [];
  #lastId = 0;

  newId(kind: string): string {
    return `${kind}-${++this.#lastId}`;
  }

  trouble(name: string, { sparesSessions }: { sparesSessions: boolean }): Trouble {
    const trouble = { name, from: performance.now(), to: Number.POSITIVE_INFINITY, sparesSessions };
    this.troubles.push(trouble);
    return trouble;
  }

  over(trouble: Trouble): void {
    trouble.to = performance.now();
  }

  /** Runs a request and writes down how it ended. Bytes that differ are a problem whatever else happens. */
  async run(kind: string, way: Way, act: (id: string) => Promise<void>): Promise<Entry> {
    const id = this.newId(kind);
    const entry: Entry = { id, kind, way, from: performance.now(), to: Number.POSITIVE_INFINITY };
    this.entries.push(entry);
    try {
      await act(id);
    } catch (error) {
      entry.error = describe(error);
      if (error instanceof WrongBytes) this.problems.push(`${id}: ${error.message}`);
    }
    entry.to = performance.now();
    if (entry.error !== undefined && this.excuse(entry) === undefined) {
      this.problems.push(`${id} by ${way} failed without a reason: ${entry.error}`);
    }
    return entry;
  }

  /** The trouble that explains a failure. */
  excuse({ way, from, to }: Entry): Trouble | undefined {
    return this.troubles.find(
      (trouble) =>
        from < trouble.to + AFTERMATH_MS &&
        to > trouble.from &&
        (way === 'tunnel' || !trouble.sparesSessions || from > trouble.from),
    );
  }

  /** Each upstream's requests, as they stood in the request line: none may have run twice, and who succeeded did run. */
  account(asked: Iterable<string>): void {
    const counts = new Map<string, number>();
    for (const url of asked) {
      const id = /[?&]soak=([\w-]+)/.exec(url)?.[1];
      if (id !== undefined) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    for (const { id, error } of this.entries) {
      const count = counts.get(id) ?? 0;
      if (count > 1) this.problems.push(`${id} ran ${count} times`);
      if (count === 0 && error === undefined) this.problems.push(`${id} was answered and never ran`);
    }
  }
}

/** What came is not what was sent. */
export class WrongBytes extends Error {}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause as { code?: unknown; message?: unknown } | undefined;
  const code = cause?.code ?? (error as { code?: unknown }).code;
  return [error.message, code, cause?.message].filter((part) => part !== undefined).join(' / ');
}
