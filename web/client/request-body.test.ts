import { expect, test } from 'vitest';
import { type RequestBody, readRequestBody } from './request-body.ts';
import { realTime } from './test-host.ts';

async function read(body: BodyInit): Promise<RequestBody> {
  const request = new Request('https://edge.example/', { method: 'POST', body, duplex: 'half' } as RequestInit);
  const found = await readRequestBody(request, body, realTime.timer);
  if (found === undefined) throw new Error('no body');
  return found;
}

async function bytesOf(body: RequestBody): Promise<number[]> {
  const bytes: number[] = [];
  for await (const piece of body.pieces()) bytes.push(...piece);
  return bytes;
}

test('what is sent does not change with the buffer that a stream gave', async () => {
  const reused = new Uint8Array([1, 2, 3]);
  const body = await read(
    new Blob([reused]).stream().pipeThrough(
      new TransformStream({
        transform(_, controller) {
          controller.enqueue(reused);
        },
      }),
    ),
  );
  const pieces: Uint8Array[] = [];
  for await (const piece of body.pieces()) {
    reused.fill(0);
    pieces.push(piece);
  }
  expect(pieces).toEqual([new Uint8Array([1, 2, 3])]);
});

test.each<[string, () => BodyInit, number | undefined, boolean]>([
  ['a string', () => 'abc', 3, true],
  ['a blob', () => new Blob(['abc']), 3, true],
  ['a stream', () => new Blob(['abc']).stream(), undefined, false],
])('%s has the length and may be sent again as it should', async (_, make, length, replayable) => {
  const body = await read(make());
  expect([body.length, body.replayable]).toEqual([length, replayable]);
  expect(await bytesOf(body)).toEqual([97, 98, 99]);
  if (replayable) expect(await bytesOf(body)).toEqual([97, 98, 99]);
  else await expect(bytesOf(body)).rejects.toThrow(TypeError);
});

test('a Request’s body goes over HTTPS whole, after some of it was looked at', async () => {
  const { readable, writable } = new TransformStream<Uint8Array>();
  const request = new Request('https://edge.example/', {
    method: 'POST',
    body: readable,
    duplex: 'half',
  } as RequestInit);
  const writer = writable.getWriter();
  void writer.write(new Uint8Array([1]));
  // Nothing more comes for now, so it is taken for a stream.
  const body = await readRequestBody(request, undefined, realTime.timer);
  void writer.write(new Uint8Array([2]));
  void writer.close();
  expect(body?.length).toBeUndefined();
  expect(new Uint8Array(await new Response(body?.forHttps()).arrayBuffer())).toEqual(new Uint8Array([1, 2]));
});

test('a large Request body is not read into memory', async () => {
  let pulled = 0;
  const stream = new ReadableStream({
    pull(controller) {
      pulled += 1;
      controller.enqueue(new Uint8Array(64 * 1024));
    },
  });
  const request = new Request('https://edge.example/', { method: 'POST', body: stream, duplex: 'half' } as RequestInit);
  const body = await readRequestBody(request, undefined, realTime.timer);
  expect(body?.replayable).toBe(false);
  expect(pulled).toBeLessThan(40);
});
