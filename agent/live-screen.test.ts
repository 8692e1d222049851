import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { startLive } from './live.ts';
import { Screen } from './live-screen.ts';
import type { Interactive } from './live-terminal.ts';
import { width } from './live-text.ts';
import { EXAMPLE_NOW, EXAMPLE_REPORT } from './test-report.ts';
import { TestTerminal } from './test-terminal.ts';

function make(columns = 40, rows = 10) {
  const terminal = new TestTerminal(columns, rows);
  return { terminal, screen: new Screen(terminal) };
}

describe('the screen', () => {
  test('keeps its lines below what is printed', async () => {
    const { terminal, screen } = make();
    screen.print('first\n');
    screen.show(['one', 'two']);
    expect(await terminal.lines()).toEqual(['first', 'one', 'two']);
    screen.print('second\n');
    screen.show(['one', 'two, changed', 'three']);
    expect(await terminal.lines()).toEqual(['first', 'second', 'one', 'two, changed', 'three']);
    screen.show(['one']);
    screen.print('third\n', (text) => terminal.write(text));
    expect(await terminal.lines()).toEqual(['first', 'second', 'third', 'one']);
    expect(await terminal.cursor()).toEqual([4, 0]);
    screen.clear();
    expect(await terminal.lines()).toEqual(['first', 'second', 'third']);
    expect(await terminal.cursor()).toEqual([3, 0]);
  });

  test('writes nothing while nothing changes, and otherwise once', () => {
    const { terminal, screen } = make();
    screen.show(['one', 'two']);
    screen.show(['one', 'two']);
    expect(terminal.written).toHaveLength(1);
    screen.show(['one', 'TWO'], 'changed');
    expect(terminal.written).toHaveLength(2);
    expect(terminal.written[1]).not.toContain('one');
    screen.clear();
    screen.clear();
    expect(terminal.written).toHaveLength(3);
  });

  test('leaves its lines where they are, and begins anew below', async () => {
    const { terminal, screen } = make();
    screen.show(['one']);
    screen.leave();
    screen.print('shell\n');
    screen.show(['two']);
    expect(await terminal.lines()).toEqual(['one', 'shell', 'two']);
  });

  test('finds its lines again when the terminal has become narrower or wider', async () => {
    const { terminal, screen } = make(40, 12);
    screen.print('log\n');
    screen.show(['a'.repeat(39), 'b'.repeat(15), 'c']);
    await terminal.resize(20, 12);
    screen.show(['a'.repeat(19), 'b'.repeat(15), 'c'], 'changed');
    expect(await terminal.lines()).toEqual(['log', 'a'.repeat(19), 'b'.repeat(15), 'c']);
    await terminal.resize(60, 12);
    screen.show(['a'.repeat(59), 'b'.repeat(15), 'c'], 'changed');
    expect(await terminal.lines()).toEqual(['log', 'a'.repeat(59), 'b'.repeat(15), 'c']);
  });

  const text = fc.string({ unit: fc.constantFrom('x', 'y', '模', 'é'), maxLength: 9 });
  const step = fc.oneof(
    fc.record({ show: fc.array(text, { maxLength: 6 }), how: fc.constantFrom('all' as const, 'changed' as const) }),
    fc.record({ print: text }),
  );
  test('whatever comes, log lines and then the latest view are there', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const { terminal, screen } = make(20, 8);
        const log: string[] = [];
        let view: string[] = [];
        for (const one of steps) {
          if ('print' in one) {
            log.push(one.print);
            screen.print(`${one.print}\n`);
          } else {
            view = one.show;
            screen.show(view, one.how);
          }
        }
        const expected = [...log, ...view];
        expect(await terminal.cursor()).toEqual([expected.length, 0]);
        while (expected.at(-1) === '') expected.pop();
        expect(await terminal.lines()).toEqual(expected);
        // The cursor is where it can be seen, whatever happens next.
        expect(terminal.written.join('')).not.toContain('?25l');
      }),
      { numRuns: 200 },
    );
  });
});

describe('the live view', () => {
  function rig(columns = 60, rows = 12) {
    const { terminal, screen } = make(columns, rows);
    const on = { resize: () => {}, resume: () => {}, tick: () => {} };
    const state = { isForeground: true, ended: 0 };
    const hook = (name: keyof typeof on) => (run: () => void) => {
      on[name] = run;
      return () => void state.ended++;
    };
    const interactive: Interactive = {
      screen,
      colors: false,
      isForeground: () => state.isForeground,
      onResize: hook('resize'),
      onContinue: hook('resume'),
      onKeys: () => () => {},
    };
    const shown = { report: EXAMPLE_REPORT };
    const live = startLive({
      interactive,
      report: () => shown.report,
      now: () => EXAMPLE_NOW,
      how: 'all',
      every: (_ms, run) => hook('tick')(run),
    });
    return { terminal, screen, on, state, live, shown };
  }

  test('follows the agent and the size of the terminal, and goes', async () => {
    const { terminal, screen, on, state, live, shown } = rig();
    screen.print('12:00 up\n');
    await live.draw();
    expect((await terminal.lines()).slice(0, 2)).toEqual([
      '12:00 up',
      expect.stringMatching(/^attic at https:\/\/edge\.example, direct-agent 0\.1\.0/),
    ]);
    const before = terminal.written.length;
    await live.draw();
    expect(terminal.written.length).toBe(before);
    shown.report = { ...EXAMPLE_REPORT, sessions: [] };
    await live.draw();
    expect((await terminal.lines()).at(-1)).toBe('Sessions   none');
    await terminal.resize(30, 5);
    on.resize();
    // What has scrolled off stays as it was.
    const lines = (await terminal.lines()).slice(-4);
    for (const line of lines) expect(width(line)).toBeLessThan(30);
    expect(lines.at(-1)).toMatch(/^Upstreams/);
    live.stop('clear');
    expect(state.ended).toBe(3);
    await live.draw();
    expect(await terminal.cursor()).toEqual([(await terminal.lines()).length, 0]);
  });

  test('is not where a shell is, and comes back', async () => {
    const { terminal, screen, on, state, live } = rig(60, 20);
    await live.draw();
    const { length } = await terminal.lines();
    // Ctrl+Z and bg: the shell has the terminal.
    terminal.write('^Z\nstopped\n$ bg\n');
    state.isForeground = false;
    on.resume();
    await live.draw();
    screen.print('log\n');
    expect((await terminal.lines()).slice(length)).toEqual(['^Z', 'stopped', '$ bg', 'log']);
    state.isForeground = true;
    await live.draw();
    expect((await terminal.lines()).at(length + 4)).toMatch(/^attic at/);
  });
});
