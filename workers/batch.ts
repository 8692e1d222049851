/** Messages as the peers' parsers accept them: `parseSignals` in shared/signal.ts refuses longer lists and texts. */
import { DirectError } from '../shared/errors.ts';
import { MAX_CANDIDATES_PER_SESSION, MAX_SIGNAL_BYTES } from '../shared/limits.ts';
import type { SessionSignal } from '../shared/signal.ts';

const MAX_BATCH = MAX_CANDIDATES_PER_SESSION + 2;
const encoder = new TextEncoder();

/** UTF-8 bytes of a text: what `ws`’ maxPayload and Go's LimitReader count. */
export function byteLength(text: string): number {
  return encoder.encode(text).byteLength;
}

/** Refuses what would be too long once the edge has added its own fields. @throws DirectError `E_TOO_LARGE` */
export function checkSize(signal: SessionSignal): void {
  // 2 for the brackets of a list.
  if (byteLength(JSON.stringify(signal)) + 2 > MAX_SIGNAL_BYTES) throw new DirectError('E_TOO_LARGE');
}

/** How many of `texts` (JSON, each within `checkSize`) fit in one list, from the first on. */
export function batchLength(texts: readonly string[]): number {
  let bytes = 1;
  let count = 0;
  for (const text of texts) {
    bytes += byteLength(text) + 1;
    if (count === MAX_BATCH || bytes > MAX_SIGNAL_BYTES) break;
    count++;
  }
  return count;
}

/** Splits into texts for a WebSocket: one message as an object, several as lists. */
export function socketTexts(signals: readonly SessionSignal[]): string[] {
  const texts = signals.map((signal) => JSON.stringify(signal));
  const out: string[] = [];
  for (let from = 0; from < texts.length; ) {
    const part = texts.slice(from, from + Math.max(1, batchLength(texts.slice(from))));
    out.push(part.length === 1 ? (part[0] ?? '') : `[${part.join(',')}]`);
    from += part.length;
  }
  return out;
}

/** Signals by session, in order. @throws DirectError `E_BAD_REQUEST` for none, which would come free of any limit. */
export function bySession(signals: readonly SessionSignal[]): Map<string, SessionSignal[]> {
  if (signals.length === 0) throw new DirectError('E_BAD_REQUEST', 'an empty list');
  return Map.groupBy(signals, (signal) => signal.session_id);
}
