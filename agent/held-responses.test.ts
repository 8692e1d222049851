import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DirectError, type ErrorCode } from '../shared/errors.ts';
import type { HeaderList, ResponseHead } from '../shared/head.ts';
import {
  HELD_AHEAD_BYTES,
  HELD_BEHIND_BYTES,
  MAX_HELD_BYTES,
  MAX_HELD_RESPONSE_BYTES,
  MAX_HELD_RESPONSES,
  MAX_HELD_RESPONSES_PER_SUBJECT,
  SESSION_SURVIVAL_MS,
} from '../shared/limits.ts';
import { settle, TestClock } from '../shared/test-clock.ts';
import type { HeldReader, HeldResponse } from './held-response.ts';
import { HeldResponses } from './held-responses.ts';

const HEAD: ResponseHead = { status: 200, statusText: '', headers: [['content-type', 'text/event-stream']] };

/** A client that takes so many bytes and is gone then, or stands still. */
class Reader implements HeldReader {
  readonly result: Promise<ErrorCode | 'read'>;
  seen: ResponseHead | undefined;
  trailers: HeaderList | undefined;
  readonly parts: Uint8Array[] = [];
  readonly #gone = new AbortController();
  readonly #limit: number;
  readonly #standsStill: boolean;
  #taken = 0;
  #fail: (error: DirectError) => void = () => {};

  constructor(response: HeldResponse, from = 0, { takes = Number.POSITIVE_INFINITY, standsStill = false } = {}) {
    this.#limit = takes;
    this.#standsStill = standsStill;
    this.result = response.read(from, this, this.#gone.signal).then(
      () => 'read' as const,
      (error: DirectError) => error.code,
    );
  }

  get bytes(): Buffer {
    return Buffer.concat(this.parts);
  }

  async head(head: ResponseHead): Promise<void> {
    this.seen = head;
  }

  async data(bytes: Uint8Array): Promise<void> {
    const left = this.#limit - this.#taken;
    // It takes what it can, the log's pieces being longer than what a client got before its end.
    this.parts.push(bytes.slice(0, left));
    this.#taken += bytes.length;
    if (bytes.length < left) return;
    if (this.#standsStill) {
      await new Promise((_, reject) => {
        this.#fail = reject;
      });
    }
    this.leave();
    throw new DirectError('E_GOING_AWAY');
  }

  finish(trailers: HeaderList): void {
    this.trailers = trailers;
  }

  breakOff(code: ErrorCode): void {
    this.#fail(new DirectError(code));
  }

  leave(): void {
    this.#gone.abort(new DirectError('E_GOING_AWAY'));
    this.#fail(new DirectError('E_GOING_AWAY'));
  }
}

/** Bytes of which no two places are alike. */
function noise(length: number, salt: number): Buffer {
  const words = Uint32Array.from({ length: Math.ceil(length / 4) }, (_, i) =>
    Math.imul(i + 1 + salt * 65_537, 2_654_435_761),
  );
  return Buffer.from(words.buffer, 0, length);
}

function rig() {
  const clock = new TestClock();
  const held = new HeldResponses(clock);
  return { clock, held, begin: (subject = 'owner', id = 'first') => held.begin(subject, id) };
}

const codeOf = (run: () => unknown): ErrorCode | undefined => {
  try {
    run();
  } catch (error) {
    return (error as DirectError).code;
  }
  return undefined;
};

