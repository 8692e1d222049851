/** What a page of `npm run bench` does, as `globalThis.bench` in it: each row's work, whatever way it goes. */
import type { Client, ConnectOptions, connect } from '../web/client/index.ts';
import { type HttpRequest, HttpWay } from './http-way.ts';
import { joinLanes } from './one-lane.ts';
import { RawWay, serveRaw } from './raw-way.ts';
import { wallClock } from './wall-clock.ts';
import type { StreamsAsked, Way } from './way.ts';

export { rawAnswer, rawOffer, rawOpen } from './raw-way.ts';
export { serveRaw };

/** Streams begin one after the other, and a machine's first token is its slowest. */
const SETTLE_MS = 400;

const messages = { sent: 0, received: 0 };
let way: Way;
let client: Client | undefined;

function the(): Way {
  if (way === undefined) throw new Error('the page is not connected');
  return way;
}

/** Counts what goes over data channels. */
class CountingPeerConnection extends RTCPeerConnection {
  override createDataChannel(...[label, options]: Parameters<RTCPeerConnection['createDataChannel']>): RTCDataChannel {
    const channel = super.createDataChannel(label, options);
    const send = channel.send.bind(channel) as (message: Uint8Array<ArrayBuffer>) => void;
    channel.addEventListener('message', () => void messages.received++);
    channel.send = (message: unknown) => {
      messages.sent++;
      send(message as Uint8Array<ArrayBuffer>);
    };
    return channel;
  }
}

class OneLanePeerConnection extends CountingPeerConnection {
  override createDataChannel(...given: Parameters<RTCPeerConnection['createDataChannel']>): RTCDataChannel {
    return joinLanes(super.createDataChannel(...given));
  }
}

class CountingWebSocket extends WebSocket {
  constructor(...given: ConstructorParameters<typeof WebSocket>) {
    super(...given);
    this.addEventListener('message', () => void messages.received++);
  }

  override send(...given: Parameters<WebSocket['send']>): void {
    messages.sent++;
    super.send(...given);
  }
}

export interface ClientAsked {
  host: string;
  token: string;
  /** Which path it has to have. */
  path: Client['path'];
  webrtc: boolean;
  oneLane?: boolean;
}

/** Connects by our client, and waits for the path. */
export async function useClient({ host, token, path, webrtc, oneLane }: ClientAsked): Promise<void> {
  const { library } = globalThis as unknown as { library: { connect: typeof connect } };
  const environment = {
    RTCPeerConnection: oneLane === true ? OneLanePeerConnection : CountingPeerConnection,
    WebSocket: CountingWebSocket,
  } as NonNullable<ConnectOptions['environment']>;
  const connected = library.connect({ url: location.origin, host, token, webrtc, tunnel: false, environment });
  client = connected;
  while (connected.path !== path) {
    await new Promise((resolve) => connected.on('path', resolve));
  }
  way = new HttpWay((path, init) => connected.fetch(path, init), true);
}

/** Plain requests to several names of one server: a browser has six connections for each. */
export function useHttp(origins: string[], headers: Record<string, string>): void {
  const ask: HttpRequest = (path, init, index) =>
    fetch(`${origins[index % origins.length]}${path}`, { ...init, headers: { ...headers, ...init.headers } });
  way = new HttpWay(ask, false);
}

/** The offering end of a pair of pages. */
export function useRaw(): void {
  way = new RawWay();
}

/** Which path our client has now. */
export function path(): string {
  return client?.path ?? 'none';
}

export function close(): void {
  client?.close();
}

/** Milliseconds for each, one after the other. */
export async function small(count: number): Promise<number[]> {
  return await timed(count, () => the().small(0));
}

export async function first(count: number): Promise<number[]> {
  return await timed(count, () => the().first());
}

/** Milliseconds until all of `count` at once are answered; so often. */
export async function concurrent(count: number, times: number): Promise<number[]> {
  const all = () => Promise.all(Array.from({ length: count }, (_, i) => the().small(i)));
  await all();
  return await timed(times, all);
}

export interface TokensAsked extends StreamsAsked {
  /** A download beside them. */
  beside: boolean;
}

