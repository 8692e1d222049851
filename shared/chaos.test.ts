/**
 * The session layer against any world: paths that come, are slow, break and fall silent in any way, and an agent that
 * restarts. What went in comes out, once; what fails has a reason that happened.
 *
 * To see a case again: CHAOS_SEED and CHAOS_PATH as fast-check prints them; CHAOS_RUNS is the number of cases.
 */
import fc from 'fast-check';
import { test } from 'vitest';
import { DirectError, type ErrorCode } from './errors.ts';
import {
  BUSY_DIRECT_IDLE_MS,
  HANDSHAKE_TIMEOUT_MS,
  INITIAL_SESSION_CREDIT,
  LIVENESS_IDLE_MS,
  LIVENESS_TIMEOUT_MS,
  MAX_UNACKNOWLEDGED_SESSION_BYTES,
  SESSION_SURVIVAL_MS,
  UNANSWERED_SURVIVAL_MS,
} from './limits.ts';
import type { PathLink } from './path-link.ts';
import { Session } from './session.ts';
import { Sessions } from './sessions.ts';
import type { Stream } from './stream.ts';
import { SIGNALING } from './test-pair.ts';
import {
  content,
  type Half,
  type PathPlan,
  type Scenario,
  type StreamPlan,
  sameContent,
  scenario,
} from './test-scenarios.ts';
import { Wire, World } from './test-world.ts';

/** Long enough for the slower end to find out that a path is dead. */
const FOUND_MS = LIVENESS_IDLE_MS + LIVENESS_TIMEOUT_MS + 2000;
/** What `write` takes beyond the bytes that are kept to be sent again. */
const WRITE_AHEAD = 64 * 1024;

type Outcome = 'ended' | ErrorCode;

/** What became of one direction of a stream. */
interface HalfResult {
  wrote?: Outcome;
  read?: Outcome;
}

interface StreamResult {
  plan: StreamPlan;
  stream: Stream;
  /** How often an agent's application was given it. */
  seen: number;
  up: HalfResult;
  down: HalfResult;
}

/** What the application says when it resets, and when it stops. */
const RESET = 'E_CANCELLED';
const STOP = 'E_BODY_TOO_LARGE';

class Case {
  readonly world = new World();
  readonly plan: Scenario;
  readonly results: StreamResult[] = [];
  readonly wires: Wire[] = [];
  readonly client: Session;
  agent: Session | undefined;
  moves = 0;
  restarted = false;
  /** The agent has answered HELLO once. */
  established = false;
  readonly #broken = new Set<Wire>();
  /** Wires that came before the agent had answered on any. */
  readonly #early = new Set<Wire>();
  readonly #page = this.world.process();
  #process = this.world.process();
  #sessions = this.#startAgent();
  /** Since when the client has had no open path. */
  #clientAloneAt: number | undefined = 0;
  /** When it lost the last one of any kind. */
  #clientLostAt = 0;
  #agentAloneAt = 0;
  /** Parts of the plan that have not begun. */
  #waiting = 0;
  #random: number;
  /** What an application or a path has seen that must not be. */
  #wrong: string | undefined;

