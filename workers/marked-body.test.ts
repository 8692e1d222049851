import { expect, it } from 'vitest';
import { checkEnd, markEnd } from './marked-body.ts';

const bytes = (...values: number[]) => Uint8Array.of(...values);
const stream = (chunks: Uint8Array[]) =>
  new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
async function collect(chunks: AsyncIterable<Uint8Array>): Promise<number[]> {
  const all: number[] = [];
  for await (const chunk of chunks) all.push(...chunk);
  return all;
}

it.each([
  ['nothing', []],
  ['one byte', [bytes(1)]],
  ['zeros', [bytes(0, 0, 0, 0), bytes(0, 0, 0, 0, 0)]],
  ['a long one', [new Uint8Array(70_000).fill(7)]],
  ['empty chunks', [bytes(), bytes(1, 2), bytes()]],
  ['several chunks', [bytes(1, 2, 3), bytes(4), bytes(5, 6)]],
])('%s comes through whole', async (_name, chunks) => {
  expect(await collect(checkEnd(markEnd(stream(chunks))))).toEqual(chunks.flatMap((chunk) => [...chunk]));
});

it.each([1, 7, 100_000])('in whatever pieces of %i bytes it arrives', async (size) => {
  const wire = await collect(markEnd(stream([bytes(1, 2, 3), bytes(4)])));
  const pieces = Array.from({ length: Math.ceil(wire.length / size) }, (_, i) =>
    Uint8Array.from(wire.slice(i * size, (i + 1) * size)),
  );
  expect(await collect(checkEnd(stream(pieces)))).toEqual([1, 2, 3, 4]);
});

it('cut off anywhere it is a failure', async () => {
  const wire = await collect(markEnd(stream([bytes(1, 2, 3), bytes(4)])));
  for (let cut = 0; cut < wire.length; cut++) {
    const part = Uint8Array.from(wire.slice(0, cut));
    await expect(collect(checkEnd(stream([part])))).rejects.toMatchObject({ code: 'E_CANCELLED' });
  }
});

it('an early stop cancels the source', async () => {
  let cancelled = false;
  const source = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(bytes(1, 2)),
    cancel: () => {
      cancelled = true;
    },
  });
  for await (const _chunk of checkEnd(markEnd(source))) break;
  expect(cancelled).toBe(true);
});
