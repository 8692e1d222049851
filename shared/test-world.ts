/**
 * For tests: a world with its own time, and wires in it that are slow, break, and fall silent as networks do. Nothing
 * waits for real, so that thousands of worlds run in a second.
 */
import { MAX_MESSAGE_BYTES } from './limits.ts';
import type { Path, PathEvents } from './path.ts';
import type { SessionEnvironment, SessionRole } from './path-link.ts';

export interface Process extends SessionEnvironment {
  /** How many timers wait. */
  timers(): number;
  kill(): void;
}

interface Due {
  at: number;
  run(): void;
}

export class World implements SessionEnvironment {
  #now = 0;
  /** What is due, the latest first. */
  readonly #due: Due[] = [];
  #deferred: (() => void)[] = [];
  #steps = 0;

  now = (): number => this.#now;

  defer = (run: () => void): void => {
    this.#deferred.push(run);
  };

  timer = (ms: number, run: () => void): (() => void) => {
    const due = { at: this.#now + ms, run };
    let low = 0;
    let high = this.#due.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      // After all that are due at the same time, so it stands before them.
      if ((this.#due[middle] as Due).at > due.at) low = middle + 1;
      else high = middle;
    }
    this.#due.splice(low, 0, due);
    return () => {
      const index = this.#due.indexOf(due);
      if (index >= 0) this.#due.splice(index, 1);
    };
  };

  /** For code that awaits: resolves after `ms`. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.timer(ms, resolve));
  }

  /** Code that awaits says so at each step; time stands still until nobody has. */
  step(): void {
    this.#steps++;
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#due.length;
  }

  /** Runs everything that needs no time. */
  async settle(): Promise<void> {
    for (;;) {
      const steps = this.#steps;
      // A read takes two turns from the session to the code that awaits it; one more lets that code go on.
      for (let turn = 0; turn < 4; turn++) await undefined;
      if (this.#deferred.length > 0) for (const run of this.#deferred.splice(0)) run();
      else if (steps === this.#steps) return;
    }
  }

  /** Runs what is due within the next `ms`, in order, with everything that it causes, as long as `go` says so. */
  async advance(ms: number, go: () => boolean = () => true): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (let next = this.#due.at(-1); next !== undefined && next.at <= end && go(); next = this.#due.at(-1)) {
      this.#due.pop();
      this.#now = next.at;
      next.run();
      await this.settle();
    }
    if (go()) this.#now = end;
  }

  /** An environment that can die, with its timers, as a process does. */
  process(): Process {
    let alive = true;
    const timers = new Set<() => void>();
    return {
      now: this.now,
      defer: (run) => this.defer(() => alive && run()),
      timer: (ms, run) => {
        if (!alive) return () => {};
        const cancel = this.timer(ms, () => {
          timers.delete(cancel);
          run();
        });
        timers.add(cancel);
        return () => {
          timers.delete(cancel);
          cancel();
        };
      },
      timers: () => timers.size,
      kill: () => {
        alive = false;
        for (const cancel of timers) cancel();
      },
    };
  }
}

export interface WireOptions {
  /** One way. */
  delayMs?: number;
  /** Each keeps its order, and no other. */
  lanes?: number;
  /** Added to the delay of each message; the order in a lane stays. */
  jitterMs?: (lane: number) => number;
  /** Bytes in flight in one direction before `capacity()` reaches 0. */
  queueBytes?: number;
  maxMessageBytes?: number;
  /** Data of one message in a lane; any that fits unless told otherwise. */
  chunkBytes?: number;
}

/** What is on its way; without a message it is the end of the path. */
interface Flight {
  message: Uint8Array | undefined;
  at: number;
  cancel(): void;
}

class End implements Path {
  readonly maxMessageBytes: number;
  readonly lanes: number;
  readonly #world: World;
  readonly #options: WireOptions;
  #peer: End | undefined;
  #events: PathEvents | undefined;
  #early: { message: Uint8Array; lane: number }[] = [];
  #closed: string | undefined;
  readonly #flights: Flight[] = [];
  /** When the last message of each lane arrives. */
  readonly #lastAt = new Map<number, number>();
  #queued = 0;
  /** Client: lanes that are heard; what comes in others is lost. Undefined: all are. */
  readonly #heard: Set<number> | undefined;
  /** Nothing that is sent from now on arrives. */
  #silent = false;
  /** Every message that was sent. */
  messages = 0;
  bytes = 0;

  constructor(world: World, options: WireOptions, role: SessionRole) {
    this.#world = world;
    this.#options = options;
    this.#heard = role === 'client' ? new Set([0]) : undefined;
    this.maxMessageBytes = options.maxMessageBytes ?? MAX_MESSAGE_BYTES;
    this.lanes = options.lanes ?? 1;
  }

  join(peer: End): void {
    this.#peer = peer;
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  get isSilent(): boolean {
    return this.#silent;
  }

  capacity(): number {
    return this.isClosed ? 0 : (this.#options.queueBytes ?? 256 * 1024) - this.#queued;
  }

  openLane(lane: number): void {
    this.#heard?.add(lane);
  }

  chunkBytes(): number {
    return this.#options.chunkBytes ?? this.maxMessageBytes;
  }

  start(events: PathEvents): void {
    this.#events = events;
    for (const { message, lane } of this.#early.splice(0)) this.#deliver(message, lane);
    if (this.#closed !== undefined) events.closed(this.#closed);
  }

  send(message: Uint8Array, lane = 0): void {
    if (this.isClosed) return;
    if (lane >= this.lanes) throw new RangeError(`lane ${lane}`);
    if (message.length > this.maxMessageBytes) throw new RangeError(`a message of ${message.length} bytes`);
    this.messages++;
    this.bytes += message.length;
    this.#queued += message.length;
    this.#fly(message, lane);
  }

  close(): void {
    if (this.isClosed) return;
    this.end('closed');
    this.#fly(undefined, 0);
  }

  /** This end sees that the path has ended. */
  end(reason: string): void {
    if (this.isClosed) return;
    this.#closed = reason;
    this.#events?.closed(reason);
  }

  /** Of what is on its way the first `share` arrives, and nothing that is sent later. */
  silence(share: number): void {
    this.#silent = true;
    for (const lost of this.#flights.splice(Math.round(this.#flights.length * share))) lost.cancel();
  }

  /** Its process is killed: what is on its way arrives, then the peer sees the end. */
  kill(): void {
    this.#closed = 'killed';
    this.#events = undefined;
    this.endPeer('cut');
  }

  /** What is on its way arrives; then the peer sees the end. */
  endPeer(reason: string): void {
    const at = Math.max(this.#world.now(), ...this.#flights.map((flight) => flight.at));
    this.#world.timer(at - this.#world.now(), () => this.#peer?.end(reason));
  }

  #fly(message: Uint8Array | undefined, lane: number): void {
    const peer = this.#peer;
    if (this.#silent || peer === undefined) return;
    const { delayMs = 0, jitterMs } = this.#options;
    const now = this.#world.now();
    const at = Math.max(now + delayMs + (jitterMs?.(lane) ?? 0), this.#lastAt.get(lane) ?? 0);
    this.#lastAt.set(lane, at);
    const cancel = this.#world.timer(at - now, () => {
      this.#flights.splice(this.#flights.indexOf(flight), 1);
      if (message === undefined) peer.end('closed by the peer');
      else this.#arrived(message, lane, peer);
    });
    const flight: Flight = { message, at, cancel };
    this.#flights.push(flight);
  }

  #arrived(message: Uint8Array, lane: number, peer: End): void {
    const blocked = this.capacity() <= 0;
    this.#queued -= message.length;
    peer.#deliver(message, lane);
    if (blocked && this.capacity() > 0) this.#events?.drained();
  }

  #deliver(message: Uint8Array, lane: number): void {
    if (this.isClosed || this.#heard?.has(lane) === false) return;
    if (this.#events === undefined) this.#early.push({ message, lane });
    else this.#events.message(message, lane);
  }
}

export interface Cut {
  /** Shares of what is on its way from the client and from the agent that still arrive. */
  up?: number;
  down?: number;
  /** Who sees it; the other end has to find out. */
  seenBy?: 'both' | 'client' | 'agent';
}

/** A path with both its ends. */
export class Wire {
  readonly client: End;
  readonly agent: End;

  constructor(world: World, options: WireOptions = {}) {
    this.client = new End(world, options, 'client');
    this.agent = new End(world, options, 'agent');
    this.client.join(this.agent);
    this.agent.join(this.client);
  }

  /** Whether something happened to it that its ends may notice. */
  get isBroken(): boolean {
    const { client, agent } = this;
    return client.isSilent || agent.isSilent || client.isClosed || agent.isClosed;
  }

  cut({ up = 0, down = 0, seenBy = 'both' }: Cut = {}): void {
    this.client.silence(up);
    this.agent.silence(down);
    if (seenBy !== 'client') this.client.endPeer('cut');
    if (seenBy !== 'agent') this.agent.endPeer('cut');
  }
}
