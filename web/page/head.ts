/** What the page's first script (head-script.ts) has begun, for the module that goes on with it. */
import type { HeadStart } from './head-start.ts';

export interface BegunHeadStart extends HeadStart {
  host: string;
}

/** The script stands in the document and exports nothing: it leaves here what it has begun. */
const BEGUN = Symbol.for('direct-agent.head-start');

const holder = globalThis as { [BEGUN]?: BegunHeadStart | undefined };

export function leaveHeadStart(begun: BegunHeadStart): void {
  holder[BEGUN] = begun;
}

/** What was begun for `host`, once; what was begun for another one ends. */
export function takeHeadStart(host: string): HeadStart['environment'] | undefined {
  const taken = holder[BEGUN];
  holder[BEGUN] = undefined;
  if (taken?.host === host) return taken.environment;
  taken?.drop();
  return undefined;
}

/** Nobody goes on with what was begun, if anything was. */
export function dropHeadStart(): void {
  holder[BEGUN]?.drop();
  holder[BEGUN] = undefined;
}
