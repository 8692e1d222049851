/** Shows a running agent on a terminal, for as long as somebody may look. */
import type { AgentReport } from './agent-report.ts';
import type { Interactive } from './live-terminal.ts';
import { renderView } from './live-view.ts';

export interface LiveOptions {
  interactive: Interactive;
  report(): Promise<AgentReport | undefined> | AgentReport | undefined;
  /** Milliseconds since 1970. */
  now(): number;
  /** `changed`: nobody types into the lines. */
  how: 'all' | 'changed';
  /** Calls `run` every `ms` until the returned function is called; tests have their own. */
  every?(ms: number, run: () => void): () => void;
}

export interface Live {
  /** Shows how things are now. */
  draw(): Promise<void>;
  /** Ends it; the lines are taken away, or stay. */
  stop(lines: 'clear' | 'leave'): void;
}

/** More often would be restless, and over SSH a burden. */
const REDRAW_MS = 1_000;
/** The last row is the cursor's. */
const CURSOR_ROWS = 1;

export function startLive({ interactive, report, now, how, every = interval }: LiveOptions): Live {
  const { screen, colors } = interactive;
  let latest: AgentReport | undefined;
  let isOver = false;
  let isAsking = false;
  const show = () => {
    if (isOver) return;
    const { columns, rows } = screen.terminal;
    if (interactive.isForeground()) {
      screen.show(renderView(latest, { columns, rows: rows - CURSOR_ROWS, now: now(), colors }), how);
    } else screen.leave();
  };
  const draw = async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      latest = await report();
    } finally {
      isAsking = false;
    }
    show();
  };
  const ends = [
    every(REDRAW_MS, () => void draw()),
    interactive.onResize(show),
    interactive.onContinue(() => {
      screen.leave();
      show();
    }),
  ];
  return {
    draw,
    stop(lines) {
      isOver = true;
      for (const end of ends) end();
      if (lines === 'clear') screen.clear();
      else screen.leave();
    },
  };
}

function interval(ms: number, run: () => void): () => void {
  const timer = setInterval(run, ms);
  timer.unref();
  return () => clearInterval(timer);
}