describe('a held response', () => {
  test('whatever readers come, go and take over, and whenever: what they have read is what the upstream sent', async () => {
    const plan = fc.record({
      // `max`, or fast-check would take it for a wish for short lists.
      lengths: fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 12, size: 'max' }),
      // In thousandths of the whole.
      cuts: fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 6, size: 'max' }),
      turns: fc.infiniteStream(fc.boolean()),
    });
    let most = 0;
    await fc.assert(
      fc.asyncProperty(plan, async ({ lengths, cuts, turns }) => {
        const { held, begin } = rig();
        const response = begin();
        const pieces = lengths.map((length, i) => noise(length, i));
        const whole = Buffer.concat(pieces);
        let resumed = 0;
        const send = async () => {
          await response.sendHead(HEAD);
          for (const piece of pieces) {
            if (turns.next().value) await new Promise((resolve) => setImmediate(resolve));
            await response.sendData(piece);
          }
          response.finish([['x-sum', '1']]);
        };
        const sent = send();
        let read = Buffer.alloc(0);
        for (const cut of cuts.map((cut) => Math.floor((cut / 1000) * whole.length)).sort((a, b) => a - b)) {
          if (cut <= read.length) continue;
          resumed += 1;
          const before = new Reader(held.get('owner', 'first'), read.length, { takes: cut - read.length });
          expect(await before.result).toBe('E_GOING_AWAY');
          read = Buffer.concat([read, before.bytes]);
        }
        const last = new Reader(held.get('owner', 'first'), read.length);
        expect(await last.result).toBe('read');
        await sent;
        expect(Buffer.concat([read, last.bytes]).equals(whole)).toBe(true);
        expect([last.seen, last.trailers]).toEqual([HEAD, [['x-sum', '1']]]);
        most = Math.max(most, resumed);
      }),
      { numRuns: 100 },
    );
    // The plans are what they should be.
    expect(most).toBeGreaterThan(3);
  });

  test('goes on without a reader, and is there for SESSION_SURVIVAL_MS after its end', async () => {
    const { clock, held, begin } = rig();
    const response = begin();
    const first = new Reader(response);
    await response.sendHead(HEAD);
    await response.sendData(Buffer.from('one '));
    first.leave();
    expect(await first.result).toBe('E_GOING_AWAY');
    await clock.advance(SESSION_SURVIVAL_MS - 1);
    await response.sendData(Buffer.from('two'));
    response.finish();
    await clock.advance(SESSION_SURVIVAL_MS - 1);
    const second = new Reader(held.get('owner', 'first'), 4);
    expect([await second.result, second.bytes.toString()]).toEqual(['read', 'two']);
    // It may be lost on its way once more.
    await clock.advance(SESSION_SURVIVAL_MS - 1);
    expect(await new Reader(held.get('owner', 'first'), 7).result).toBe('read');
    await clock.advance(SESSION_SURVIVAL_MS);
    expect(codeOf(() => held.get('owner', 'first'))).toBe('E_NOT_FOUND');
    expect([held.size, held.heldBytes, clock.pending]).toEqual([0, 0, 0]);
    expect(response.signal.aborted).toBe(true);
  });

  test('ends at the upstream when nobody comes back, but never while it is read', async () => {
    const { clock, held, begin } = rig();
    const response = begin();
    const reader = new Reader(response);
    await response.sendHead(HEAD);
    await clock.advance(10 * SESSION_SURVIVAL_MS);
    expect(response.signal.aborted).toBe(false);
    reader.leave();
    await clock.advance(SESSION_SURVIVAL_MS - 1);
    expect(response.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(response.signal.aborted).toBe(true);
    expect(held.size).toBe(0);
    await expect(response.sendData(Buffer.from('x'))).rejects.toMatchObject({ code: 'E_PATH_LOST' });
  });

  test('a second reader takes over from one that waits for the upstream, and from one that waits for its client', async () => {
    const { begin } = rig();
    for (const [id, standsStill] of [
      ['waits', false],
      ['stands still', true],
    ] as const) {
      const response = begin('owner', id);
      const first = new Reader(response, 0, standsStill ? { takes: 3, standsStill } : {});
      await response.sendHead(HEAD);
      await response.sendData(Buffer.from('abc'));
      await settle();
      const second = new Reader(response, 3);
      expect(await first.result).toBe('E_CANCELLED');
      await response.sendData(Buffer.from('def'));
      response.finish();
      expect(await second.result).toBe('read');
      expect(first.bytes.toString() + second.bytes.toString()).toBe('abcdef');
    }
  });

  test('a reader that asks for a byte that is not there, or not any more, disturbs nobody', async () => {
    const { begin } = rig();
    const response = begin();
    const first = new Reader(response);
    await response.sendHead(HEAD);
    await response.sendData(Buffer.from('abc'));
    expect(await new Reader(response, 4).result).toBe('E_BAD_REQUEST');
    await response.sendData(Buffer.from('def'));
    response.finish();
    expect([await first.result, first.bytes.toString()]).toEqual(['read', 'abcdef']);
    expect(await new Reader(response, 6).result).toBe('read');
    expect(await new Reader(response, 7).result).toBe('E_BAD_REQUEST');
  });

  test('one that broke off breaks off for who resumes it, with the same code and after the same bytes', async () => {
    const { clock, begin } = rig();
    const response = begin();
    const first = new Reader(response);
    await response.sendHead(HEAD);
    await response.sendData(Buffer.from('abc'));
    await settle();
    response.reset('E_UPSTREAM_FAILED');
    await clock.advance(1000);
    expect(await first.result).toBe('E_UPSTREAM_FAILED');
    for (const from of [0, 1, 3]) {
      const again = new Reader(response, from);
      await clock.advance(1000);
      expect([await again.result, again.bytes.toString()]).toEqual(['E_UPSTREAM_FAILED', 'abc'.slice(from)]);
    }
  });

  test('its length is that of what comes', async () => {
    const { begin } = rig();
    const response = begin();
    await response.sendHead({ ...HEAD, headers: [['content-length', '6']] });
    await response.sendData(Buffer.from('abcdef'));
    response.finish();
    const reader = new Reader(response, 2);
    expect([await reader.result, reader.seen?.headers]).toEqual(['read', [['content-length', '4']]]);
  });

  test('fails before its head for whom it fails, and is forgotten', async () => {
    const { held, begin } = rig();
    const response = begin();
    const reader = new Reader(response);
    response.reset('E_CANCELLED');
    expect(await reader.result).toBe('E_CANCELLED');
    expect(held.size).toBe(0);
  });
});

