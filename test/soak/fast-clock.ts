/**
 * Loaded into the agent before its own code (`node --import`): its clocks and timers can be advanced, so that the quiet
 * part of an hour takes seconds. Nothing is scaled: between two advances time passes as everywhere, and while it is
 * advanced all timers run in their order, each at its time, with I/O after each. So a ping every 25 s is sent 144 times
 * an hour and answered by the real edge, and neither ICE nor SCTP takes a real round trip for a longer one, as they
 * would with a clock that runs 60 times as fast.
 *
 * What stays real: Node's own timers, such as those of sockets, of its `fetch` and of AbortSignal.timeout.
 */
import { Agent, get } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import timers from 'node:timers';
import promises from 'node:timers/promises';
import { promisify } from 'node:util';
import { setFlagsFromString, writeHeapSnapshot } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What the soak test asks of the agent's process, and what it hears. */
export type Ask =
  | { id: number; do: 'advance'; ms: number }
  /** The machine was suspended: the wall clock has gone on, and the monotonic one, as Linux has it, has not. */
  | { id: number; do: 'suspend'; ms: number }
  | { id: number; do: 'measure' }
  | { id: number; do: 'snapshot'; file: string };

export interface Measured {
  /** Bytes after garbage collections. */
  heapUsed: number;
  heapTotal: number;
  external: number;
  arrayBuffers: number;
  /** Timers that wait. */
  timers: number;
  /** `process.getActiveResourcesInfo()`, counted. */
  resources: Record<string, number>;
  /** Event-loop delay since the last time: 99th percentile and maximum, in ms. */
  delayP99: number;
  delayMax: number;
}

export interface Told {
  id: number;
  measured?: Measured;
}

type Run = () => void;

const real = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setImmediate: globalThis.setImmediate,
  performanceNow: performance.now.bind(performance),
  Date: globalThis.Date,
};
/** By how much the monotonic clock is ahead, and the wall clock beyond that; ms. */
let ahead = 0;
let suspended = 0;
const monotonic = () => real.performanceNow() + ahead;
/** Whole milliseconds, as everywhere: whoever signs a time must be able to say it. */
const wall = () => Math.floor(real.Date.now() + ahead + suspended);

const waiting = new Set<VirtualTimer>();
const byId = new Map<number, VirtualTimer>();
let lastId = 0;

/** What setTimeout and setInterval return, with what Node's have. */
class VirtualTimer {
  readonly #id = ++lastId;
  readonly #run: Run;
  readonly #ms: number;
  readonly #repeats: boolean;
  #real: NodeJS.Timeout | undefined;
  #isRef = true;
  due = 0;

  constructor(run: Run, ms: number, repeats: boolean) {
    this.#run = run;
    this.#ms = ms >= 1 && ms <= 2 ** 31 - 1 ? Math.trunc(ms) : 1;
    this.#repeats = repeats;
    this.refresh();
  }

