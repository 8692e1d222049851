/** `direct-agent doctor`: looks at everything between a client and the models of this machine, and says what to do. */

import { EXIT, type ExitCode } from '../command-error.ts';
import type { Connection } from '../config.ts';
import { readConfiguration } from '../doctor/configuration.ts';
import { examine } from '../doctor/examination.ts';
import { type Finding, warning } from '../doctor/finding.ts';
import { heading, lines, summarise, summaryLine } from '../doctor/report.ts';
import { sectionsOf } from '../doctor/sections.ts';
import { edgeOf } from '../edge-address.ts';
import { VERSION } from '../version.ts';
import { type Context, type Flags, openStore } from './context.ts';

/** What the command promises, from the start of its process to the end. */
const TOTAL_MS = 15_000;
/** To undo what the checks have left behind, to print, and to exit. */
const RESERVED_MS = 2_750;
/** On a machine that is so slow to start, the promise is lost anyway. */
const MIN_LIMIT_MS = 9_000;

export interface DoctorOptions {
  /** Whether stdout is a terminal that shows colours. */
  readonly colour: boolean;
  /** Since the process started, in milliseconds. */
  readonly elapsedMs: number;
}

/** Exit code 1 if anything failed. @throws CommandError when it is interrupted */
export async function doctor(context: Context, flags: Flags, options: DoctorOptions): Promise<ExitCode> {
  const { out, err, signal } = context;
  const { colour, elapsedMs } = options;
  const limitMs = Math.max(MIN_LIMIT_MS, Math.floor(TOTAL_MS - RESERVED_MS - elapsedMs));
  const asJson = flags.json === true;
  const warnings: Finding[] = [];
  const store = openStore(context, flags);
  const { findings, settings, connection } = readConfiguration(context, flags, store);
  const { sections, visit } = sectionsOf({ context, flags, store, settings, connection, configuration: findings });
  let title = '';
  const show = (section: string, found: readonly Finding[]) => {
    if (asJson || found.length === 0) return;
    if (section !== title) {
      if (title !== '') out('');
      out(heading(section, colour));
      title = section;
    }
    for (const line of found.flatMap((one) => lines(one, colour))) out(line);
  };
  let all: Finding[] = [];
  try {
    all = await examine({ sections, limitMs, signal, found: (section, found) => show(section.title, found) });
  } finally {
    for (const problem of (await visit?.end()) ?? []) warnings.push(warning('visit', problem));
  }
  if (signal.aborted) {
    for (const { what } of warnings) err(what);
    err('Interrupted.');
    return EXIT.interrupted;
  }
  show('Afterwards', warnings);
  all.push(...warnings);
  const summary = summarise(all);
  if (asJson) out(JSON.stringify({ version: VERSION, edge: edgeIn(connection), findings: all, summary }, null, 2));
  else {
    out('');
    out(summaryLine(summary));
  }
  return summary.failure === 0 ? EXIT.ok : EXIT.unhealthy;
}

function edgeIn(connection: Connection | undefined): string | null {
  return connection === undefined ? null : edgeOf(connection.signalingUrl);
}