  constructor(plan: Scenario) {
    this.plan = plan;
    this.#random = plan.salt;
    const lost = ({ path }: PathLink, error: DirectError) => {
      this.#lost(this.wires.find(({ client }) => client === path) as Wire, error);
      this.#clientLostAt = this.world.now();
      if (!this.client.links.some(({ isOpen }) => isOpen)) this.#clientAloneAt ??= this.world.now();
    };
    const opened = () => {
      this.established = true;
      this.#clientAloneAt = undefined;
    };
    const moved = () => this.moves++;
    const events = { opened, moved, lost };
    this.client = new Session({ role: 'client', id: 'a-session', environment: this.#page, events });
  }

  /** Runs the plan, and throws when something happens that must not. Returns what became of the session. */
  async run(): Promise<Outcome> {
    const { paths, streams, burst, restartMs, rescueMs } = this.plan;
    for (const path of paths) this.#at(path.atMs, () => this.#connect(path));
    for (const stream of streams) this.#at(stream.atMs, () => this.#open(stream));
    if (burst > 0) this.#at(0, () => this.#burst(burst));
    if (restartMs !== undefined) this.#at(restartMs, () => this.#restart());
    const ends = paths.map(({ atMs, end }) => atMs + (end?.afterMs ?? 0));
    this.#at(Math.max(...ends, restartMs ?? 0) + rescueMs, () => this.#rescue());
    await this.world.advance(3 * 3600_000, () => !this.#isOver());
    this.#check(this.#isOver(), 'it never ends');
    this.#checkOutcome();
    const outcome = this.client.error?.code ?? 'ended';
    // Both ends agree in the end that nothing is left, whatever acknowledgement was lost. A slow path takes its time
    // to repeat what was not acknowledged.
    await this.world.advance(3600_000, () => !this.#isQuiet());
    this.#check(this.#isQuiet(), `${this.client.streamCount} and ${this.agent?.streamCount} streams are left`);
    this.client.close('E_GOING_AWAY');
    this.#check(this.#page.timers() === 0, 'the client has left timers');
    await this.world.advance(FOUND_MS);
    // Who never heard of it still waits for the client.
    this.#sessions.close('E_GOING_AWAY');
    await this.world.advance(FOUND_MS);
    this.#check(this.world.pending === 0, `${this.world.pending} timers are left`);
    this.#check(this.client.heldBytes === 0 && this.#sessions.size === 0, 'something is left');
    this.#checkTraffic();
    return outcome;
  }

  #check(holds: boolean, message: string): void {
    if (!holds) throw new Error(`at ${this.world.now()} ms: ${message}`);
  }

  #at(ms: number, run: () => void): void {
    this.#waiting++;
    this.world.timer(ms, () => {
      this.#waiting--;
      if (this.client.error === undefined) run();
    });
  }

  #isQuiet(): boolean {
    return [this.client, this.agent].every((end) => end === undefined || end.error !== undefined || isEmpty(end));
  }

  #isOver(): boolean {
    this.#checkHeld();
    if (this.#waiting > 0) return false;
    if (this.client.error !== undefined) return true;
    return this.results.every(({ up, down }) => up.wrote && up.read && down.wrote && down.read);
  }

  #draw(below: number): number {
    this.#random = (Math.imul(this.#random, 1664525) + 1013904223) >>> 0;
    return (this.#random >>> 8) % (below + 1);
  }

  // ---- the network ----------------------------------------------------------------------------

  #connect({ kind, becomes, delayMs, jitterMs, queueBytes, maxMessageBytes, lanes, stall, end }: PathPlan): Wire {
    const from = this.world.now() + (stall?.afterMs ?? 0);
    const until = from + (stall?.forMs ?? 0);
    const jitter = () => {
      const now = this.world.now();
      return this.#draw(jitterMs) + (now >= from ? Math.max(0, until - now) : 0);
    };
    const wire = new Wire(this.world, { delayMs, jitterMs: jitter, queueBytes, maxMessageBytes, lanes });
    this.wires.push(wire);
    if (!this.established) this.#early.add(wire);
    const options = { sessionId: SIGNALING, kind };
    this.#sessions.accept(wire.agent, options, { ended: (error) => this.#lost(wire, error) });
    const link = this.client.attach(wire.client, options);
    if (becomes !== undefined && kind !== 'relay') {
      this.#at(becomes.afterMs, () => {
        link.kind = becomes.kind;
      });
    }
    if (end !== undefined) this.#at(end.afterMs, () => this.#break(wire, end));
    return wire;
  }

  #break(wire: Wire, { how, up, down }: NonNullable<PathPlan['end']>): void {
    this.#broken.add(wire);
    if (how === 'cut') wire.cut({ up, down });
    else if (how === 'seen by the client') wire.cut({ up, down, seenBy: 'client' });
    else if (how === 'seen by the agent') wire.cut({ up, down, seenBy: 'agent' });
    else {
      if (how !== 'silent down') wire.client.silence(up);
      if (how !== 'silent up') wire.agent.silence(down);
    }
  }

  /** From now on there is a path that stays; another one comes if the agent did not wait for its HELLO. */
  #rescue(): void {
    if (this.client.error !== undefined) return;
    const plan = { kind: 'relay' as const, delayMs: 20, jitterMs: 0, queueBytes: 65_536, maxMessageBytes: 65_536 };
    const wire = this.#connect({ ...plan, lanes: 1, atMs: 0, becomes: undefined, stall: undefined, end: undefined });
    this.world.timer(HANDSHAKE_TIMEOUT_MS + 1000, () => {
      if (wire.client.isClosed) this.#rescue();
    });
  }

  #lost(wire: Wire, error: DirectError): void {
    if (this.#broken.has(wire) || this.client.error !== undefined) return;
    // Behind first paths that never answered it waited too long for its turn.
    if (error.code === 'E_HANDSHAKE_TIMEOUT' && this.#early.has(wire)) return;
    if (error.code === 'E_HOST_RESTARTED') return;
    this.#wrong ??= `a path that worked was given up: ${error.code} ${error.detail}`;
  }

  #startAgent(): Sessions {
    return new Sessions({
      environment: this.#process,
      stream: (stream) => this.#serve(stream),
      moved: (session) => {
        this.agent = session;
        if (session.links.length === 0) this.#agentAloneAt = this.world.now();
      },
    });
  }

  #restart(): void {
    this.restarted = true;
    this.agent = undefined;
    this.#process.kill();
    for (const wire of this.wires) {
      this.#broken.add(wire);
      wire.agent.kill();
    }
    this.#process = this.world.process();
    this.#sessions = this.#startAgent();
  }

  // ---- the applications -----------------------------------------------------------------------

  #open(plan: StreamPlan): void {
    const result: StreamResult = { plan, stream: this.client.openStream(), seen: 0, up: {}, down: {} };
    this.results.push(result);
    void this.#write(result.stream, plan.up, result.up, 2 * result.stream.id);
    void this.#read(result.stream, plan.down, result.down, 2 * result.stream.id + 1);
  }

  #burst(count: number): void {
    const half = { bytes: 0, chunk: 1, writePause: 0, readPause: 0, gives: undefined };
    for (let i = 0; i < count; i++) this.#open({ atMs: 0, up: half, down: half });
  }

  #serve(stream: Stream): void {
    const result = this.results[stream.id] as StreamResult;
    result.seen++;
    void this.#read(stream, result.plan.up, result.up, 2 * stream.id);
    void this.#write(stream, result.plan.down, result.down, 2 * stream.id + 1);
  }

  async #write(stream: Stream, half: Half, result: HalfResult, key: number): Promise<void> {
    const end = resets(half) ? half.gives.after : half.bytes;
    const chunk = chunkOf(half);
    try {
      for (let at = 0; at < end; ) {
        const part = content(key, at, Math.min(chunk, end - at));
        await stream.write(part);
        this.world.step();
        at += part.length;
        if (half.writePause > 0) await this.world.sleep(this.#draw(half.writePause));
      }
      if (resets(half)) stream.reset(RESET);
      else stream.finish();
      result.wrote = resets(half) ? RESET : 'ended';
    } catch (error) {
      result.wrote = codeOf(error);
    }
  }

  async #read(stream: Stream, { bytes, readPause, gives }: Half, result: HalfResult, key: number): Promise<void> {
    let at = 0;
    try {
      for (;;) {
        if (gives?.by === 'stop' && at >= gives.after) {
          stream.stop(STOP);
          result.read = STOP;
          return;
        }
        const part = await stream.read();
        this.world.step();
        if (part === null) break;
        if (!sameContent(key, at, part)) this.#wrong ??= `stream ${stream.id} has other bytes after ${at}`;
        at += part.length;
        if (readPause > 0) await this.world.sleep(this.#draw(readPause));
      }
      if (at !== bytes) this.#wrong ??= `stream ${stream.id} ends at ${at} of ${bytes}`;
      result.read = 'ended';
    } catch (error) {
      result.read = codeOf(error);
    }
  }

  // ---- what must hold -------------------------------------------------------------------------

  #checkHeld(): void {
    this.#check(this.#wrong === undefined, this.#wrong ?? '');
    for (const session of [this.client, this.agent]) {
      const ahead = this.results.length * (WRITE_AHEAD + MAX_CHUNK);
      const most = INITIAL_SESSION_CREDIT + MAX_UNACKNOWLEDGED_SESSION_BYTES + ahead;
      const held = session?.heldBytes ?? 0;
      this.#check(held <= most, `${session?.role} holds ${held} bytes`);
    }
  }

  #checkOutcome(): void {
    const code = this.client.error?.code;
    // The client may not have heard of it yet.
    const forgotten = this.agent?.error?.code === 'E_PATH_LOST';
    if (forgotten) this.#checkAlone(this.#agentAloneAt);
    if (code === 'E_PATH_LOST') {
      // One that nobody has answered is given up sooner, once nothing is tried any more.
      const isSoon = !this.established && this.world.now() - this.#clientLostAt >= UNANSWERED_SURVIVAL_MS;
      if (!isSoon) this.#checkAlone(this.#clientAloneAt ?? this.world.now());
    } else if (code === 'E_HOST_RESTARTED') {
      this.#check(this.restarted || forgotten || !this.established, 'the agent has forgotten nothing');
    } else {
      this.#check(code === undefined, `the session ends with ${code}: ${this.client.error?.detail}`);
    }
    const failed = code ?? (forgotten ? 'E_PATH_LOST' : undefined);
    for (const result of this.results) this.#checkStream(result, failed);
  }

  #checkAlone(since: number): void {
    const alone = this.world.now() - since;
    this.#check(alone >= SESSION_SURVIVAL_MS, `given up after ${alone} ms`);
  }

  #checkStream({ stream, plan, seen, up, down }: StreamResult, failed: ErrorCode | undefined): void {
    const { id, sentAny } = stream;
    this.#check(seen <= 1, `stream ${id} was seen ${seen} times`);
    this.#check(sentAny || seen === 0, `stream ${id} was seen and not sent`);
    this.#check(seen === 1 || down.read !== 'ended', `stream ${id} was answered by nobody`);
    this.#check(failed !== undefined || seen === 1, `stream ${id} was never seen`);
    for (const [half, result] of [[plan.up, up] as const, [plan.down, down] as const]) {
      const { bytes, gives } = half;
      const wrote: (Outcome | undefined)[] = [resets(half) ? RESET : 'ended'];
      const read: (Outcome | undefined)[] = [...wrote];
      if (gives?.by === 'stop') {
        wrote.push(STOP);
        if (gives.after <= bytes) read.splice(0, 1, STOP);
      }
      if (failed !== undefined) {
        wrote.push(failed, this.agent?.error?.code, undefined);
        read.push(failed, this.agent?.error?.code, undefined);
      }
      this.#check(wrote.includes(result.wrote), `stream ${id} was written: ${result.wrote}, not ${wrote}`);
      this.#check(read.includes(result.read), `stream ${id} was read: ${result.read}, not ${read}`);
    }
  }

  /**
   * No storm: what is sent is what there is to say, for each move what may have been lost again, and questions as
   * often as a busy path has to be asked.
   */
  #checkTraffic(): void {
    const smallest = Math.min(...this.plan.paths.map(({ maxMessageBytes }) => maxMessageBytes)) / 2;
    let say = 10;
    for (const { plan } of this.results) {
      for (const half of [plan.up, plan.down]) {
        const parts = Math.ceil(half.bytes / chunkOf(half)) + Math.ceil(half.bytes / smallest);
        say += 4 + 2 * parts;
      }
    }
    const asked = 10 + (2 * this.world.now()) / BUSY_DIRECT_IDLE_MS;
    const most = (say * (1 + this.moves) + this.wires.length * asked) / 2;
    let messages = 0;
    for (const { client, agent } of this.wires) messages += client.messages + agent.messages;
    this.#check(messages <= most, `${messages} messages, for which ${most} are enough`);
    const { length } = this.wires;
    this.#check(this.moves <= 4 * length, `${this.moves} moves between ${length} paths`);
  }
}

