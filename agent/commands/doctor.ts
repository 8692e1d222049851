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

/**
 * For all checks; what they leave behind is undone within 2 s more. With half a second for a cold start the whole stays
 * below 15 s.
 */
const LIMIT_MS = 12_000;

export interface DoctorOptions {
  /** Whether stdout is a terminal that shows colours. */
  readonly colour: boolean;
}

/** Exit code 1 if anything failed. @throws CommandError when it is interrupted */
export async function doctor(context: Context, flags: Flags, { colour }: DoctorOptions): Promise<ExitCode> {
  const { out, err, signal } = context;
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
    all = await examine({ sections, limitMs: LIMIT_MS, signal, found: (section, found) => show(section.title, found) });
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