describe('a long response', () => {
  const PIECE = Buffer.alloc(64 * 1024, 'x');

  async function fill(response: HeldResponse, bytes: number): Promise<void> {
    for (let sent = 0; sent < bytes; sent += PIECE.length) await response.sendData(PIECE);
  }

  test('waits for a reader that is slow', async () => {
    const { begin } = rig();
    const response = begin();
    const reader = new Reader(response, 0, { takes: 1, standsStill: true });
    await response.sendHead(HEAD);
    let sent = false;
    const filling = fill(response, MAX_HELD_RESPONSE_BYTES + PIECE.length).then(() => {
      sent = true;
    });
    await settle();
    expect([sent, response.heldBytes]).toEqual([false, MAX_HELD_RESPONSE_BYTES]);
    // The next one reads, and nothing is missing.
    const next = new Reader(response, 1);
    await filling;
    response.finish();
    expect([await reader.result, await next.result]).toEqual(['E_CANCELLED', 'read']);
    expect(next.bytes.length).toBe(MAX_HELD_RESPONSE_BYTES + PIECE.length - 1);
  });

  test('ends as incomplete when nobody reads it', async () => {
    const { begin } = rig();
    const response = begin();
    await response.sendHead(HEAD);
    await expect(fill(response, MAX_HELD_RESPONSE_BYTES + PIECE.length)).rejects.toMatchObject({ code: 'E_PATH_LOST' });
    expect(response.signal.aborted).toBe(true);
    expect([response.isRead, response.hasEnded, response.heldBytes]).toEqual([false, true, MAX_HELD_RESPONSE_BYTES]);
  });

  test('keeps its latest part when it is read, and room for what comes without a reader', async () => {
    const { begin, clock } = rig();
    const response = begin();
    const reader = new Reader(response);
    await response.sendHead(HEAD);
    const length = 3 * MAX_HELD_RESPONSE_BYTES;
    await fill(response, length);
    await settle();
    expect(reader.bytes.length).toBe(length);
    expect(response.heldBytes).toBe(MAX_HELD_RESPONSE_BYTES);
    reader.leave();
    await reader.result;
    await fill(response, MAX_HELD_RESPONSE_BYTES - HELD_BEHIND_BYTES);
    // What the reader was given and may not have kept is not given up for more.
    await expect(response.sendData(PIECE)).rejects.toMatchObject({ code: 'E_PATH_LOST' });
    expect(await new Reader(response, length - HELD_BEHIND_BYTES - 1).result).toBe('E_NOT_FOUND');
    const next = new Reader(response, length - HELD_BEHIND_BYTES);
    await clock.advance(1000);
    expect(await next.result).toBe('E_PATH_LOST');
    expect(next.bytes.length).toBe(MAX_HELD_RESPONSE_BYTES);
  });

  test('all together have a limit: who has most gives up the oldest that nobody reads', async () => {
    const { held, begin } = rig();
    const mine = begin('owner', 'mine');
    await mine.sendHead(HEAD);
    await fill(mine, PIECE.length);
    const theirs = Array.from({ length: MAX_HELD_BYTES / MAX_HELD_RESPONSE_BYTES }, (_, i) => begin('key:a', `${i}`));
    for (const response of theirs) {
      await response.sendHead(HEAD);
      await fill(response, MAX_HELD_RESPONSE_BYTES);
    }
    expect(held.heldBytes).toBeLessThanOrEqual(MAX_HELD_BYTES);
    expect(held.get('owner', 'mine').heldBytes).toBe(PIECE.length);
    expect(theirs.map(({ signal }) => signal.aborted)).toEqual(theirs.map((_, i) => i === 0));
  });

  test('and who reads slowly has others give up nothing', async () => {
    const { held, begin } = rig();
    const mine = begin('owner', 'mine');
    await mine.sendHead(HEAD);
    await fill(mine, PIECE.length);
    for (let i = 0; i < MAX_HELD_BYTES / MAX_HELD_RESPONSE_BYTES; i++) {
      const slow = begin('key:a', `${i}`);
      new Reader(slow, 0, { takes: 1, standsStill: true });
      await slow.sendHead(HEAD);
      // The last of them finds no room, and waits.
      void fill(slow, MAX_HELD_RESPONSE_BYTES);
      await settle();
    }
    expect(held.heldBytes).toBeGreaterThan(MAX_HELD_BYTES - MAX_HELD_RESPONSE_BYTES);
    expect([mine.signal.aborted, mine.heldBytes]).toEqual([false, PIECE.length]);
  });

  test('and where all are read slowly, each goes on as its reader does', async () => {
    const { held, begin } = rig();
    const count = MAX_HELD_BYTES / MAX_HELD_RESPONSE_BYTES;
    const slow = Array.from({ length: count }, (_, i) => begin(`key:${i}`));
    for (const response of slow) {
      new Reader(response, 0, { takes: 1, standsStill: true });
      await response.sendHead(HEAD);
      await fill(response, MAX_HELD_RESPONSE_BYTES);
    }
    const mine = begin();
    const reader = new Reader(mine);
    await mine.sendHead(HEAD);
    await fill(mine, 8 * HELD_AHEAD_BYTES);
    mine.finish();
    expect(await reader.result).toBe('read');
    expect(reader.bytes.length).toBe(8 * HELD_AHEAD_BYTES);
    expect(held.heldBytes).toBeLessThanOrEqual(MAX_HELD_BYTES + MAX_HELD_RESPONSES * 2 * HELD_AHEAD_BYTES);
  });
});