const isEmpty = ({ streamCount, heldBytes }: Session) => streamCount === 0 && heldBytes === 0;

const MAX_CHUNK = 64 * 1024;
const resets = (half: Half): half is Half & { gives: NonNullable<Half['gives']> } =>
  half.gives?.by === 'reset' && half.gives.after < half.bytes;
const chunkOf = ({ bytes, chunk }: Half) => Math.max(chunk, Math.ceil(bytes / 32));

function codeOf(error: unknown): ErrorCode {
  if (error instanceof DirectError) return error.code;
  throw error;
}

const setting = (name: string) => (process.env[name] === undefined ? undefined : Number(process.env[name]));

test('any world: bytes arrive once, streams run once, and what fails has its reason', async () => {
  const seed = setting('CHAOS_SEED') ?? Date.now() & 0x7fffffff;
  const numRuns = setting('CHAOS_RUNS') ?? 10_000;
  const path = process.env.CHAOS_PATH;
  const outcomes: Record<string, number> = {};
  const property = fc.asyncProperty(scenario, async (plan) => {
    const outcome = await new Case(plan).run();
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  });
  console.info(`chaos: CHAOS_SEED=${seed} CHAOS_RUNS=${numRuns}`);
  await fc.assert(property, { seed, numRuns, ...(path === undefined ? {} : { path, endOnFailure: true }) });
  console.info('chaos:', JSON.stringify(outcomes));
}, 240_000);
