import { describe, expect, test } from 'vitest';
import { settle } from '../../shared/test-clock.ts';
import { type Answer, reply, testHost } from './test-host.ts';

/** A host that notes with which code each request was given up. */
function notingHost(answer: Answer) {
  const codes: string[] = [];
  const noting: Answer = (exchange, head) => {
    exchange.stream.onabort = ({ code }) => codes.push(code);
    return answer(exchange, head);
  };
  return { noting, codes };
}

const silent: Answer = () => new Promise(() => {});

const trickle: Answer = async (exchange) => {
  await exchange.sendHead({ status: 200, statusText: '', headers: [] });
  await exchange.sendData(new Uint8Array([1]));
  await new Promise(() => {});
};

describe('abort', () => {
  test('before the call: nothing is sent', async () => {
    const { fetch, heads, https } = testHost(silent);
    await expect(fetch('/v1/x', { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
    await settle();
    expect([heads, https]).toEqual([[], []]);
  });

  test('while the way is not decided yet', async () => {
    const controller = new AbortController();
    const { fetch, heads } = testHost(silent, {
      route: (signal) => new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
    });
    const promise = fetch('/v1/x', { signal: controller.signal });
    controller.abort('my reason');
    await expect(promise).rejects.toBe('my reason');
    expect(heads).toEqual([]);
  });

  test('while waiting for the head: rejects with the reason at once, and the host is told', async () => {
    const { noting, codes } = notingHost(silent);
    const { fetch, client, https } = testHost(noting);
    const controller = new AbortController();
    const promise = fetch('/v1/x', { signal: controller.signal });
    await settle();
    const reason = new Error('stop button');
    controller.abort(reason);
    await expect(promise).rejects.toBe(reason);
    await settle();
    expect(codes).toEqual(['E_CANCELLED']);
    expect(https).toEqual([]);
    expect(client.error).toBeUndefined();
  });

  test('by the signal of a Request', async () => {
    const { fetch } = testHost(silent);
    const controller = new AbortController();
    const promise = fetch(new Request('https://edge.example/v1/x', { signal: controller.signal }));
    await settle();
    controller.abort();
    await expect(promise).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('while a body is uploaded: its source is cancelled, even while it makes everybody wait', async () => {
    const { noting, codes } = notingHost(silent);
    const { fetch } = testHost(noting);
    const controller = new AbortController();
    let cancelled: unknown;
    const body = new ReadableStream({
      cancel: (reason) => {
        cancelled = reason;
      },
    });
    const init = { method: 'POST', body, duplex: 'half', signal: controller.signal };
    const promise = fetch('/v1/x', init as RequestInit);
    await settle();
    controller.abort('enough');
    await expect(promise).rejects.toBe('enough');
    await settle();
    expect(cancelled).toBe('enough');
    expect(codes).toEqual(['E_CANCELLED']);
  });

  test('in mid-body: a pending read rejects with the reason, and the host is told', async () => {
    const { noting, codes } = notingHost(trickle);
    const { fetch } = testHost(noting);
    const controller = new AbortController();
    const response = await fetch('/v1/x', { signal: controller.signal });
    const reader = response.body?.getReader();
    await reader?.read();
    const pending = reader?.read();
    controller.abort();
    await expect(pending).rejects.toMatchObject({ name: 'AbortError' });
    await settle();
    expect(codes).toEqual(['E_CANCELLED']);
  });

  test('after the end changes nothing', async () => {
    const { noting, codes } = notingHost((exchange) => reply(exchange, 200, [], 'done'));
    const { fetch } = testHost(noting);
    const controller = new AbortController();
    const text = await (await fetch('/v1/x', { signal: controller.signal })).text();
    controller.abort();
    await settle();
    expect([text, codes]).toEqual(['done', []]);
  });

  test('cancelling the body tells the host', async () => {
    const { noting, codes } = notingHost(trickle);
    const { fetch, client } = testHost(noting);
    const response = await fetch('/v1/x');
    await response.body?.cancel();
    await settle();
    expect(codes).toEqual(['E_CANCELLED']);
    expect(client.streamCount).toBe(0);
  });
});
