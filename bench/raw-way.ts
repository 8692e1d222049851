/**
 * Two pages and nothing of ours between them: the browser's own limit. Data channels of one connection, negotiated by
 * their ids: one for small messages and commands, one for bulk, one for each stream of tokens. One page offers and asks,
 * the other serves; `npm run bench` carries the SDP from one to the other.
 */
import type { BulkMeasured } from './in-page.ts';
import { wallClock } from './wall-clock.ts';
import { SMALL_BYTES, type StreamsAsked, type Way } from './way.ts';

const [SMALL, BULK, TOKENS] = [0, 1, 2];
export const MAX_STREAMS = 50;
/** As usual programs have it: full pipes at any speed that is seen here. */
const QUEUE_BYTES = 1024 * 1024;
const REFILL_BYTES = QUEUE_BYTES / 4;
/** As long as the upstream's. */
const TOKEN_FILLING = 'x'.repeat(170);

type Command =
  | { do: 'first' }
  | ({ do: 'tokens' } & StreamsAsked)
  | { do: 'bulk'; chunk: number }
  | { do: 'stop' }
  | { do: 'uploaded'; warmMs: number };

let connection: RTCPeerConnection;
let channels: RTCDataChannel[] = [];

function make(): void {
  connection?.close();
  connection = new RTCPeerConnection();
  channels = Array.from({ length: TOKENS + MAX_STREAMS }, (_, id) => {
    const channel = connection.createDataChannel('raw', { negotiated: true, id });
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = REFILL_BYTES;
    return channel;
  });
}

async function gathered(): Promise<string> {
  while (connection.iceGatheringState !== 'complete') {
    await new Promise((resolve) => connection.addEventListener('icegatheringstatechange', resolve, { once: true }));
  }
  return connection.localDescription?.sdp ?? '';
}

/** The offer, with all candidates. */
export async function rawOffer(): Promise<string> {
  make();
  await connection.setLocalDescription();
  return await gathered();
}

/** The other page's answer to it. */
export async function rawAnswer(offer: string): Promise<string> {
  make();
  await connection.setRemoteDescription({ type: 'offer', sdp: offer });
  await connection.setLocalDescription();
  return await gathered();
}

/** Takes the answer; resolves when all channels are open. */
export async function rawOpen(answer: string): Promise<void> {
  await connection.setRemoteDescription({ type: 'answer', sdp: answer });
  for (const channel of channels) {
    while (channel.readyState !== 'open') {
      await new Promise((resolve) => channel.addEventListener('open', resolve, { once: true }));
    }
  }
}

function channelAt(id: number): RTCDataChannel {
  const channel = channels[id];
  if (channel === undefined) throw new Error('there is no connection');
  return channel;
}

/** Keeps the bulk channel full until `signal`. */
async function fill(chunk: number, signal: AbortSignal): Promise<void> {
  const channel = channelAt(BULK);
  const bytes = new Uint8Array(chunk);
  while (!signal.aborted && channel.readyState === 'open') {
    while (!signal.aborted && channel.bufferedAmount < QUEUE_BYTES) channel.send(bytes);
    await new Promise((resolve) => {
      channel.addEventListener('bufferedamountlow', resolve, { once: true });
      signal.addEventListener('abort', resolve, { once: true });
    });
  }
}

function emit(channel: RTCDataChannel, { seconds, everyMs }: StreamsAsked, clock: () => number): void {
  const start = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const elapsed = performance.now() - start;
    for (; sent * everyMs <= elapsed; sent++) channel.send(`${clock().toFixed(3)} ${TOKEN_FILLING}`);
    if (elapsed < seconds * 1000) return;
    clearInterval(timer);
    channel.send('end');
  }, everyMs / 2);
}

/** The serving page, from now on. */
export function serveRaw(): void {
  const clock = wallClock();
  let stop = new AbortController();
  let uploads: { atMs: number; bytes: number }[] = [];
  let bytes = 0;
  const small = channelAt(SMALL);
  channelAt(BULK).addEventListener('message', ({ data }: MessageEvent<ArrayBuffer>) => {
    bytes += data.byteLength;
    uploads.push({ atMs: performance.now(), bytes });
  });
  const obey = (command: Command) => {
    switch (command.do) {
      case 'first':
        return channelAt(TOKENS).send('first');
      case 'tokens':
        for (let i = 0; i < command.streams; i++) emit(channelAt(TOKENS + i), command, clock);
        return;
      case 'bulk':
        stop = new AbortController();
        return void fill(command.chunk, stop.signal);
      case 'stop':
        return stop.abort();
      case 'uploaded': {
        const from = (uploads[0]?.atMs ?? 0) + command.warmMs;
        const [begin, last] = [uploads.find(({ atMs }) => atMs >= from), uploads.at(-1)];
        const rate =
          begin === undefined || last === undefined ? 0 : (last.bytes - begin.bytes) / (last.atMs - begin.atMs) / 1000;
        small.send(JSON.stringify({ rate, megabytes: bytes / 1e6 } satisfies BulkMeasured));
        uploads = [];
        bytes = 0;
      }
    }
  };
  small.addEventListener('message', ({ data }: MessageEvent<ArrayBuffer | string>) => {
    if (typeof data === 'string') obey(JSON.parse(data));
    else small.send(data);
  });
}

export class RawWay implements Way {
  readonly #waiting: (() => void)[] = [];
  readonly #small = new Uint8Array(SMALL_BYTES);

  constructor() {
    // What is asked first is answered first.
    channelAt(SMALL).addEventListener('message', ({ data }) => {
      if (typeof data !== 'string') this.#waiting.shift()?.();
    });
  }

  async small(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    channelAt(SMALL).send(this.#small);
    await promise;
  }

  async first(): Promise<void> {
    const come = next(channelAt(TOKENS));
    command({ do: 'first' });
    await come;
  }

  async tokens(asked: StreamsAsked, token: (stream: number, at: number) => void): Promise<void> {
    const ends = Array.from({ length: asked.streams }, async (_, stream) => {
      const channel = channelAt(TOKENS + stream);
      await new Promise<void>((resolve) => {
        channel.onmessage = ({ data }: MessageEvent<string>) => {
          if (data === 'end') resolve();
          else token(stream, Number.parseFloat(data));
        };
      });
      channel.onmessage = null;
    });
    command({ do: 'tokens', ...asked });
    await Promise.all(ends);
  }

  async down(chunk: number, bytes: (count: number) => void, signal: AbortSignal): Promise<void> {
    const channel = channelAt(BULK);
    channel.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => bytes(data.byteLength);
    command({ do: 'bulk', chunk });
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    command({ do: 'stop' });
    // What is on its way is none of the next measurement.
    let before = -1;
    let left = 0;
    channel.onmessage = () => void left++;
    while (before !== left) {
      before = left;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    channel.onmessage = null;
  }

  async up(chunk: number, warmMs: number, ms: number): Promise<BulkMeasured> {
    await fill(chunk, AbortSignal.timeout(warmMs + ms));
    const channel = channelAt(BULK);
    while (channel.bufferedAmount > 0) await new Promise((resolve) => setTimeout(resolve, 50));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const said = next(channelAt(SMALL));
    command({ do: 'uploaded', warmMs });
    return JSON.parse(await said);
  }
}

function command(command: Command): void {
  channelAt(SMALL).send(JSON.stringify(command));
}

async function next(channel: RTCDataChannel): Promise<string> {
  return await new Promise((resolve) => {
    channel.addEventListener('message', ({ data }: MessageEvent<string>) => resolve(data), { once: true });
  });
}
