/** One answer, from its request to its end, across lost connections and reloads of the page. */
import { codeOf, errorText } from '../access/error-text.ts';
import type { Clients } from './chat-client.ts';
import { type Delta, readAnswer } from './completion.ts';
import type { Answer, AnswerState, Held } from './conversation.ts';
import type { RequestBody } from './request.ts';

/** A reload loses what came since; the host still has it, so this may be longer than a blink. */
const SAVE_MS = 500;
/** As long as hosts hold what nobody reads. */
const RESUME_FOR_MS = 60_000;
const PAUSES_MS = [300, 1_000, 2_000, 4_000];
/** What passes without anyone’s doing: the host may go on with the request meanwhile. Without a code: no network. */
const PASSING = new Set<string | undefined>([
  'E_PATH_LOST',
  'E_OUTCOME_UNKNOWN',
  'E_GOING_AWAY',
  'E_HANDSHAKE_TIMEOUT',
  'E_HOST_BUSY',
  'E_HOST_OFFLINE',
  // Of the session alone, perhaps: where the host has forgotten the answer, too, it says so when it is asked.
  'E_HOST_RESTARTED',
  'E_RATE_LIMITED',
  'E_SESSION_UNKNOWN',
  // The client was replaced by another one of the same host.
  'E_CANCELLED',
  undefined,
]);

export interface ReplyOptions {
  /** Where the request goes. */
  host: string;
  clients: Clients;
  /** Ends the answer, at the host too. */
  signal: AbortSignal;
  now: () => number;
  /** Rejects with the signal’s reason when that comes first. */
  pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Over when a person has the page before them: one that is being closed loses its connection, which is no end. */
  shown: () => Promise<void>;
  /** Of the whole answer so far, for the page. */
  changed: (answer: Answer) => void;
  /** Keeps it on the device. */
  save: (answer: Answer) => void;
}

export interface ReplyEnd {
  answer: Answer;
  /** Why it failed. */
  error?: unknown;
}

/** Runs to the end of the answer; never rejects. Without a body it goes on with what the host holds. */
export async function runReply(begun: Answer, body: RequestBody | undefined, options: ReplyOptions): Promise<ReplyEnd> {
  const reply = new Reply(begun, options);
  try {
    await reply.run(body);
    return reply.end('done');
  } catch (error) {
    return options.signal.aborted ? reply.end('stopped') : reply.failed(error);
  } finally {
    reply.release();
  }
}

class Reply {
  #answer: Answer;
  readonly #held: Held | undefined;
  readonly #options: ReplyOptions;
  readonly #resumed: boolean;
  #savedAt: number;
  #count = 0;
  #firstAt: number | undefined;
  #lastAt = 0;
  /** What went wrong first: that the host has nothing for us is then only the consequence. */
  #cause: unknown;

  constructor(answer: Answer, options: ReplyOptions) {
    this.#answer = answer;
    this.#held = answer.held;
    this.#options = options;
    this.#resumed = answer.text !== '' || answer.reasoning !== '';
    this.#savedAt = options.now();
  }

  async run(body: RequestBody | undefined): Promise<void> {
    const { now, pause, signal } = this.#options;
    let next = body;
    let until = now() + RESUME_FOR_MS;
    for (let attempt = 0; ; attempt++) {
      const before = this.#length;
      try {
        await this.#read(next);
        return;
      } catch (error) {
        await this.#options.shown();
        signal.throwIfAborted();
        const code = codeOf(error);
        // The edge’s word about a request is final, but not about what a host holds.
        const answered = !(error instanceof TypeError);
        const passes = PASSING.has(code) && (!answered || (next === undefined && code !== undefined));
        if (!passes || this.#held === undefined || now() >= until) throw error;
        this.#cause ??= error;
      }
      next = undefined;
      if (this.#length > before) {
        until = now() + RESUME_FOR_MS;
        attempt = 0;
      }
      await pause(PAUSES_MS[Math.min(attempt, PAUSES_MS.length - 1)] ?? 0, signal);
      signal.throwIfAborted();
    }
  }

  async #read(body: RequestBody | undefined): Promise<void> {
    const { clients, host, signal } = this.#options;
    const client = await clients.of(host, signal);
    const held = this.#answer.held;
    const from = body === undefined ? (held?.bytes ?? 0) : 0;
    const response =
      body === undefined
        ? await client.resume(held?.id ?? '', from, { signal })
        : await client.fetch('/v1/chat/completions', {
            method: 'POST',
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify(body),
            signal,
            ...(held === undefined ? {} : { hold: held.id }),
          });
    for await (const { deltas, consumed } of readAnswer(response, from)) this.#add(deltas, consumed);
  }

  #add(deltas: readonly Delta[], consumed: number): void {
    const now = this.#options.now();
    const answer = { ...this.#answer };
    if (answer.held !== undefined) answer.held = { ...answer.held, bytes: consumed };
    for (const delta of deltas) {
      if (delta.type === 'usage') answer.tokens = delta.tokens;
      else if (delta.type === 'speed') answer.tokensPerSecond = delta.tokensPerSecond;
      else {
        this.#count++;
        this.#firstAt ??= now;
        this.#lastAt = now;
        if (delta.type === 'text') answer.text += delta.text;
        else answer.reasoning += delta.text;
      }
    }
    this.#answer = answer;
    this.#options.changed(answer);
    if (now - this.#savedAt < SAVE_MS) return;
    this.#savedAt = now;
    this.#options.save(answer);
  }

  end(state: 'done' | 'stopped'): ReplyEnd {
    return { answer: this.#ended(state) };
  }

  failed(thrown: unknown): ReplyEnd {
    const lost = codeOf(thrown) === 'E_NOT_FOUND' && (this.#resumed || this.#cause !== undefined);
    // What came stays, and a person decides.
    if (lost && (this.#length > 0 || this.#cause === undefined)) return { answer: this.#ended('broken') };
    const error = lost ? this.#cause : thrown;
    const { message, hint } = errorText(error);
    return { answer: { ...this.#ended('failed'), error: hint === undefined ? { message } : { message, hint } }, error };
  }

  /** The host needs to keep nothing for us any more; and ends what runs, when a person has stopped it. */
  release(): void {
    const { clients, host } = this.#options;
    const held = this.#held;
    if (held === undefined || clients.host !== host) return;
    const ignore = () => {};
    clients
      .of(host, new AbortController().signal)
      .then((client) => client.release(held.id))
      .catch(ignore);
  }

  get #length(): number {
    return this.#answer.text.length + this.#answer.reasoning.length;
  }

  #ended(state: AnswerState): Answer {
    const { held: _, ...answer } = this.#answer;
    const ended: Answer = { ...answer, state, durationMs: this.#options.now() - answer.startedAt };
    const ms = this.#firstAt === undefined ? 0 : this.#lastAt - this.#firstAt;
    // What the host had read already came in one go: that is no speed.
    if (!this.#resumed && this.#cause === undefined && ms > 0 && this.#count > 1)
      ended.tokensPerSecond ??= (((ended.tokens ?? this.#count) - 1) * 1000) / ms;
    if (!this.#resumed && this.#count > 0) ended.tokens ??= this.#count;
    return ended;
  }
}
