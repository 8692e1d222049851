/**
 * Lines that stay below what a terminal scrolls, and change in place. The cursor is always at the beginning of the line
 * after them and never hidden, so that whatever ends the process leaves the terminal as it should be.
 */
import { stripVTControlCharacters } from 'node:util';
import { width } from './live-text.ts';

export interface Terminal {
  /** As it is now. */
  readonly columns: number;
  readonly rows: number;
  write(text: string): void;
}

const up = (rows: number) => (rows > 0 ? `\x1b[${rows}A` : '');
const ERASE_BELOW = '\x1b[0J';
const ERASE_LINE = '\x1b[2K';

export class Screen {
  readonly #terminal: Terminal;
  #shown: readonly string[] = [];

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  get terminal(): Terminal {
    return this.#terminal;
  }

  /**
   * Puts `lines` in place of those before; each must be shorter than the terminal is wide. `changed`: writes only those
   * that are others, which needs a terminal where nobody types in between.
   */
  show(lines: readonly string[], how: 'all' | 'changed' = 'all'): void {
    const before = this.#shown;
    if (lines.length === before.length && lines.every((line, index) => line === before[index])) return;
    const isSame = how === 'changed' && lines.length === before.length && this.#height() === lines.length;
    const text = isSame
      ? up(lines.length) + lines.map((line, at) => (line === before[at] ? '' : ERASE_LINE + line)).join('\n')
      : this.#erasing() + lines.join('\n');
    this.#shown = [...lines];
    // In one piece, so that nobody sees half of it.
    this.#terminal.write(lines.length === 0 ? text : `${text}\n`);
  }

  /** Writes whole lines above those that stay, by `write` if they go to another stream of the same terminal. */
  print(text: string, write = (text: string) => this.#terminal.write(text)): void {
    const lines = this.#shown.map((line) => `${line}\n`).join('');
    if (lines !== '') this.#terminal.write(this.#erasing());
    write(text);
    if (lines !== '') this.#terminal.write(lines);
  }

  /** From now on nothing is shown: what is there is taken away. */
  clear(): void {
    this.show([]);
  }

  /** From now on nothing is shown: what is there stays, as lines like any others. */
  leave(): void {
    this.#shown = [];
  }

  #erasing(): string {
    return this.#shown.length === 0 ? '' : `\r${up(this.#height())}${ERASE_BELOW}`;
  }

  /** Rows that the lines take now: a terminal that became narrower has wrapped them. */
  #height(): number {
    const { columns } = this.#terminal;
    return this.#shown.reduce((sum, line) => {
      const taken = width(stripVTControlCharacters(line));
      return sum + Math.max(1, Math.ceil(taken / Math.max(1, columns)));
    }, 0);
  }
}
