import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AgentReport } from './agent-report.ts';
import { cut, duration, figure, size, width } from './live-text.ts';
import { renderView, type ViewOptions } from './live-view.ts';
import { EXAMPLE_NOW, EXAMPLE_REPORT, exampleSession } from './test-report.ts';

const show = (report: AgentReport | undefined, more: Partial<ViewOptions> = {}) =>
  renderView(report, { columns: 100, rows: 40, now: EXAMPLE_NOW, colors: false, ...more });

const many = (count: number): AgentReport => ({
  ...EXAMPLE_REPORT,
  sessions: Array.from({ length: count }, (_, i) => exampleSession({ id: `s${i}`, streams: i % 50 === 49 ? 1 : 0 })),
});

describe('the view', () => {
  test('of a busy agent', () => {
    expect(`\n${show(EXAMPLE_REPORT).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      attic at https://edge.example, direct-agent 0.1.0 for 1 h 2 min
      Edge       connected by WebSocket for 1 h 2 min
      Requests   4 running, 120 answered, 2 failed, 53.8 tokens/s
      Upstreams  up   Ollama at http://127.0.0.1:11434, 2 models, 3 running, 1 waiting
                 down llama.cpp at http://127.0.0.1:8080

      SESSION   CLIENT           PATH        RTT  STREAMS  TOK/S    SENT  RECEIVED    FOR
      k3Jx9QpL  owner’s browser  direct   4.2 ms        1   41.3  120 kB    2.0 kB  1 min
      Zz81mmQ0  API key          relay     78 ms        2   12.5  3.5 MB    2.0 kB  1 min
      tunnel00  plain HTTPS      tunnel        –        0      –  120 kB    2.0 kB  1 min
      gone0000  guest            waiting       –        1      –  120 kB    2.0 kB  1 min
      "
    `);
  });

  test('on a phone', () => {
    expect(`\n${show(EXAMPLE_REPORT, { columns: 38 }).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      attic at https://edge.example, direc…
      Edge       connected by WebSocket fo…
      Requests   4 running, 120 answered, …
      Upstreams  up   Ollama at http://127…
                 down llama.cpp at http://…

      SESSION   PATH        RTT  TOK/S
      k3Jx9QpL  direct   4.2 ms   41.3
      Zz81mmQ0  relay     78 ms   12.5
      tunnel00  tunnel        –      –
      gone0000  waiting       –      –
      "
    `);
  });

  test('without a link, an upstream or a session', () => {
    const link = { state: 'down', transport: null, since: EXAMPLE_NOW - 61_000, problem: 'ECONNREFUSED' } as const;
    const report = { ...EXAMPLE_REPORT, link, sessions: [], upstreams: [], tokens_per_second: 0 };
    expect(`\n${show(report).join('\n')}\n`).toMatchInlineSnapshot(`
      "
      attic at https://edge.example, direct-agent 0.1.0 for 1 h 2 min
      Edge       not connected for 1 min (ECONNREFUSED)
      Requests   4 running, 120 answered, 2 failed
      Upstreams  no local LLM server found
      Sessions   none
      "
    `);
  });

  test('of 200 sessions', () => {
    const lines = show(many(200), { rows: 20 });
    expect(lines).toHaveLength(20);
    expect(`\n${lines.join('\n')}\n`).toMatchInlineSnapshot(`
      "
      attic at https://edge.example, direct-agent 0.1.0 for 1 h 2 min
      Edge       connected by WebSocket for 1 h 2 min
      Requests   4 running, 120 answered, 2 failed, 53.8 tokens/s
      Upstreams  up   Ollama at http://127.0.0.1:11434, 2 models, 3 running, 1 waiting
                 down llama.cpp at http://127.0.0.1:8080

      SESSION  CLIENT           PATH       RTT  STREAMS  TOK/S    SENT  RECEIVED    FOR
      s0       owner’s browser  direct  4.2 ms        0   41.3  120 kB    2.0 kB  1 min
      s1       owner’s browser  direct  4.2 ms        0   41.3  120 kB    2.0 kB  1 min
      s2       owner’s browser  direct  4.2 ms        0   41.3  120 kB    2.0 kB  1 min
      s3       owner’s browser  direct  4.2 ms        0   41.3  120 kB    2.0 kB  1 min
      s4       owner’s browser  direct  4.2 ms        0   41.3  120 kB    2.0 kB  1 min
      s5       owner’s browser  direct  4.2 ms        0   41.3  120 kB    2.0 kB  1 min
      s6       owner’s browser  direct  4.2 ms        0   41.3  120 kB    2.0 kB  1 min
      s7       owner’s browser  direct  4.2 ms        0   41.3  120 kB    2.0 kB  1 min
      s49      owner’s browser  direct  4.2 ms        1   41.3  120 kB    2.0 kB  1 min
      s99      owner’s browser  direct  4.2 ms        1   41.3  120 kB    2.0 kB  1 min
      s149     owner’s browser  direct  4.2 ms        1   41.3  120 kB    2.0 kB  1 min
      s199     owner’s browser  direct  4.2 ms        1   41.3  120 kB    2.0 kB  1 min
      and 188 more
      "
    `);
  });

  test('in colours', () => {
    expect(show(EXAMPLE_REPORT, { colors: true, columns: 60 }).slice(0, 8)).toMatchInlineSnapshot(`
      [
        "[1mattic[0m at https://edge.example[2m, direct-agent 0.1.0 for 1 h …[0m",
        "[2mEdge       [0m[32mconnected[0m by WebSocket for 1 h 2 min",
        "[2mRequests   [0m4 running, 120 answered[31m, 2 failed[0m, 53.8 tokens/s",
        "[2mUpstreams  [0m[32mup[0m   Ollama at http://127.0.0.1:11434, 2 models…",
        "[2m           [0m[31mdown[0m llama.cpp at http://127.0.0.1:8080",
        "",
        "[2mSESSION [0m[2m  CLIENT         [0m[2m  PATH   [0m[2m     RTT[0m[2m  STREAMS[0m[2m  TOK/S[0m",
        "k3Jx9QpL  owner’s browser[32m  direct [0m  4.2 ms        1   41.3",
      ]
    `);
  });

  test('without an agent', () => {
    expect(show(undefined)).toEqual(['No agent runs here. Start it with: direct-agent up']);
  });

  test('never wraps, never scrolls, never speaks to the terminal', () => {
    const texts = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('\x1b[2J', '\r\n\x07', '模型模型'),
    );
    const upstream = fc.record({ name: texts, url: texts, models: fc.array(texts, { maxLength: 3 }) });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 120 }),
        fc.integer({ min: 0, max: 30 }),
        fc.array(upstream, { maxLength: 12 }),
        fc.array(fc.record({ id: texts, client: texts }), { maxLength: 30 }),
        (columns, rows, upstreams, sessions) => {
          const report: AgentReport = {
            ...EXAMPLE_REPORT,
            upstreams: upstreams.map((more) => ({ kind: 'openai', state: 'up', running: 1, waiting: 0, ...more })),
            sessions: sessions.map(exampleSession),
          };
          const lines = show(report, { columns, rows });
          expect(lines.length).toBeLessThanOrEqual(rows);
          for (const line of lines) {
            expect(width(line)).toBeLessThan(Math.max(columns, 1));
            expect(line).not.toMatch(/\p{Cc}/u);
          }
        },
      ),
    );
  });
});

test('texts are cut by columns', () => {
  expect([cut('hello', 5), cut('hello', 4), cut('hello', 1), cut('hello', 0)]).toEqual(['hello', 'hel…', '…', '']);
  expect([cut('模型模型', 6), width(cut('模型模型', 6)), width('é'), width('e\u0301'), width('🦙')]).toEqual([
    '模型…',
    5,
    1,
    1,
    2,
  ]);
  expect(cut('a\x1b[2Jb', 9)).toBe('a[2Jb');
});

test('numbers are for people', () => {
  expect([0, 59_999, 61_000, 3_723_000, 90 * 3_600_000].map(duration)).toEqual([
    '< 1 min',
    '< 1 min',
    '1 min',
    '1 h 2 min',
    '3 days',
  ]);
  expect([0, 999, 1000, 12_345, 999_999, 3_456_789_000].map(size)).toEqual([
    '0 B',
    '999 B',
    '1.0 kB',
    '12 kB',
    '1.0 MB',
    '3.5 GB',
  ]);
  expect([0, 4.21, 78, 99.96, 1203.7].map(figure)).toEqual(['0', '4.2', '78', '100', '1204']);
});
