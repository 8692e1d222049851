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

  /** Never throws: an agent shall not end because a disk is full, or because somebody on Windows has its log open. */
  append(text: string | Uint8Array): void {
    if (this.#size > 0 && this.#size + text.length > this.#maxBytes) this.#beginAnew();
    try {
      appendFileSync(this.#path, text, { mode: 0o600 });
      this.#size += text.length;
    } catch {
      // This text is lost; the next one tries again.
    }
  }

  #beginAnew(): void {
    try {
      renameSync(this.#path, before(this.#path));
      this.#size = 0;
    } catch {
      // It goes on in the old one, and is tried again with the next text.
    }
  }
}

/** The last lines, those of the file before included. */
export function lastLines(path: string, count: number): string[] {
  const texts = [before(path), path].filter(existsSync).map((one) => readFileSync(one, 'utf8'));
  const lines = texts.join('').split('\n');
  if (lines.at(-1) === '') lines.pop();
  return count === 0 ? [] : lines.slice(-count);
}

/** Where somebody has read to: in which file, as it gets another name, and how far. */
export interface Position {
  file: number;
  offset: number;
}

/** The end of the log. */
export function endOf(path: string): Position {
  const { ino: file = 0, size: offset = 0 } = existsSync(path) ? statSync(path) : {};
  return { file, offset };
}

/** What has been written since `from`, and where the next call begins. The log may have begun anew. */
export function newText(path: string, from: Position): { text: string; end: Position } {
  const { file, offset } = endOf(path);
  if (file === from.file && offset === from.offset) return { text: '', end: from };
  const all = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  const isSame = file === from.file;
  const old = !isSame && endOf(before(path)).file === from.file ? readFileSync(before(path)) : Buffer.alloc(0);
  const text = old.subarray(from.offset).toString() + all.subarray(isSame ? from.offset : 0).toString();
  return { text, end: { file, offset: all.length } };
}

function sizeOf(path: string): number {
  return endOf(path).offset;
}

function before(path: string): string {
  return `${path}.1`;
}