export interface TokensMeasured {
  /** By stream: when each was written, in ms since the first of all, and how long it took to come. */
  tokens: { atMs: number; delayMs: number }[][];
  /** Of the download, in MB/s. */
  besideRate: number;
  /** All that were asked for came. */
  complete: boolean;
}

export async function tokens({ streams, seconds, everyMs, beside }: TokensAsked): Promise<TokensMeasured> {
  const clock = wallClock();
  const stop = new AbortController();
  let bytes = 0;
  const counted = (piece: number) => {
    bytes += piece;
  };
  const download = beside ? the().down(16 * 1024, counted, stop.signal) : undefined;
  if (beside) await new Promise((resolve) => setTimeout(resolve, 2 * SETTLE_MS));
  const start = performance.now();
  const [from, before] = [clock() + SETTLE_MS, bytes];
  const tokens: TokensMeasured['tokens'] = Array.from({ length: streams }, () => []);
  await the().tokens({ streams, seconds: seconds + SETTLE_MS / 1000, everyMs }, (stream, at) => {
    if (at >= from) tokens[stream]?.push({ atMs: at - from, delayMs: clock() - at });
  });
  const besideRate = (bytes - before) / (performance.now() - start) / 1000;
  stop.abort();
  await download;
  const came = tokens.reduce((sum, { length }) => sum + length, 0);
  return { tokens, besideRate, complete: came > ((streams * seconds * 1000) / everyMs) * 0.8 };
}

export interface BulkAsked {
  /** Bytes of each write. */
  chunk: number;
  /** These do not count. */
  warmMs: number;
  ms: number;
}

export interface BulkMeasured {
  /** MB/s. */
  rate: number;
  /** All that came, those before the measurement as well. */
  megabytes: number;
}

export async function down({ chunk, warmMs, ms }: BulkAsked): Promise<BulkMeasured> {
  const stop = new AbortController();
  let [total, bytes, began, from, last] = [0, 0, 0, 0, 0];
  const timer = setTimeout(() => stop.abort(), 2 * (warmMs + ms) + 2_000);
  await the().down(
    chunk,
    (piece) => {
      const now = performance.now();
      total += piece;
      began ||= now;
      if (from > 0) bytes += piece;
      else if (now - began >= warmMs) from = now;
      last = now;
      if (from > 0 && now - from >= ms) stop.abort();
    },
    stop.signal,
  );
  clearTimeout(timer);
  if (bytes === 0) throw new Error(`only ${total} bytes came`);
  return { rate: bytes / (last - from) / 1000, megabytes: total / 1e6 };
}

export async function up({ chunk, warmMs, ms }: BulkAsked): Promise<BulkMeasured> {
  return await the().up(chunk, warmMs, ms);
}

/** Reads so many bytes no faster than that; resolves with how many came. */
export async function readSlowly(total: number, megabytesPerSecond: number): Promise<number> {
  if (client === undefined) throw new Error('the page is not connected');
  const response = await client.fetch(`/v1/bench/bulk?chunk=65536&total=${total}`);
  const start = performance.now();
  let bytes = 0;
  for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += piece.length;
    const due = start + bytes / megabytesPerSecond / 1000;
    const wait = due - performance.now();
    if (wait > 4) await new Promise((resolve) => setTimeout(resolve, wait));
  }
  return bytes;
}

/** Of the session, so far. */
export function messageCounts(): { sent: number; received: number } {
  return { ...messages };
}

/** How far this page's clock is from another's, in ms; `read` asks for that. The middle of some. */
export async function clockDifference(url: string): Promise<number> {
  const clock = wallClock();
  const differences: number[] = [];
  for (let i = 0; i < 15; i++) {
    const before = clock();
    const { now } = (await (await fetch(url)).json()) as { now: number };
    differences.push(now - (before + clock()) / 2);
  }
  return differences.sort((a, b) => a - b)[7] ?? Number.NaN;
}

async function timed(count: number, run: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  // The first is not like the others: connections are made for it.
  for (let i = 0; i <= count; i++) {
    const before = performance.now();
    await run();
    times.push(performance.now() - before);
  }
  return times.slice(1);
}
