import { expect, it } from 'vitest';
import { readText } from './request-body.ts';

const request = (body: string | Uint8Array | ReadableStream<Uint8Array>) =>
  new Request('https://edge.example/', { method: 'POST', body });

it('reads up to the bound, in bytes', async () => {
  expect(await readText(request('€€'), 6)).toBe('€€');
  await expect(readText(request('€€'), 5)).rejects.toMatchObject({ code: 'E_TOO_LARGE' });
  expect(await readText(new Request('https://edge.example/', { method: 'POST' }), 5)).toBe('');
});

it('puts characters together that were split between chunks', async () => {
  const [first, second] = [new Uint8Array([0xe2, 0x82]), new Uint8Array([0xac])];
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(first);
      controller.enqueue(second);
      controller.close();
    },
  });
  expect(await readText(request(body), 10)).toBe('€');
});

it('stops an endless body at the bound', async () => {
  let pulled = 0;
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(1024));
    },
    cancel() {
      cancelled = true;
    },
  });
  await expect(readText(request(body), 10_000)).rejects.toMatchObject({ code: 'E_TOO_LARGE' });
  expect(pulled).toBeLessThan(20);
  expect(cancelled).toBe(true);
});

it('refuses what is not UTF-8', async () => {
  await expect(readText(request(new Uint8Array([0xff])), 10)).rejects.toMatchObject({ code: 'E_BAD_REQUEST' });
  await expect(readText(request(new Uint8Array([0xe2, 0x82])), 10)).rejects.toMatchObject({ code: 'E_BAD_REQUEST' });
});
