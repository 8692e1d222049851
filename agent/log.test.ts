import { expect, test } from 'vitest';
import { makeLog } from './log.ts';

test('what others say stays one line, and does nothing to the terminal', () => {
  const written: string[] = [];
  const log = makeLog('info', (text) => written.push(text));
  // As in the reason of a Close frame of the edge, or of CONNECTION_CLOSE of a client.
  log('warn', 'link: not connected (\x1b]0;owned\x07\x1b[2K\r\u009b2J\u202eno\n2026 info  serving evil)');
  expect(written).toHaveLength(1);
  expect(written[0]).toMatch(/^\S+ warn {2}link: not connected \([^\p{C}]*\)\n$/u);
});
