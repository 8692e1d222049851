/** The agent's log: one line per event on stderr. Tokens, prompts and answers never get here. */
/** From the fewest lines to the most. */
export const LEVELS = ['error', 'warn', 'info', 'debug'] as const;

export type LogLevel = (typeof LEVELS)[number];

export type Log = (level: LogLevel, line: string) => void;

/**
 * A log of everything up to `level`. Much of a line is the word of others, such as the reason of a Close frame, and must
 * neither begin a line of its own nor speak to the terminal.
 */
export function makeLog(level: LogLevel, write: (text: string) => void = (text) => process.stderr.write(text)): Log {
  const limit = LEVELS.indexOf(level);
  return (at, line) => {
    if (LEVELS.indexOf(at) <= limit)
      write(`${new Date().toISOString()} ${at.padEnd(5)} ${line.replaceAll(/\p{C}/gu, '�')}\n`);
  };
}
