import { describe, expect, test, vi } from 'vitest';
import { Pipeline } from './pipeline.ts';
import { settle } from './test-clock.ts';

function pipeline() {
  const results: number[] = [];
  const failed = vi.fn();
  const line = new Pipeline({ result: ([byte]) => results.push(byte as number), failed });
  const started: { byte: number; finish(): void; fail(): void }[] = [];
  const work = (message: Uint8Array) =>
    new Promise<Uint8Array>((resolve, reject) => {
      started.push({ byte: message[0] as number, finish: () => resolve(message), fail: () => reject(new Error('no')) });
    });
  const push = (...bytes: number[]) => {
    for (const byte of bytes) line.push(Uint8Array.of(byte));
  };
  return { line, results, failed, started, work, push };
}

describe('a pipeline', () => {
  test('starts in order, several at a time, and gives results in order', async () => {
    const { line, results, started, work, push } = pipeline();
    push(1, 2);
    expect([line.length, line.bytes, started.length]).toEqual([2, 2, 0]);
    line.run(work);
    push(3);
    expect(started.map(({ byte }) => byte)).toEqual([1, 2, 3]);
    started[2]?.finish();
    started[1]?.finish();
    await settle();
    expect([results, line.length]).toEqual([[], 3]);
    started[0]?.finish();
    await settle();
    expect([results, line.length, line.bytes]).toEqual([[1, 2, 3], 0, 0]);
  });

  test('has few in work, so that the rest can be thrown away', async () => {
    const { line, started, work, push } = pipeline();
    line.run(work);
    push(...Array.from({ length: 100 }, (_, i) => i));
    expect(started.length).toBe(16);
    started[0]?.finish();
    await settle();
    expect(started.length).toBe(17);
    line.stop();
    for (const { finish } of started) finish();
    await settle();
    expect([started.length, line.length, line.bytes]).toEqual([17, 0, 0]);
  });

  test('fails in order: what came before still comes, and nothing after', async () => {
    const { line, results, failed, started, work, push } = pipeline();
    line.run(work);
    push(1, 2, 3);
    started[1]?.fail();
    started[2]?.finish();
    await settle();
    expect(failed).not.toHaveBeenCalled();
    started[0]?.finish();
    await settle();
    expect(results).toEqual([1]);
    expect(failed).toHaveBeenCalledOnce();
    push(4);
    expect(started.length).toBe(3);
  });

  test('says when it is empty: at once, or after the last result', async () => {
    const { line, results, started, work, push } = pipeline();
    const done = vi.fn(() => results.length);
    line.whenEmpty(done);
    expect(done).toHaveBeenCalledOnce();
    line.run(work);
    push(1, 2);
    line.whenEmpty(done);
    started[0]?.finish();
    await settle();
    expect(done).toHaveBeenCalledOnce();
    started[1]?.finish();
    await settle();
    expect(done).toHaveBeenCalledTimes(2);
    expect(done).toHaveLastReturnedWith(2);
  });

  test('is quiet once stopped', async () => {
    const { line, results, failed, started, work, push } = pipeline();
    const done = vi.fn();
    line.run(work);
    push(1, 2);
    line.whenEmpty(done);
    line.stop();
    started[0]?.finish();
    started[1]?.fail();
    await settle();
    expect(results).toEqual([]);
    expect(failed).not.toHaveBeenCalled();
    expect(done).not.toHaveBeenCalled();
  });
});
