/** What clients ask of the house, each with a check of every byte that comes back. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../shared/test-random.ts';
import { type Client, connect } from '../../web/client/node.ts';
import { countedTokens } from '../fake-answers.ts';
import { seededBytes, seededSha256 } from '../seeded-bytes.ts';
import { HOST_ID, OWNER_TOKEN } from '../stack.ts';
import { type Entry, type Ledger, WrongBytes } from './ledger.ts';

type Fetch = (path: string, init?: RequestInit) => Promise<Response>;

/** No answer takes so long, unless it is lost. */
const LIMIT_MS = 150_000;

export class Traffic {
  readonly #edge: string;
  readonly #ledger: Ledger;
  readonly #random: Random;
  readonly #trace: ((line: string) => void) | undefined;
  /** Once the first client knows it, all others are told. */
  hostKey: string | undefined;

  constructor(edge: string, ledger: Ledger, random: Random, trace?: (line: string) => void) {
    this.#trace = trace;
    this.#edge = edge;
    this.#ledger = ledger;
    this.#random = random;
  }

  client(options: Partial<Parameters<typeof connect>[0]> = {}): Client {
    const hostKey = this.hostKey === undefined ? {} : { hostKey: this.hostKey };
    return connect({ url: this.#edge, host: HOST_ID, token: OWNER_TOKEN, ...hostKey, ...options });
  }

  /** One that is there all day. */
  staying(number: number, options: Partial<Parameters<typeof connect>[0]> = {}): Client {
    const trace = this.#trace;
    const said = (line: string) => trace?.(`${(performance.now() / 1000).toFixed(3)} ${number} ${line}`);
    return this.client({ ...options, ...(trace === undefined ? {} : { diagnostics: said }) });
  }

  tunnel: Fetch = (path, init) =>
    fetch(new URL(path, this.#edge), {
      ...init,
      headers: {
        ...(init?.headers as Record<string, string>),
        authorization: `Bearer ${OWNER_TOKEN}`,
        'direct-host': HOST_ID,
      },
    });

  /** A chat, token by token. */
  chat(ask: Client | Fetch, tokens: number, perSecond: number): Promise<Entry> {
    const body = JSON.stringify({ model: `tokens-${tokens}-at-${perSecond}`, stream: true, messages: [] });
    return this.#run('chat', ask, async (fetch, id) => {
      const response = await fetch(`/v1/chat/completions?soak=${id}`, { ...json, body });
      let text = '';
      const expected = countedTokens(tokens).join('');
      await eachEvent(await okay(response), (content) => {
        text += content;
        if (!expected.startsWith(text)) throw new WrongBytes(`token ${text.split(' ').length - 1} differs`);
      });
      if (text !== expected) throw new WrongBytes(`the answer ended well after ${text.length} of ${expected.length}`);
    });
  }

