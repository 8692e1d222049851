/**
 * The upstream of `npm run bench`, as a process of its own: `node bench/upstream.ts <address>` listens on loopback, for
 * the agents, and at the address, for the column without any of ours. Says `{"url", "port"}` when it does. Tokens are
 * server-sent events as OpenAI's, each with the time at which it was written.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { wallClock } from './wall-clock.ts';

const clock = wallClock();

/** Of the last upload: when, and how many bytes had come by then. */
let uploaded: { atMs: number; bytes: number }[] = [];

/** About as long as a chunk of a chat completion. */
function token(): string {
  const head = '{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench",';
  const choice = '"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}],';
  return `data: ${head}${choice}"at":${clock().toFixed(3)}}\n\n`;
}

function sendTokens(response: ServerResponse, seconds: number, everyMs: number): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const start = performance.now();
  let sent = 0;
  const tick = () => {
    const elapsed = performance.now() - start;
    for (; sent * everyMs <= elapsed; sent++) response.write(token());
    if (elapsed >= seconds * 1000) response.end();
    else timer = setTimeout(tick, Math.max(1, start + sent * everyMs - performance.now()));
  };
  let timer = setTimeout(tick);
  response.on('close', () => clearTimeout(timer));
}

function sendFirst(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(token());
  // Not together with it.
  setTimeout(() => response.end(), 20);
}

/** Writes of `chunk` bytes until `total`, or until nobody reads any longer. */
function sendBulk(response: ServerResponse, chunk: number, total: number): void {
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  const bytes = new Uint8Array(chunk);
  let left = total;
  const fill = () => {
    while (left > 0 && !response.destroyed) {
      left -= chunk;
      if (!response.write(bytes)) return;
    }
    response.end();
  };
  response.on('drain', fill);
  fill();
}

async function takeUpload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  uploaded = [];
  let bytes = 0;
  try {
    for await (const piece of request) {
      bytes += (piece as Uint8Array).length;
      uploaded.push({ atMs: performance.now(), bytes });
    }
    response.end('{}');
  } catch {
    // The client has enough.
  }
}

/** In MB/s, without the first `warmMs`; without the first third of what took less than three times that. */
function uploadRate(warmMs: number): number {
  const [first, last] = [uploaded[0], uploaded.at(-1)];
  if (first === undefined || last === undefined) return 0;
  const from = first.atMs + Math.min(warmMs, (last.atMs - first.atMs) / 3);
  const begin = uploaded.find(({ atMs }) => atMs >= from) ?? first;
  return (last.bytes - begin.bytes) / (last.atMs - begin.atMs) / 1000;
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Uint8Array[] = [];
  for await (const piece of request) pieces.push(piece as Uint8Array);
  const body = Buffer.concat(pieces);
  response.writeHead(200, { 'content-type': 'text/plain', 'content-length': body.length }).end(body);
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

type Handler = (exchange: {
  request: IncomingMessage;
  response: ServerResponse;
  /** Of the query; 0 where it is not there. */
  number: (name: string) => number;
}) => void;

const HANDLERS: Readonly<Record<string, Handler>> = {
  '/v1/models': ({ response }) =>
    json(response, { object: 'list', data: [{ id: 'bench', object: 'model', owned_by: 'bench' }] }),
  '/v1/bench/echo': ({ request, response }) => void echo(request, response).catch(() => response.destroy()),
  '/v1/bench/first': ({ response }) => sendFirst(response),
  '/v1/bench/tokens': ({ response, number }) => sendTokens(response, number('seconds'), number('every')),
  '/v1/bench/bulk': ({ response, number }) =>
    sendBulk(response, number('chunk'), number('total') || Number.POSITIVE_INFINITY),
  '/v1/bench/upload': ({ request, response }) => void takeUpload(request, response),
  '/v1/bench/uploaded': ({ response, number }) =>
    json(response, { rate: uploadRate(number('warm')), megabytes: (uploaded.at(-1)?.bytes ?? 0) / 1e6 }),
  '/v1/bench/clock': ({ response }) => json(response, { now: clock() }),
};

function serve(request: IncomingMessage, response: ServerResponse): void {
  response.on('error', () => {});
  response.setHeader('access-control-allow-origin', '*');
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://bench');
  const handle = HANDLERS[pathname];
  if (handle === undefined) response.writeHead(404).end();
  else handle({ request, response, number: (name) => Number(searchParams.get(name) ?? 0) });
}

async function listen(address: string): Promise<number> {
  const server = createServer({ keepAliveTimeout: 60_000 }, serve).listen(0, address);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const [address = ''] = process.argv.slice(2);
const [own, port] = await Promise.all([listen('127.0.0.1'), listen(address)]);
process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${own}`, port })}\n`);

// Whoever started it holds the other end of stdin.
process.stdin.resume().on('end', () => process.exit(0));
