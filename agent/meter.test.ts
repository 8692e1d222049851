import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Meter } from './meter.ts';
import { EventCounter, type EventForm, eventForm } from './meter-events.ts';
import { Histogram } from './meter-histogram.ts';
import { Rate } from './meter-rate.ts';

const encode = (text: string) => new TextEncoder().encode(text);
const count = (form: EventForm, ...pieces: string[]) => {
  const counter = new EventCounter(form);
  return pieces.reduce((sum, piece) => sum + counter.count(encode(piece)), 0);
};

describe('events of a stream', () => {
  test('are those of servers', () => {
    const openai = 'data: {"choices":[]}\n\ndata: {"choices":[1]}\r\n\r\n: keep-alive\n\ndata: [DONE]\n\n';
    expect(count('sse', openai)).toBe(2);
    expect(count('sse', 'event: ping\ndata: {}\nid: 7\n\n')).toBe(1);
    // Not at its line's end, so it is data.
    expect(count('sse', 'data: [DONE', ']x\n\n', 'data:[DON\n', 'data:\n', 'data: \n', 'database: x\n')).toBe(2);
    expect(count('lines', '{"response":"a"}\n{"response":"b"}\n\n', '  \n', '{"done":tr', 'ue}')).toBe(3);
  });

  test('are recognised by the content type', () => {
    expect(eventForm('Text/Event-Stream; charset=utf-8')).toBe('sse');
    expect(eventForm('application/x-ndjson')).toBe('lines');
    expect([eventForm('application/json'), eventForm(undefined)]).toEqual([undefined, undefined]);
  });

  const line = fc.oneof(
    fc.constantFrom('', 'data:', 'data: ', 'data: [DONE]', 'data:[DONE]', 'data: [DONE', 'data: [DONE]]', ' data: x'),
    fc.string({ unit: fc.constantFrom('d', 'a', 't', ':', ' ', '[', 'D', 'O', 'N', 'E', ']', '{', 'é') }),
    fc.string().map((text) => `data: ${text}`),
    fc.string(),
  );
  const stream = fc
    .array(fc.tuple(line, fc.constantFrom('\n', '\r\n', '\r', '\n\n')))
    .map((lines) => lines.map(([text, end]) => text.replaceAll(/[\r\n]/g, '') + end).join(''));
  const isEvent: Record<EventForm, (line: string) => boolean> = {
    sse: (line) => {
      const data = /^data: ?(.*)$/s.exec(line)?.[1] ?? '';
      return data !== '' && data !== '[DONE]';
    },
    lines: (line) => line.replaceAll(/[ \t]/g, '') !== '',
  };

  test.each(['sse', 'lines'] as const)('are counted once, wherever the pieces end (%s)', (form) => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(9)), (text, sizes) => {
        const bytes = encode(text);
        const counter = new EventCounter(form);
        let counted = 0;
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = i < sizes.length ? (sizes[i] ?? 0) : bytes.length;
          counted += counter.count(bytes.subarray(at, at + size));
          at += size;
        }
        expect(counted).toBe(text.split(/\r\n|\n|\r/).filter(isEvent[form]).length);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a rate', () => {
  test('is of the last seconds, and asks for no timer', () => {
    let now = 100_000;
    const rate = new Rate(() => now);
    expect(rate.perSecond).toBe(0);
    for (let i = 0; i < 100; i++, now += 100) rate.add(4);
    expect(rate.perSecond).toBeCloseTo(40, -1);
    now += 60_000;
    expect(rate.perSecond).toBe(0);
    // Not a fifth, as if it had been silent for four seconds before.
    rate.add(20);
    now += 1_000;
    expect(rate.perSecond).toBeCloseTo(20, 5);
  });
});

describe('a histogram', () => {
  test('counts what is at most each bound', () => {
    const histogram = new Histogram([0.1, 1]);
    for (const seconds of [0.05, 0.1, 0.5, 3]) histogram.observe(seconds);
    expect([histogram.cumulative, histogram.count]).toEqual([[2, 3], 4]);
    expect(histogram.sum).toBeCloseTo(3.65);
  });
});

describe('the meter', () => {
  const make = () => {
    const clock = { time: 5_000, now: () => clock.time, wallClock: () => 1_000_000 + clock.time };
    return { clock, meter: new Meter(clock) };
  };

  test('counts a request once, with its bytes, its first byte and its events', () => {
    const { clock, meter } = make();
    const session = {};
    meter.upstreamName = (base) => (base === 'http://127.0.0.1:1' ? 'Ollama' : base);
    const request = meter.request(session);
    expect(meter.requests).toEqual({ running: 1, finished: 0, failed: 0, cancelled: 0 });
    request.received(10);
    request.asked('http://127.0.0.1:1');
    clock.time += 700;
    request.answered('text/event-stream');
    clock.time += 300;
    for (const piece of ['data: {', '}\n\ndata: {}\n\n', 'data: [DONE]\n\n']) {
      request.passed(encode(piece));
      request.sent(piece.length);
    }
    clock.time += 1_000;
    expect(meter.firstBytes.get('Ollama')?.sum).toBe(1);
    expect(meter.firstBytes.get('Ollama')?.count).toBe(1);
    expect([meter.tokens, meter.tokensPerSecond]).toEqual([2, 2]);
    expect(meter.ofSession(session)).toMatchObject({ bytesSent: 34, bytesReceived: 10, tokensPerSecond: 2 });
    expect(meter.ofSession({})).toEqual({ bytesSent: 0, bytesReceived: 0, tokensPerSecond: 0 });
    request.ended(undefined);
    request.ended('E_INTERNAL');
    expect(meter.requests).toEqual({ running: 0, finished: 1, failed: 0, cancelled: 0 });
  });

  test('tells what failed from what was given up', () => {
    const { meter } = make();
    meter.request({}).ended('E_CANCELLED');
    meter.request({}).ended('E_UPSTREAM_FAILED');
    meter.request({}).ended('E_UPSTREAM_FAILED');
    meter.failed('connection', 'E_HANDSHAKE_TIMEOUT');
    expect(meter.requests).toEqual({ running: 0, finished: 0, failed: 2, cancelled: 1 });
    expect([...meter.failures].map(([what, codes]) => [what, ...codes])).toEqual([
      ['request', ['E_UPSTREAM_FAILED', 2]],
      ['connection', ['E_HANDSHAKE_TIMEOUT', 1]],
    ]);
  });

  test('keeps no more names of upstreams than there can be', () => {
    const { meter } = make();
    for (let i = 0; i < 100; i++) meter.firstByte(`server ${i}`, 1);
    expect(meter.firstBytes.size).toBeLessThanOrEqual(33);
    expect(meter.firstBytes.get('other')?.count).toBe(68);
  });

  test('knows since when the link is as it is', () => {
    const { clock, meter } = make();
    clock.time += 10;
    meter.linkUp('polling');
    const since = meter.link.since;
    clock.time += 10;
    meter.linkUp('websocket');
    expect(meter.link).toEqual({ state: 'up', transport: 'websocket', since, problem: null });
    meter.linkDown('refused');
    clock.time += 10;
    meter.linkDown('no route');
    expect(meter.link).toEqual({ state: 'down', transport: null, since: since + 10, problem: 'no route' });
  });
});
