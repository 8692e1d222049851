import { getEventListeners } from 'node:events';
import { expect, test, vi } from 'vitest';
import { PATIENCE } from '../../shared/test-patience.ts';
import { eventSourceClass } from './event-source.ts';

/** A stream that the test writes to, and every request for it. */
function server() {
  const requests: RequestInit[] = [];
  const streams: ReadableStreamDefaultController<Uint8Array>[] = [];
  const fetch = async (_url: string, init: RequestInit) => {
    requests.push(init);
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void streams.push(controller) });
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  };
  const write = (text: string | Uint8Array) =>
    streams.at(-1)?.enqueue(typeof text === 'string' ? new TextEncoder().encode(text) : text);
  return { requests, streams, fetch, write };
}

function open(fetch: (url: string, init: RequestInit) => Promise<Response>) {
  const Source = eventSourceClass({ fetch, baseUrl: () => 'https://edge.example/ui/' });
  const source = new Source('events');
  const heard: unknown[] = [];
  source.onopen = () => heard.push('open');
  source.onerror = () => heard.push(`error ${source.readyState}`);
  source.onmessage = ({ data }) => heard.push(data);
  return { source, heard };
}

test('characters and lines may come in pieces, and a second byte order mark is data', async () => {
  const { fetch, write } = server();
  const { source, heard } = open(fetch);
  await vi.waitFor(() => expect(heard).toEqual(['open']), PATIENCE);
  for (const byte of new TextEncoder().encode('\ufeffdata: ü😀\r\n\r\ndata: \ufeffb\n\n')) write(Uint8Array.of(byte));
  await vi.waitFor(() => expect(heard).toEqual(['open', 'ü😀', '\ufeffb']), PATIENCE);
  expect(source.url).toBe('https://edge.example/ui/events');
  source.close();
});

test('the last id is named in UTF-8 when the stream is asked for again', async () => {
  const { fetch, requests, streams, write } = server();
  const { source, heard } = open(fetch);
  await vi.waitFor(() => expect(streams.length).toBe(1), PATIENCE);
  write('retry: 1\nid: ü\ndata: a\n\n');
  await vi.waitFor(() => expect(heard).toContain('a'), PATIENCE);
  streams[0]?.close();
  await vi.waitFor(() => expect(requests.length).toBe(2), PATIENCE);
  expect(heard).toEqual(expect.arrayContaining(['open', 'a', 'error 0']));
  expect(new Headers(requests[1]?.headers).get('last-event-id')).toBe('\u00c3\u00bc');
  source.close();
});

test('a network that is gone is asked again; who has closed is not', async () => {
  let asked = 0;
  const { source, heard } = open(async () => {
    asked += 1;
    throw new TypeError('no network');
  });
  await vi.waitFor(() => expect(heard).toEqual(['error 0']), PATIENCE);
  source.close();
  expect(source.readyState).toBe(2);
  expect(asked).toBe(1);
});

test('a stream that is asked for again and again leaves nothing behind each time', async () => {
  const { fetch, requests, streams, write } = server();
  const { source } = open(fetch);
  for (let round = 1; round <= 4; round++) {
    await vi.waitFor(() => expect(streams.length).toBe(round), PATIENCE);
    write('retry: 1\n\n');
    streams.at(-1)?.close();
  }
  await vi.waitFor(() => expect(requests.length).toBe(5), PATIENCE);
  expect(getEventListeners(requests[0]?.signal as AbortSignal, 'abort').length).toBeLessThanOrEqual(1);
  source.close();
});

test('what was closed in an event hears no other one, and its request is given up', async () => {
  const { fetch, requests, write } = server();
  const { source, heard } = open(fetch);
  source.onmessage = ({ data }) => {
    heard.push(data);
    source.close();
  };
  await vi.waitFor(() => expect(heard).toEqual(['open']), PATIENCE);
  write('data: a\n\ndata: b\n\n');
  await vi.waitFor(() => expect(heard).toEqual(['open', 'a']), PATIENCE);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(heard).toEqual(['open', 'a']);
  expect(requests[0]?.signal?.aborted).toBe(true);
});
