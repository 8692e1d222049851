/**
 * The Worker of workers/index.ts with counters around it. It counts inside workerd, where the events arrive, so that
 * nothing depends on what a client believes it sent. Worker and objects share one isolate here, and so one set of
 * counters, which the Worker shows at COUNTS_PATH.
 */

import { RpcTarget } from 'cloudflare:workers';
import { AsyncLocalStorage } from 'node:async_hooks';
import worker, * as objects from '../workers/index.ts';
import { add, type Counts, NO_COUNTS, type ObjectCounts } from './cost-counts.ts';

const COUNTS_PATH = '/_direct/bench/counts';
/** Idle for so long, an object that can hibernate does. */
const EVICTION_MS = 10_000;

let workerRequests = 0;
const known = new Map<string, Watched>();
/** The object whose code runs, through all its awaits and timers. */
const running = new AsyncLocalStorage<Watched>();

/** One object: what happened to it, and how long it was kept awake. It outlives its evictions. */
class Watched {
  readonly className: string;
  readonly counts: ObjectCounts = { ...NO_COUNTS, objects: 1 };
  /** Events that are not over and timers that have not fired. */
  #reasons = 0;
  /** Up to when the times are counted. */
  #countedTo = Date.now();
  /** What is left until an idle object is evicted. */
  #idleLeft = 0;
  readonly #cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];

  constructor(className: string) {
    this.className = className;
  }

  enter(): void {
    this.#count();
    this.#reasons += 1;
  }

  leave(): void {
    this.#count();
    this.#reasons -= 1;
    if (this.#reasons === 0) this.#idleLeft = EVICTION_MS;
    for (const cursor of this.#cursors.splice(0)) {
      this.counts.rowsRead += cursor.rowsRead;
      this.counts.rowsWritten += cursor.rowsWritten;
    }
  }

  /** Its rows are known when it was read, at the latest when the event is over. */
  queried(cursor: SqlStorageCursor<Record<string, SqlStorageValue>>): void {
    this.#cursors.push(cursor);
  }

  snapshot(): ObjectCounts {
    this.#count();
    return { ...this.counts };
  }

  #count(): void {
    const now = Date.now();
    const passed = now - this.#countedTo;
    this.#countedTo = now;
    const idle = this.#reasons > 0 ? 0 : Math.min(passed, this.#idleLeft);
    this.#idleLeft -= idle;
    if (this.#reasons > 0) this.counts.billedMs += passed;
    this.counts.inMemoryMs += this.#reasons > 0 ? passed : idle;
  }
}

function watched(id: DurableObjectId, className: string): Watched {
  const object = known.get(id.toString()) ?? new Watched(className);
  known.set(id.toString(), object);
  return object;
}

// ---- events ----------------------------------------------------------------------------------

type Counted = 'fetches' | 'alarms' | 'messages' | 'calls' | undefined;
type Method = (this: { ctx: DurableObjectState }, ...args: unknown[]) => unknown;

/** What the runtime calls by name; everything else that an object can do is called by RPC. Closes are not billed. */
const HANDLERS: Record<string, Counted> = {
  fetch: 'fetches',
  alarm: 'alarms',
  webSocketMessage: 'messages',
  webSocketClose: undefined,
  webSocketError: undefined,
};

function countEvents<Class extends { prototype: object; name: string }>(base: Class): Class {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(base.prototype))) {
    if (name === 'constructor' || typeof value !== 'function') continue;
    Object.defineProperty(base.prototype, name, { value: counted(base.name, name, value as Method) });
  }
  // The constructor reads from storage as well.
  return new Proxy(base as Class & (new () => object), {
    construct(target, args, newTarget) {
      const { id, storage } = args[0] as DurableObjectState;
      countStorage(storage);
      const object = watched(id, base.name);
      object.counts.constructions += 1;
      return running.run(object, () => Reflect.construct(target, args, newTarget) as object);
    },
  });
}

function counted(className: string, name: string, method: Method): Method {
  const kind = name in HANDLERS ? HANDLERS[name] : 'calls';
  return function (...args) {
    const object = watched(this.ctx.id, className);
    // One of its own methods, called by another one.
    if (running.getStore() === object) return method.apply(this, args);
    if (kind !== undefined) object.counts[kind] += 1;
    object.enter();
    return running.run(object, () => untilOver(object, () => method.apply(this, args)));
  };
}

/** Parts of objects, which their methods hand out, with the object that each belongs to. */
const owners = new WeakMap<object, Watched>();