  /** Again from now on. */
  refresh(): this {
    this.due = monotonic() + this.#ms;
    waiting.add(this);
    byId.set(this.#id, this);
    this.arm();
    return this;
  }

  arm(): void {
    this.#disarm();
    this.#real = real.setTimeout(() => this.fire(), Math.max(1, Math.ceil(this.due - monotonic())));
    if (!this.#isRef) this.#real.unref();
  }

  fire(): void {
    if (this.#repeats) this.refresh();
    else this.close();
    this.#run();
  }

  close(): this {
    this.#disarm();
    waiting.delete(this);
    byId.delete(this.#id);
    return this;
  }

  /** As one with a ref: of others Node keeps the list of their duration until that has passed, and each is another one. */
  #disarm(): void {
    this.#real?.ref();
    real.clearTimeout(this.#real);
  }

  ref(): this {
    this.#isRef = true;
    this.#real?.ref();
    return this;
  }

  unref(): this {
    this.#isRef = false;
    this.#real?.unref();
    return this;
  }

  hasRef(): boolean {
    return this.#isRef;
  }

  [Symbol.toPrimitive](): number {
    return this.#id;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function start(repeats: boolean) {
  return (run: (...args: unknown[]) => void, ms = 1, ...args: unknown[]) =>
    new VirtualTimer(() => run(...args), ms, repeats);
}

function clear(timer: unknown): void {
  if (timer instanceof VirtualTimer) timer.close();
  else if (typeof timer === 'number' || typeof timer === 'string') byId.get(Number(timer))?.close();
  else if (timer !== undefined && timer !== null) real.clearTimeout(timer as NodeJS.Timeout);
}

interface Waiting {
  signal?: AbortSignal;
  ref?: boolean;
}

function delay<T>(ms?: number, value?: T, { signal, ref = true }: Waiting = {}): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      timer.close();
      const error = new Error('The operation was aborted', { cause: signal?.reason });
      reject(Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' }));
    };
    const timer = new VirtualTimer(
      () => {
        signal?.removeEventListener('abort', stop);
        resolve(value);
      },
      ms ?? 1,
      false,
    );
    if (!ref) timer.unref();
    if (signal?.aborted === true) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

const setTimeout = Object.assign(start(false), { [promisify.custom]: delay });
const replaced = { setTimeout, setInterval: start(true), clearTimeout: clear, clearInterval: clear };
Object.assign(globalThis, replaced);
Object.assign(timers, replaced);
Object.assign(promises, { setTimeout: delay });
syncBuiltinESMExports();
Object.defineProperty(performance, 'now', { value: monotonic, configurable: true, writable: true });
globalThis.Date = new Proxy(real.Date, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [wall()] : args, newTarget),
  apply: () => new real.Date(wall()).toString(),
  get: (target, key, receiver) => (key === 'now' ? wall : Reflect.get(target, key, receiver)),
});

const turn = () => new Promise<void>((resolve) => void real.setImmediate(() => resolve()));
const pause = (ms: number) => new Promise<void>((resolve) => void real.setTimeout(resolve, ms));

/** Timers that are due within this time of each other run without a pause. */
const TOGETHER_MS = 100;

function nextUntil(end: number): VirtualTimer | undefined {
  let next: VirtualTimer | undefined;
  for (const timer of waiting) if (timer.due <= end && (next === undefined || timer.due < next.due)) next = timer;
  return next;
}

async function advance(ms: number): Promise<void> {
  const end = monotonic() + ms;
  for (;;) {
    const first = nextUntil(end);
    if (first === undefined) break;
    // Those that follow at once, too: none of them is what an answer that takes a while has missed.
    const together = Math.min(end, first.due + TOGETHER_MS);
    for (let next: VirtualTimer | undefined = first; next !== undefined; next = nextUntil(together)) {
      ahead += Math.max(0, next.due - monotonic());
      next.fire();
      await turn();
    }
    // What they sent is answered by who is near: a STUN transaction gives up after half a second.
    await pause(1);
  }
  ahead += Math.max(0, end - monotonic());
  for (const timer of waiting) timer.arm();
  await edgeHasAnswered();
}

const keptAlive = new Agent({ keepAlive: true, maxSockets: 1 });

/**
 * The way to the edge and back, as what the agent has sent takes it: without it, the edge would be late for the agent's
 * pong of 10 s, which pass in the time of a few packets. An edge that is not there makes nobody wait.
 */
function edgeHasAnswered(): Promise<void> {
  const edge = process.env.FAST_CLOCK_EDGE;
  if (edge === undefined) return turn();
  return new Promise((resolve) => {
    const late = real.setTimeout(() => request.destroy(), 1_000);
    const request = get(edge, { agent: keptAlive }, (response) => response.resume().on('error', () => {}));
    request
      .on('error', () => {})
      .on('close', () => {
        real.clearTimeout(late);
        resolve();
      });
  });
}

const delays = monitorEventLoopDelay({ resolution: 10 });
delays.enable();
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as Run;

async function measure(): Promise<Measured> {
  const [delayP99, delayMax] = [delays.percentile(99) / 1e6, delays.max / 1e6];
  for (let i = 0; i < 4; i++) {
    collect();
    // Finalizers, and what they let go.
    await pause(20);
  }
  const { heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
  delays.reset();
  return { heapUsed, heapTotal, external, arrayBuffers, timers: waiting.size, resources, delayP99, delayMax };
}

async function answer(ask: Ask): Promise<Told> {
  if (ask.do === 'advance') await advance(ask.ms);
  else if (ask.do === 'suspend') suspended += ask.ms;
  else if (ask.do === 'snapshot') writeHeapSnapshot(ask.file);
  else return { id: ask.id, measured: await measure() };
  return { id: ask.id };
}

process.on('message', (ask: Ask) => void answer(ask).then((told) => process.send?.(told)));
process.on('disconnect', () => process.exit(1));
// The agent ends as it would without this.
process.channel?.unref();
