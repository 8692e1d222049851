/** Questions to the person at the terminal. */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { CommandError, EXIT } from '../command-error.ts';

export interface Terminal {
  /** A person reads stderr and can answer. */
  readonly interactive: boolean;
  /** One line. @throws CommandError after Ctrl+C or the end of the input. */
  ask(question: string): Promise<string>;
  /** Likewise; what is typed is not shown. */
  askSecret(question: string): Promise<string>;
  /** The first line of stdin, which is no terminal. */
  readLine(): Promise<string>;
}

export function processTerminal(): Terminal {
  const { stdin, stderr } = process;
  return {
    interactive: stdin.isTTY === true && stderr.isTTY === true,
    ask: (question) => ask(question, false),
    askSecret: (question) => ask(question, true),
    readLine: async () => {
      const lines = createInterface({ input: stdin });
      try {
        for await (const line of lines) return line;
        return '';
      } finally {
        lines.close();
      }
    },
  };
}

function ask(question: string, isSecret: boolean): Promise<string> {
  process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({
    input: process.stdin,
    output: isSecret ? silent : process.stderr,
    terminal: true,
    historySize: 0,
  });
  return new Promise((resolve, reject) => {
    let answer: string | undefined;
    lines.once('line', (line) => {
      answer = line;
      lines.close();
    });
    lines.once('SIGINT', () => lines.close());
    lines.once('close', () => {
      if (isSecret || answer === undefined) process.stderr.write('\n');
      if (answer === undefined) reject(new CommandError(EXIT.interrupted, 'stopped.'));
      else resolve(answer.trim());
    });
  });
}
