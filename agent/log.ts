/** The agent's log: one line per event on stderr. Tokens, prompts and answers never get here. */
import { fstatSync } from 'node:fs';
import type { ErrorCode } from '../shared/errors.ts';

/** From the fewest lines to the most. */
export const LEVELS = ['error', 'warn', 'info', 'debug'] as const;

export type LogLevel = (typeof LEVELS)[number];

/** `text`: for people. `json`: an object in each line, for programs. */
export const LOG_FORMATS = ['text', 'json'] as const;

export type LogFormat = (typeof LOG_FORMATS)[number];

/** What a program looks for in a line of JSON; the text says it in its own way. The names are stable. */
export interface LogFields {
  /** The beginning of a signaling session's id. */
  session?: string;
  /** Of the table of errors. */
  code?: ErrorCode | undefined;
  transport?: 'websocket' | 'polling';
  /** Of a request. The path has no query. */
  method?: string;
  path?: string;
  status?: number;
  tunnel?: boolean;
}

/** What may be shown of a session: the whole id lets its holder take part in the signaling. */
export function shownId(sessionId: string): string {
  return sessionId.slice(0, 8);
}

export type Log = (level: LogLevel, line: string, fields?: LogFields) => void;

export interface LogOptions {
  level: LogLevel;
  format?: LogFormat;
  /** The lines go to systemd's journal, which has the time of each, and takes its level from a prefix (sd-daemon(3)). */
  journal?: boolean;
  /** Takes whole lines. */
  write(text: string): void;
  /** Milliseconds since 1970. */
  now?(): number;
}

const JOURNAL_PRIORITY: Record<LogLevel, number> = { error: 3, warn: 4, info: 6, debug: 7 };

/**
 * A log of everything up to `level`. Much of a line is the word of others, such as the reason of a Close frame, and must
 * neither begin a line of its own nor speak to the terminal.
 */
export function makeLog({ level, format = 'text', journal = false, write, now = Date.now }: LogOptions): Log {
  const limit = LEVELS.indexOf(level);
  return (at, line, fields = {}) => {
    if (LEVELS.indexOf(at) > limit) return;
    const message = line.replaceAll(/\p{C}/gu, '�');
    const time = new Date(now()).toISOString();
    if (format === 'json') {
      // Of a name and a colon at its beginning.
      const component = /^([a-z][a-z-]*): /.exec(message)?.[1];
      write(`${JSON.stringify({ time, level: at, component, message, ...fields })}\n`);
    } else if (journal) write(`<${JOURNAL_PRIORITY[at]}>${message}\n`);
    else write(`${time} ${at.padEnd(5)} ${message}\n`);
  };
}

/** Whether stderr leads to systemd's journal (systemd.exec(5), JOURNAL_STREAM). */
export function isJournal(
  env: Readonly<Record<string, string | undefined>>,
  stat: () => { dev: number; ino: number } = () => fstatSync(2),
): boolean {
  const { JOURNAL_STREAM: stream } = env;
  if (stream === undefined || stream === '') return false;
  try {
    const { dev, ino } = stat();
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}
