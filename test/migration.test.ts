/**
 * The promise of the product: whatever happens to the paths, what was asked for arrives as the upstream sent it, and
 * the upstream is asked once. A browser on a network of its own, whose paths are cut in the kernel.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Random } from '../shared/test-random.ts';
import { withoutChromium } from './chromium.ts';
import { openClientPage, untilPath } from './client-page.ts';
import { type LabStack, startLabStack } from './lab-stack.ts';
import { type NetworkLab, networkLabMissing } from './network-lab.ts';
import { seededSha256 } from './seeded-bytes.ts';
import type { Stack } from './stack.ts';

const missing = networkLabMissing() || withoutChromium;

/** What the requests of the page are called at the upstream. */
const RUNS = ['tokens', 'download', 'upload'] as const;
const TOKENS = 100_000;
const TOKENS_PER_SECOND = 500;
const KILLS = 50;
const TRANSFER_BYTES = 50_000_000;
/** So that the transfers last as long as the tokens do. */
const TRANSFER_BYTES_PER_SECOND = 300_000;

/** A run can be repeated: its seed is printed, and taken from here. */
const SEED = Number(process.env.MIGRATION_SEED ?? Date.now() % 1_000_000);

interface Received {
  status: number;
  bytes: number;
  sha256: string;
}

interface Run {
  tokens: Received;
  download: Received;
  upload: { sent: string; answer: { bytes: number; sha256: string } };
  /** Paths in use, in order. */
  paths: string[];
  /** Kills by kind. */
  kills: Record<string, number>;
}

/** What the page does; it knows nothing of the kills. */
async function transfer(page: Page): Promise<Omit<Run, 'kills'>> {
  return page.evaluate(
    async ({ tokens, rate, bytes, bytesPerSecond }) => {
      const { client } = globalThis;
      const paths: string[] = [client.path];
      client.on('path', (path) => paths.push(path));
      const hex = async (parts: Uint8Array[]) => {
        const whole = await new Blob(parts as BlobPart[]).arrayBuffer();
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
        return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
      };
      const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
      const started = performance.now();
      const keepPace = (done: number) =>
        pause(Math.max(0, (done / bytesPerSecond) * 1000 - (performance.now() - started)));
      const receive = async (response: Response, slow: boolean): Promise<Received> => {
        const parts: Uint8Array[] = [];
        let received = 0;
        for (const reader = response.body?.getReader(); reader !== undefined; ) {
          const { value, done } = await reader.read();
          if (done) break;
          parts.push(value);
          received += value.length;
          if (slow) await keepPace(received);
        }
        return { status: response.status, bytes: received, sha256: await hex(parts) };
      };
      const chat = async () => {
        const body = JSON.stringify({
          model: `tokens-${tokens}-at-${rate}`,
          stream: true,
          messages: [{ role: 'user', content: 'x' }],
        });
        return receive(await client.fetch('/v1/chat/completions?run=tokens', { method: 'POST', body }), false);
      };
      const download = async () => {
        return receive(await client.fetch(`/v1/test/bytes?run=download&seed=paths&n=${bytes}`), true);
      };
      const upload = async () => {
        const parts: Uint8Array[] = [];
        let sent = 0;
        const body = new ReadableStream<Uint8Array>({
          pull: async (controller) => {
            if (sent >= bytes) return controller.close();
            const part = crypto.getRandomValues(new Uint8Array(Math.min(50_000, bytes - sent)));
            parts.push(part);
            sent += part.length;
            // The stream may be given away with its buffer.
            controller.enqueue(part.slice());
            await keepPace(sent);
          },
        });
        const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
        const answer = await (await client.fetch('/v1/test/sink?run=upload', init)).json();
        return { sent: await hex(parts), answer: answer as { bytes: number; sha256: string } };
      };
      const [token, down, up] = await Promise.all([chat(), download(), upload()]);
      return { tokens: token, download: down, upload: up, paths };
    },
    { tokens: TOKENS, rate: TOKENS_PER_SECOND, bytes: TRANSFER_BYTES, bytesPerSecond: TRANSFER_BYTES_PER_SECOND },
  );
}

