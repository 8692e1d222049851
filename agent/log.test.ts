import { expect, test } from 'vitest';
import { isJournal, type LogOptions, makeLog } from './log.ts';

const NOW = Date.UTC(2026, 10, 21, 12);

function written(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = makeLog({ level: 'info', write: (text) => lines.push(text), now: () => NOW, ...options });
  return { lines, log };
}

// As in the reason of a Close frame of the edge, or of CONNECTION_CLOSE of a client.
const HOSTILE = 'link: not connected (\x1b]0;owned\x07\x1b[2K\r\u009b2J\u202eno\n2026 info  serving evil)';

test('what others say stays one line, and does nothing to the terminal', () => {
  const { lines, log } = written();
  log('warn', HOSTILE);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^\S+ warn {2}link: not connected \([^\p{C}]*\)\n$/u);
});

test('for programs it is an object in each line, whatever others say', () => {
  const { lines, log } = written({ format: 'json' });
  log('info', 'webrtc: offer received for session k3Jx9QpL…', { session: 'k3Jx9QpL' });
  log('warn', HOSTILE);
  log('debug', 'proxy: GET / 200', { status: 200 });
  log('error', 'it broke', { code: undefined });
  expect(lines.map((line) => line.trimEnd().split('\n').length)).toEqual([1, 1, 1]);
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    {
      time: '2026-11-21T12:00:00.000Z',
      level: 'info',
      component: 'webrtc',
      message: 'webrtc: offer received for session k3Jx9QpL…',
      session: 'k3Jx9QpL',
    },
    {
      time: '2026-11-21T12:00:00.000Z',
      level: 'warn',
      component: 'link',
      message: expect.stringMatching(/^link: not connected \([^\p{C}]*\)$/u),
    },
    { time: '2026-11-21T12:00:00.000Z', level: 'error', message: 'it broke' },
  ]);
});

test('the journal has the time already, and takes the level', () => {
  const { lines, log } = written({ journal: true });
  log('error', 'it broke\n<0>and lied');
  log('info', 'fine');
  expect(lines).toEqual(['<3>it broke�<0>and lied\n', '<6>fine\n']);
});

test('the journal is known by the file that stderr is', () => {
  const stat = () => ({ dev: 9, ino: 1234 });
  expect(isJournal({ JOURNAL_STREAM: '9:1234' }, stat)).toBe(true);
  // A child of a service, whose stderr was sent elsewhere.
  expect(isJournal({ JOURNAL_STREAM: '9:12345' }, stat)).toBe(false);
  expect(isJournal({}, stat)).toBe(false);
});
