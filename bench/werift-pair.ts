/** Two Node processes with one copy of werift and a data channel between them: bulk, and what it costs each of them. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PairMessage } from './werift-node.ts';

const ANSWER_MS = 30_000;
/** What is on its way when the sender stops. */
const REST_MS = 500;

export interface Bulk {
  /** Bytes of a message. */
  chunk: number;
  /** Bytes that the sender keeps unsent, at most. */
  queue: number;
  /** Milliseconds before anything is counted. */
  warmMs: number;
  /** Milliseconds for which it is counted. */
  ms: number;
}

export interface BulkFigures {
  /** MB/s. */
  rate: number;
  /** Milliseconds of processor time for a megabyte. */
  sender: number;
  receiver: number;
}

type Count = Extract<PairMessage, { rate: number }>;

/** The words of a command that starts one end: with the copy of werift in `folder`, at `address` and nowhere else. */
export function pairCommand(folder: string, role: 'offer' | 'answer', address: string): string[] {
  return [process.execPath, join(import.meta.dirname, 'werift-node.ts'), folder, role, address];
}

export class WeriftPair {
  readonly #sender: ChildProcess;
  readonly #receiver: ChildProcess;

  private constructor(sender: ChildProcess, receiver: ChildProcess) {
    this.#sender = sender;
    this.#receiver = receiver;
  }

  /** Connects two processes of `pairCommand` that have IPC; they end with it. Rejects when an end does not answer. */
  static async connect(sender: ChildProcess, receiver: ChildProcess): Promise<WeriftPair> {
    const pair = new WeriftPair(sender, receiver);
    try {
      receiver.send(await heard(sender));
      sender.send(await heard(receiver));
      // Both say that the channel is open.
      await Promise.all([heard(sender), heard(receiver)]);
      return pair;
    } catch (error) {
      pair.end();
      throw error;
    }
  }

  /** Sends as fast as it goes. Rejects when nothing arrives. */
  async bulk({ chunk, queue, warmMs, ms }: Bulk): Promise<BulkFigures> {
    const ask: PairMessage = { ask: { warmMs } };
    // Begins their counts.
    for (const one of [this.#sender, this.#receiver]) await question(one, ask);
    this.#sender.send({ send: { chunk, queue, ms: warmMs + ms } } satisfies PairMessage);
    await delay(warmMs + ms + REST_MS);
    const [sent, came] = [await question(this.#sender, ask), await question(this.#receiver, ask)];
    if (came.megabytes === 0) throw new Error('nothing came');
    const cost = ({ cpuMs }: Count) => cpuMs / came.megabytes;
    return { rate: came.rate, sender: cost(sent), receiver: cost(came) };
  }

  end(): void {
    for (const one of [this.#sender, this.#receiver]) one.kill();
  }
}

async function question(one: ChildProcess, message: PairMessage): Promise<Count> {
  const answer = heard(one);
  one.send(message);
  return (await answer) as Count;
}

async function heard(one: ChildProcess): Promise<PairMessage> {
  const [message] = await once(one, 'message', { signal: AbortSignal.timeout(ANSWER_MS) });
  return message as PairMessage;
}
