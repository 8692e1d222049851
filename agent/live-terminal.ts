/** The terminal that a process has, if it has one: what the live view needs of it. */
import { readFileSync } from 'node:fs';
import type { ReadStream, WriteStream } from 'node:tty';
import { Screen } from './live-screen.ts';

export interface Interactive {
  readonly screen: Screen;
  readonly colors: boolean;
  /** Nobody sees what a job in the background draws but whoever types there. */
  isForeground(): boolean;
  /** Calls `run` when the terminal has another size. */
  onResize(run: () => void): () => void;
  /** Calls `run` when the process goes on after it was stopped; the cursor is anywhere then. */
  onContinue(run: () => void): () => void;
  /** Calls `run` with what is typed, which is not shown. Ctrl+C does no more than that; Ctrl+Z stops the process. */
  onKeys(run: (keys: string) => void): () => void;
}

/** Where the live view can be: `out` for a command whose output it is, `err` for one that goes on to say more. */
export interface Terminals {
  readonly out: Interactive | undefined;
  readonly err: Interactive | undefined;
}

/** The parts of the process. */
export interface Streams {
  readonly stdin: ReadStream | { isTTY?: false };
  readonly stdout: WriteStream;
  readonly stderr: WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const SUSPEND = '\x1a';
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;

/** Where both streams lead to a terminal it is the same one, since nobody has two. */
export function terminalsOf({ stdin, stdout, stderr, env }: Streams): Terminals {
  const canDraw = (stream: WriteStream) => stream.isTTY === true && env.TERM !== 'dumb';
  const stream = [stdout, stderr].find(canDraw);
  if (stream === undefined) return { out: undefined, err: undefined };
  const interactive = interactiveOf(stream, stdin, env);
  return {
    out: canDraw(stdout) ? interactive : undefined,
    err: canDraw(stderr) ? interactive : undefined,
  };
}

function interactiveOf(stream: WriteStream, stdin: Streams['stdin'], env: Streams['env']): Interactive {
  return {
    screen: new Screen({
      get columns() {
        return stream.columns || DEFAULT_COLUMNS;
      },
      get rows() {
        return stream.rows || DEFAULT_ROWS;
      },
      write: (text) => void stream.write(text),
    }),
    // https://no-color.org: whatever it says, if it says something.
    colors: (env.NO_COLOR ?? '') === '' && stream.getColorDepth() > 1,
    isForeground,
    onResize: (run) => {
      stream.on('resize', run);
      return () => stream.off('resize', run);
    },
    onContinue,
    onKeys: (run) => (stdin.isTTY === true ? readKeys(stdin as ReadStream, run) : () => {}),
  };
}

function onContinue(run: () => void): () => void {
  process.on('SIGCONT', run);
  return () => process.off('SIGCONT', run);
}

function readKeys(stdin: ReadStream, run: (keys: string) => void): () => void {
  const read = (data: Buffer) => {
    const keys = data.toString();
    if (keys !== SUSPEND || process.platform === 'win32') return run(keys);
    // What the terminal does where keys are not taken: it stops everything that runs in it together.
    stdin.setRawMode(false);
    process.kill(0, 'SIGTSTP');
  };
  const resume = onContinue(() => {
    // The shell has changed it meanwhile, which Node does not know.
    stdin.setRawMode(false);
    stdin.setRawMode(true);
  });
  stdin.setRawMode(true);
  stdin.on('data', read);
  stdin.resume();
  return () => {
    resume();
    stdin.off('data', read);
    stdin.setRawMode(false);
    stdin.pause();
  };
}

/** Whether what is typed goes to this process (proc(5): its process group is the terminal's); true where unknown. */
function isForeground(): boolean {
  if (process.platform !== 'linux') return true;
  try {
    const [, , group, , , foreground] = (readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1) ?? '').split(' ');
    return foreground === undefined || Number(foreground) <= 0 || group === foreground;
  } catch {
    return true;
  }
}
