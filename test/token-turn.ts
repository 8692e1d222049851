/** One streamed turn in a page, that runs while a test does something to the way. */
import type { Page } from 'playwright-core';

export interface TurnResult {
  status: number;
  /** Of all that arrived. */
  sha256: string;
  /** Between two pieces of the answer. */
  longestPauseMs: number;
  /** The code of what ended the turn too early. */
  error: string | undefined;
}

interface RunningTurn {
  bytes: number;
  result: Promise<TurnResult>;
}

declare global {
  // Set in the page by `beginTurn`.
  var turns: Record<string, RunningTurn>;
}

let begun = 0;

/** Begins a turn; resolves with its name, which is part of the request's URL, when tokens have arrived. */
export async function beginTurn(page: Page, { tokens, perSecond }: { tokens: number; perSecond: number }) {
  const name = `turn-${++begun}.`;
  await page.evaluate(
    ({ name, model }) => {
      const turn: RunningTurn = { bytes: 0, result: run() };
      globalThis.turns ??= {};
      globalThis.turns[name] = turn;
      async function run(): Promise<TurnResult> {
        const result: TurnResult = { status: 0, sha256: '', longestPauseMs: 0, error: undefined };
        const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'x' }] });
        const parts: Uint8Array[] = [];
        try {
          const response = await globalThis.client.fetch(`/v1/chat/completions?${name}`, { method: 'POST', body });
          result.status = response.status;
          let last = performance.now();
          for (const reader = response.body?.getReader(); reader !== undefined; ) {
            const { value, done } = await reader.read();
            const now = performance.now();
            result.longestPauseMs = Math.max(result.longestPauseMs, now - last);
            last = now;
            if (done) break;
            parts.push(value);
            turn.bytes += value.length;
          }
        } catch (error) {
          result.error = String((error as { cause?: { code?: string } }).cause?.code ?? error);
        }
        const whole = await new Blob(parts as BlobPart[]).arrayBuffer();
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
        result.sha256 = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
        return result;
      }
    },
    { name, model: `tokens-${tokens}-at-${perSecond}` },
  );
  await page.waitForFunction((name) => (globalThis.turns[name]?.bytes ?? 0) > 0, name);
  return name;
}

/** How many bytes of the answer have arrived. */
export function bytesOf(page: Page, name: string): Promise<number> {
  return page.evaluate((name) => globalThis.turns[name]?.bytes ?? 0, name);
}

/** Reads it to its end. */
export async function readTurn(page: Page, name: string): Promise<TurnResult> {
  const result = await page.evaluate((name) => globalThis.turns[name]?.result, name);
  if (result === undefined) throw new Error(`no turn ${name}`);
  return result;
}