/** Kills paths at random times in random ways, as often as it says. */
async function kill(lab: NetworkLab, random: Random): Promise<Record<string, number>> {
  const kills: Record<string, number> = {};
  const budgetMs = (TOKENS / TOKENS_PER_SECOND) * 1000 * 0.9;
  const ways: [name: string, upTo: number, act: () => Promise<void>][] = [
    // Silence: packets vanish, and only asking shows it.
    [
      'direct cut',
      0.35,
      async () => {
        lab.cut('udp');
        await delay(1000 + random.next() * 4000);
      },
    ],
    ['relay reset', 0.6, async () => lab.reset()],
    [
      'relay cut',
      0.8,
      async () => {
        lab.cut('tcp');
        await delay(500 + random.next() * 3000);
      },
    ],
    [
      'both for 5 s',
      1,
      async () => {
        lab.cut('all');
        await delay(5000);
      },
    ],
  ];
  const started = performance.now();
  for (let i = 1; i <= KILLS; i++) {
    const pick = random.next();
    const way = ways.find(([, upTo]) => pick < upTo);
    if (way === undefined) throw new Error('the shares do not add up');
    const [name, , act] = way;
    kills[name] = (kills[name] ?? 0) + 1;
    await act();
    lab.restore();
    // Never later than its time, or the tokens would end before the last kill.
    const left = started + (i / KILLS) * budgetMs - performance.now();
    await delay(Math.max(100, left * (0.5 + random.next())));
  }
  return kills;
}

describe.skipIf(missing)(`50 kills (${missing || `seed ${SEED}`})`, () => {
  let labStack: LabStack;
  let stack: Stack;
  let run: Run;

  beforeAll(async () => {
    labStack = await startLabStack({ flags: { maxBodyBytes: TRANSFER_BYTES } });
    const { lab, browser } = labStack;
    ({ stack } = labStack);
    const { page, console: lines } = await openClientPage(browser, stack, '?webrtc_diag=1');
    await untilPath(page, 'direct');
    const killWhileTheyRun = async () => {
      // A request that is made while there is no path at all goes by HTTPS, which promises nothing.
      await vi.waitFor(() => expect(RUNS.filter((name) => asked(name).length === 0)).toEqual([]), 60_000);
      return kill(lab, new Random(SEED));
    };
    try {
      const [result, kills] = await Promise.all([transfer(page), killWhileTheyRun()]);
      run = { ...result, kills };
    } catch (error) {
      console.log([...lines, ...stack.log].join('\n'));
      // In the report too: it tells what the client did about its paths at the end.
      throw new Error(`the last that the page said:\n${lines.slice(-40).join('\n')}`, { cause: error });
    } finally {
      lab.restore();
    }
    console.log(`seed ${SEED}; kills: ${JSON.stringify(run.kills)}; paths: ${run.paths.join(' ')}`);
  }, 400_000);

  afterAll(() => labStack?.close());

  const asked = (name: (typeof RUNS)[number]) => stack.fake.requests.filter(({ url }) => url.includes(`run=${name}`));

  test('the paths were really lost: the session used each of them more than once', () => {
    expect(Object.values(run.kills).reduce((sum, count) => sum + count, 0)).toBe(KILLS);
    for (const path of ['direct', 'relay']) {
      expect(run.paths.filter((used) => used === path).length).toBeGreaterThan(3);
    }
  });

  test('100,000 tokens at 500 a second arrive as the upstream sent them, asked for once', () => {
    const [request, ...more] = asked('tokens');
    expect(more).toEqual([]);
    expect(run.tokens.status).toBe(200);
    expect(run.tokens.sha256).toBe(request?.sentSha256);
    expect(request?.aborted).toBe(false);
  });

  test('a download of 50 MB arrives as the upstream sent it, asked for once', () => {
    expect(asked('download').length).toBe(1);
    expect(run.download).toEqual({ status: 200, bytes: TRANSFER_BYTES, sha256: seededSha256('paths', TRANSFER_BYTES) });
  });

  test('an upload of 50 MB reaches the upstream as it was sent, once', () => {
    expect(asked('upload').length).toBe(1);
    expect(run.upload.answer).toEqual({ bytes: TRANSFER_BYTES, sha256: run.upload.sent });
  });
});
