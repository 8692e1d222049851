/** Figures of alternating runs, and how they are shown: one line for each figure, one column for each way. */
import { median, table } from './statistics.ts';

export interface Metric {
  /** In the JSON. */
  key: string;
  label: string;
  unit: string;
  digits: number;
  /** Shown is what it is above the first column's, which is the limit. */
  above?: boolean;
}

/** Of one metric in one column. */
export interface Cell {
  /** One for each run that gave one. */
  runs: number[];
  /** Why the others gave none. */
  errors: string[];
  /** Of all runs; absent where there is nothing to show. */
  median?: number;
  /** To the first column that has a median. */
  ratio?: number;
}

export interface Line {
  metric: Metric;
  cells: Record<string, Cell>;
}

/** What one run of one row in one column gave: values by the keys of metrics, or an error. */
export type Outcome = Record<string, number> | Error;

/** The lines of some metrics, in their order; `outcomes` by column, in the order of the columns. */
export function linesOf(metrics: readonly Metric[], outcomes: ReadonlyMap<string, readonly Outcome[]>): Line[] {
  return metrics.map((metric) => {
    const cells = Object.fromEntries([...outcomes].map(([column, runs]) => [column, cellOf(metric.key, runs)]));
    const base = Object.values(cells).find((cell) => cell.median !== undefined)?.median;
    for (const cell of Object.values(cells)) {
      if (cell.median !== undefined && base !== undefined && base !== 0) cell.ratio = cell.median / base;
    }
    return { metric, cells };
  });
}

function cellOf(key: string, outcomes: readonly Outcome[]): Cell {
  const errors = outcomes.filter((outcome) => outcome instanceof Error).map(({ message }) => message);
  const runs = outcomes.flatMap((outcome) => {
    const value = outcome instanceof Error ? undefined : outcome[key];
    return value === undefined || Number.isNaN(value) ? [] : [value];
  });
  return { runs, errors, ...(runs.length === 0 ? {} : { median: median(runs) }) };
}

/** A Markdown table. `columns`: name → title, the first of them is what the others are compared with. */
export function tableOf(lines: readonly Line[], columns: ReadonlyMap<string, string>): string {
  const rows = lines.flatMap((line) => {
    const { label, unit, above } = line.metric;
    const shown = [`${label}, ${unit}`, ...[...columns.keys()].map((name) => shownCell(line, line.cells[name]))];
    if (above !== true) return [shown];
    const base = Object.values(line.cells).find((cell) => cell.median !== undefined);
    return [shown, [`${label}, added, ${unit}`, ...[...columns.keys()].map((name) => added(line, name, base))]];
  });
  return table([['', ...columns.values()], ...rows]);
}

function shownCell({ metric, cells }: Line, cell: Cell | undefined): string {
  if (cell === undefined) return '–';
  const { median, ratio, errors, runs } = cell;
  if (median === undefined) return errors[0] === undefined ? '–' : `failed: ${errors[0].split('\n')[0]}`;
  const first = Object.values(cells).find((cell) => cell.median !== undefined);
  const remarks = [
    ...(ratio === undefined || cell === first ? [] : [`×${ratio.toFixed(2)}`]),
    ...(errors.length === 0 ? [] : [`${runs.length} of ${runs.length + errors.length} runs`]),
  ];
  return median.toFixed(metric.digits) + (remarks.length === 0 ? '' : ` (${remarks.join(', ')})`);
}

function added({ metric, cells }: Line, name: string, base: Cell | undefined): string {
  const cell = cells[name];
  if (cell?.median === undefined || base?.median === undefined || cell === base) return '–';
  return (cell.median - base.median).toFixed(metric.digits);
}