describe('held responses', () => {
  test('are their subject’s own, and others learn nothing of them', () => {
    const { held, begin } = rig();
    const response = begin('key:a');
    expect(held.get('key:a', 'first')).toBe(response);
    const messages = ['key:b', 'key:a'].map((subject, i) => {
      try {
        return held.get(subject, i === 0 ? 'first' : 'never');
      } catch (error) {
        return (error as DirectError).message;
      }
    });
    expect(messages[0]).toBe(messages[1]);
    // The same id is another response.
    const another = begin('key:b');
    expect([held.get('key:a', 'first'), held.get('key:b', 'first')]).toEqual([response, another]);
  });

  test('one that is asked for again replaces the one before', async () => {
    const { held, begin } = rig();
    const before = begin();
    const reader = new Reader(before);
    const after = begin();
    expect(await reader.result).toBe('E_CANCELLED');
    expect([before.signal.aborted, held.get('owner', 'first') === after, held.size]).toEqual([true, true, 1]);
  });

  test('end with the subject, upstream and reader', async () => {
    const { held, begin } = rig();
    const [theirs, mine] = [begin('key:a'), begin('owner')];
    const reader = new Reader(theirs);
    held.revoke('key:a');
    expect(await reader.result).toBe('E_UNAUTHORIZED');
    expect([theirs.signal.aborted, mine.signal.aborted, held.size]).toEqual([true, false, 1]);
    expect(codeOf(() => held.get('key:a', 'first'))).toBe('E_NOT_FOUND');
  });

  test('end with the agent, which takes no more', async () => {
    const { clock, held, begin } = rig();
    const response = begin();
    held.close();
    expect([response.signal.aborted, held.size, clock.pending]).toEqual([true, 0, 0]);
    expect(codeOf(begin)).toBe('E_GOING_AWAY');
  });

  test('of one subject there are so many; the oldest that nobody reads gives way, one that has ended first', async () => {
    const { held, begin } = rig();
    const others = begin('key:b', 'others');
    const all = Array.from({ length: MAX_HELD_RESPONSES_PER_SUBJECT }, (_, i) => begin('owner', `${i}`));
    const [first, , third] = all;
    await third?.sendHead(HEAD);
    third?.finish();
    begin('owner', 'more');
    expect(codeOf(() => held.get('owner', '2'))).toBe('E_NOT_FOUND');
    begin('owner', 'still more');
    expect(first?.signal.aborted).toBe(true);
    for (const id of [...all.map((_, i) => `${i}`), 'more', 'still more']) {
      if (id !== '0' && id !== '2') new Reader(held.get('owner', id));
    }
    expect(codeOf(() => begin('owner', 'too many'))).toBe('E_RATE_LIMITED');
    expect(others.signal.aborted).toBe(false);
  });

  test('of all there are so many: who has most gives way', () => {
    const { held, begin } = rig();
    const mine = begin('owner', 'mine');
    for (let i = 0; i < 2 * MAX_HELD_RESPONSES; i++) begin(`key:${i % 8}`, `${i}`);
    expect(held.size).toBe(MAX_HELD_RESPONSES);
    expect(mine.signal.aborted).toBe(false);
  });
});
