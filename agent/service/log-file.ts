/** The log of a service where the system keeps none: a file that is begun anew before it grows without end. */
import { appendFileSync, existsSync, readFileSync, renameSync, statSync } from 'node:fs';

/** With the file before it twice that; at the level “info” weeks of a busy host. */
const MAX_BYTES = 5 * 1024 * 1024;

export class LogFile {
  readonly #path: string;
  readonly #maxBytes: number;
  #size: number;

  constructor(path: string, maxBytes = MAX_BYTES) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#size = sizeOf(path);
  }

  append(text: string | Uint8Array): void {
    if (this.#size > 0 && this.#size + text.length > this.#maxBytes) {
      renameSync(this.#path, before(this.#path));
      this.#size = 0;
    }
    appendFileSync(this.#path, text, { mode: 0o600 });
    this.#size += text.length;
  }
}

/** The last lines, those of the file before included. */
export function lastLines(path: string, count: number): string[] {
  const texts = [before(path), path].filter(existsSync).map((one) => readFileSync(one, 'utf8'));
  const lines = texts.join('').split('\n');
  if (lines.at(-1) === '') lines.pop();
  return count === 0 ? [] : lines.slice(-count);
}

/** What has been written since `offset`, and where the next call begins. The file may have begun anew. */
export function newText(path: string, offset: number): { text: string; offset: number } {
  const size = sizeOf(path);
  if (size === offset) return { text: '', offset };
  const all = readFileSync(path);
  if (size >= offset) return { text: all.subarray(offset).toString(), offset: all.length };
  const rest = existsSync(before(path)) ? readFileSync(before(path)).subarray(offset).toString() : '';
  return { text: rest + all.toString(), offset: all.length };
}

export function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}

function before(path: string): string {
  return `${path}.1`;
}