/** A call of a part is in the same request as the call that got it (Workers RPC: a session is one request). */
function countPart(owner: Watched, part: RpcTarget): void {
  if (owners.has(part)) return;
  owners.set(part, owner);
  const prototype: Record<string, unknown> = Object.getPrototypeOf(part);
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const method = prototype[name];
    if (name === 'constructor' || typeof method !== 'function') continue;
    prototype[name] = function (this: object, ...args: unknown[]) {
      const object = owners.get(this);
      if (object === undefined || running.getStore() === object) return method.apply(this, args);
      object.enter();
      return running.run(object, () => untilOver(object, () => method.apply(this, args)));
    };
  }
}

/** Runs an event; a response is over when its body is. */
function untilOver(object: Watched, run: () => unknown): unknown {
  const over = (value: unknown) => {
    if (value instanceof RpcTarget) countPart(object, value);
    if (value instanceof Response && value.body !== null) return untilRead(value, value.body, () => object.leave());
    object.leave();
    return value;
  };
  const failed = (error: unknown): never => {
    object.leave();
    throw error;
  };
  try {
    const result = run();
    return result instanceof Promise ? result.then(over, failed) : over(result);
  } catch (error) {
    return failed(error);
  }
}

/** The same response, with a word when its body has ended or nobody wants it any longer. */
function untilRead(response: Response, body: ReadableStream<Uint8Array>, over: () => void): Response {
  const reader = body.getReader();
  const followed = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        controller.close();
      } catch (error) {
        controller.error(error);
      }
      over();
    },
    cancel(reason) {
      over();
      return reader.cancel(reason);
    },
  });
  return new Response(followed, response);
}

// ---- storage ---------------------------------------------------------------------------------

let storageIsCounted = false;

/** Rows as the pricing page counts them: those of SQL as SQLite says, a row for each key, and one for each alarm set. */
function countStorage(storage: DurableObjectStorage): void {
  if (storageIsCounted) return;
  storageIsCounted = true;
  after(storage.kv, 'get', () => 'rowsRead');
  after(storage.kv, 'put', () => 'rowsWritten');
  after(storage.kv, 'delete', () => 'rowsWritten');
  after(storage, 'setAlarm', () => 'rowsWritten');
  after(storage.sql, 'exec', (cursor) => {
    running.getStore()?.queried(cursor as SqlStorageCursor<Record<string, SqlStorageValue>>);
    return undefined;
  });
}

function after(owner: object, name: string, look: (result: unknown) => 'rowsRead' | 'rowsWritten' | undefined): void {
  const prototype: Record<string, (...args: unknown[]) => unknown> = Object.getPrototypeOf(owner);
  const method = prototype[name];
  if (method === undefined) throw new Error(`this storage has no ${name}`);
  prototype[name] = function (this: object, ...args) {
    const result = method.apply(this, args);
    const rows = look(result);
    const object = running.getStore();
    if (rows !== undefined && object !== undefined) object.counts[rows] += 1;
    return result;
  };
}

// ---- timers: one that has not fired keeps its object from hibernating -------------------------

const waiting = new Map<unknown, Watched>();

function fired(timer: unknown): void {
  waiting.get(timer)?.leave();
  waiting.delete(timer);
}

const { setTimeout: setTimer, clearTimeout: clearTimer } = globalThis;
Object.assign(globalThis, {
  setTimeout: (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    const timer = setTimer(() => {
      try {
        run(...args);
      } finally {
        fired(timer);
      }
    }, ms);
    const object = running.getStore();
    object?.enter();
    if (object !== undefined) waiting.set(timer, object);
    return timer;
  },
  clearTimeout: (timer: number | null) => {
    fired(timer);
    clearTimer(timer);
  },
});

// ---- what wrangler.toml names ----------------------------------------------------------------

export const AccountObject = countEvents(objects.AccountObject);
export const HostObject = countEvents(objects.HostObject);
export const SessionObject = countEvents(objects.SessionObject);

const exported = Object.keys(objects).filter((name) => name !== 'default');
const uncounted = exported.filter((name) => !['AccountObject', 'HostObject', 'SessionObject'].includes(name));
if (uncounted.length > 0) throw new Error(`cost-worker.ts must count ${uncounted.join(', ')} too`);

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname === COUNTS_PATH) return Response.json(counts());
    workerRequests += 1;
    return worker.fetch(request, env, ctx);
  },
} satisfies ExportedHandler<Cloudflare.Env>;

function counts(): Counts {
  const classes: Record<string, ObjectCounts> = {};
  for (const object of known.values()) {
    classes[object.className] = add(classes[object.className] ?? NO_COUNTS, object.snapshot());
  }
  return { workerRequests, classes };
}
