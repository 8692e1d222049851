/** A terminal for tests: what is on its screen after all that was written, as xterm understands it. */
import xterm from '@xterm/headless';
import type { Terminal } from './live-screen.ts';

export class TestTerminal implements Terminal {
  readonly written: string[] = [];
  readonly #xterm: InstanceType<typeof xterm.Terminal>;

  constructor(columns: number, rows: number) {
    // As the terminal driver does, a line feed also goes back to the beginning.
    this.#xterm = new xterm.Terminal({
      cols: columns,
      rows,
      allowProposedApi: true,
      convertEol: true,
      scrollback: 1000,
    });
  }

  get columns(): number {
    return this.#xterm.cols;
  }

  get rows(): number {
    return this.#xterm.rows;
  }

  write(text: string): void {
    this.written.push(text);
    this.#xterm.write(text);
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#settled();
    this.#xterm.resize(columns, rows);
  }

  /** All lines, those that scrolled off as well, without empty ones at the end. */
  async lines(): Promise<string[]> {
    await this.#settled();
    const { active } = this.#xterm.buffer;
    const lines = Array.from({ length: active.length }, (_, at) => active.getLine(at)?.translateToString(true) ?? '');
    while (lines.at(-1) === '') lines.pop();
    return lines;
  }

  /** The row and the column of the cursor, counted from the first line of all. */
  async cursor(): Promise<[row: number, column: number]> {
    await this.#settled();
    const { active } = this.#xterm.buffer;
    return [active.baseY + active.cursorY, active.cursorX];
  }

  #settled(): Promise<void> {
    return new Promise((resolve) => this.#xterm.write('', resolve));
  }
}