  /** A model that thinks for so long before its first byte. */
  think(ask: Client | Fetch, ms: number): Promise<Entry> {
    const body = JSON.stringify({ model: `slow-${ms}`, messages: [{ role: 'user', content: 'hm' }] });
    return this.#run('think', ask, async (fetch, id) => {
      const response = await fetch(`/v1/chat/completions?soak=${id}`, { ...json, body });
      const text = await (await okay(response)).text();
      if (!text.includes('This is the fake answer to: hm')) throw new WrongBytes(text.slice(0, 100));
    });
  }

  /** A long download; `stallMs`: with a reader that stops for so long after its first bytes. */
  download(ask: Client | Fetch, bytes: number, stallMs = 0): Promise<Entry> {
    return this.#run(stallMs > 0 ? 'stall' : 'download', ask, async (fetch, id) => {
      const response = await okay(await fetch(`/v1/test/bytes?soak=${id}&n=${bytes}&seed=${id}`, {}));
      const reader = checked(response, id, bytes, 0);
      const first = await reader.next();
      if (stallMs > 0 && first.done !== true) await sleep(stallMs);
      for await (const _ of reader);
    });
  }

  upload(ask: Client | Fetch, bytes: number): Promise<Entry> {
    return this.#run('upload', ask, async (fetch, id) => {
      const body = Buffer.concat([...seededBytes(id, bytes)]);
      const response = await okay(await fetch(`/v1/test/sink?soak=${id}`, { method: 'POST', body }));
      const sunk = (await response.json()) as { bytes: number; sha256: string };
      if (sunk.bytes !== bytes || sunk.sha256 !== seededSha256(id, bytes)) throw new WrongBytes(JSON.stringify(sunk));
    });
  }

  /** Given up in the middle of the answer. */
  abort(ask: Client | Fetch): Promise<Entry> {
    return this.#run('abort', ask, async (fetch, id) => {
      const aborting = new AbortController();
      const signal = AbortSignal.any([aborting.signal, AbortSignal.timeout(LIMIT_MS)]);
      const response = await okay(await fetch(`/v1/test/trickle?soak=${id}&n=100000&ms=5`, { signal }));
      await response.body?.getReader().read();
      aborting.abort();
    });
  }

  /** A held response whose page is reloaded in the middle; `fetched` false: nobody ever comes for the rest. */
  held(client: Client, fetched: boolean): Promise<Entry> {
    return this.#run(fetched ? 'held' : 'forgotten', client, async (_fetch, id) => {
      const bytes = 200_000;
      const hold = createHash('sha256').update(`${id}${Math.random()}`).digest('base64url').slice(0, 24);
      const aborting = new AbortController();
      const path = `/v1/test/bytes?soak=${id}&n=${bytes}&seed=${id}`;
      const response = await okay(await client.fetch(path, { hold, signal: aborting.signal }));
      const { value } = await checked(response, id, bytes, 0).next();
      aborting.abort();
      if (!fetched || value === undefined) return;
      const rest = await okay(await client.resume(hold, value, { signal: AbortSignal.timeout(LIMIT_MS) }));
      for await (const _ of checked(rest, id, bytes, value));
      await client.release(hold);
    });
  }

  /** A WebSocket whose messages must come in their order. */
  socket(client: Client, count: number, ms: number): Promise<Entry> {
    return this.#run('socket', client, async (_fetch, id) => {
      const socket = new client.WebSocket(`/v1/realtime?soak=${id}`);
      let next = 0;
      try {
        await new Promise<void>((resolve, reject) => {
          const late = setTimeout(() => reject(new Error('no message for too long')), LIMIT_MS);
          const end = (settle: () => void) => {
            clearTimeout(late);
            settle();
          };
          socket.addEventListener('open', () => socket.send(`tick ${count} ${ms}`));
          socket.addEventListener('message', ({ data }: MessageEvent) => {
            if (data !== `${next}`) end(() => reject(new WrongBytes(`message ${next} was ${data}`)));
            next += 1;
            if (next === count) end(resolve);
          });
          socket.addEventListener('close', ({ code, reason }: CloseEvent) =>
            end(() => reject(new Error(`the socket closed after ${next} of ${count}: ${code} ${reason}`))),
          );
        });
      } finally {
        socket.close();
      }
    });
  }

  /** A client that comes, asks once and goes. */
  async visit(options: Partial<Parameters<typeof connect>[0]> = {}): Promise<void> {
    const client = this.client(options);
    try {
      await this.chat(client, this.#random.between(5, 60), 1_000);
      // Some wait for the direct path, some do not.
      if (this.#random.next() < 0.6) await until(() => client.path === 'direct' || client.path === 'turn', 4_000);
      if (this.#random.next() < 0.5) await this.download(client, this.#random.between(1_000, 300_000));
    } finally {
      client.close();
    }
  }

  #run(kind: string, ask: Client | Fetch, act: (fetch: Fetch, id: string) => Promise<void>): Promise<Entry> {
    const way = typeof ask === 'function' ? 'tunnel' : 'session';
    const fetch: Fetch = typeof ask === 'function' ? ask : (path, init) => ask.fetch(path, init);
    return this.#ledger.run(kind, way, (id) =>
      act((path, init) => fetch(path, { signal: AbortSignal.timeout(LIMIT_MS), ...init }), id),
    );
  }
}

const json = { method: 'POST', headers: { 'content-type': 'application/json' } };

/** Whether it came true in time. */
export async function until(holds: () => boolean | Promise<boolean>, ms: number): Promise<boolean> {
  const end = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > end) return false;
    await sleep(20);
  }
  return true;
}

async function okay(response: Response): Promise<Response> {
  if (response.ok) return response;
  throw new Error(`status ${response.status}: ${(await response.text()).slice(0, 300)}`);
}

/** Yields how many bytes have come, the first `from` included, as long as they are the right ones. */
async function* checked(response: Response, seed: string, bytes: number, from: number): AsyncGenerator<number> {
  const expected = Buffer.concat([...seededBytes(seed, bytes)]);
  let at = from;
  if (response.body === null) throw new WrongBytes('no body');
  for await (const chunk of response.body) {
    if (!expected.subarray(at, at + chunk.length).equals(chunk)) throw new WrongBytes(`a byte after ${at} differs`);
    at += chunk.length;
    yield at;
  }
  if (at !== bytes) throw new WrongBytes(`the body ended well after ${at} of ${bytes}`);
}

/** Calls `take` with the text of each event of a chat. */
async function eachEvent(response: Response, take: (content: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of response.body ?? []) {
    const events = `${rest}${decoder.decode(chunk, { stream: true })}`.split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      const data = event.replace(/^data: /, '');
      if (data === '[DONE]') return;
      const { choices } = JSON.parse(data) as { choices: { delta?: { content?: string } }[] };
      take(choices[0]?.delta?.content ?? '');
    }
  }
  throw new WrongBytes('the stream ended well without its end');
}
