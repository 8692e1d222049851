import { expect, test } from 'vitest';
import { ArchiveError, fromArchive, toArchive } from './archive.ts';
import type { Kept } from './conversation.ts';

const PNG = 'data:image/png;base64,iVBORw0KGgo=';
const kept: Kept = {
  conversation: {
    id: 'c-1',
    title: 'A fjord',
    createdAt: 1,
    updatedAt: 2,
    model: 'qwen3',
    system: '',
    parameters: { temperature: 0.5 },
  },
  messages: [
    {
      id: 'q',
      conversation: 'c-1',
      turn: 1,
      role: 'user',
      text: 'What is it?',
      attachments: [
        { kind: 'image', name: 'a.png', url: PNG },
        { kind: 'audio', name: 'b.mp3', format: 'mp3', data: 'AAAA' },
      ],
    },
    {
      id: 'a',
      conversation: 'c-1',
      turn: 1,
      role: 'assistant',
      text: 'An inlet.',
      state: 'done',
      model: 'qwen3',
      reasoning: 'hm',
      startedAt: 1,
      durationMs: 5,
      tokens: 2,
      tokensPerSecond: 31,
    },
  ],
};

test('what goes out comes back', () => {
  expect(fromArchive(toArchive([kept], 0))).toEqual([kept]);
});

test('an answer that was coming when the file was made is one that broke off, and is nowhere to be had', () => {
  const [question, answer] = kept.messages;
  const running = { ...answer, state: 'running', held: { host: 'home', id: 'x', bytes: 1 } };
  const file = toArchive([{ ...kept, messages: [question, running] as Kept['messages'] }], 0);
  expect(fromArchive(file)[0]?.messages[1]).toMatchObject({ state: 'broken' });
  expect(file).not.toContain('held');
  expect(fromArchive(file)[0]?.messages[1]).not.toHaveProperty('held');
});

test('an error of a server that said a lot does not make the file of no use', () => {
  const [question, answer] = kept.messages;
  const failed = { ...answer, state: 'failed', error: { message: 'out of memory '.repeat(100) } };
  const file = toArchive([{ ...kept, messages: [question, failed] as Kept['messages'] }], 0);
  expect(fromArchive(file)[0]?.messages[1]).toMatchObject({
    state: 'failed',
    error: { message: expect.stringMatching(/^out of memory/) as string },
  });
});

/** The file with one thing in it otherwise. */
function changed(path: string, value: unknown): string {
  const file = JSON.parse(toArchive([kept], 0)) as Record<string, unknown>;
  const names = path.split('.');
  const last = names.pop() ?? '';
  const place = names.reduce((at, name) => at[name] as Record<string, unknown>, file);
  place[last] = value;
  return JSON.stringify(file);
}

const IMAGE = 'conversations.0.messages.0.attachments.0';

test.each<[string, string]>([
  ['no JSON', '<html>'],
  ['nothing', 'null'],
  ['another file', '{"format":"x","version":1,"conversations":[]}'],
  ['another version', changed('version', 2)],
  ['no list', changed('conversations', { length: 1 })],
  ['an id with a path', changed('conversations.0.id', '../x')],
  ['a title that is none', changed('conversations.0.title', { toString: 'x' })],
  ['a title without end', changed('conversations.0.title', 'x'.repeat(10_000))],
  ['a time that is none', changed('conversations.0.updatedAt', 1e300)],
  ['a message of the system', changed('conversations.0.messages.0.role', 'system')],
  ['a state that is none', changed('conversations.0.messages.1.state', 'flying')],
  ['messages that are none', changed('conversations.0.messages.0', 7)],
  ['an image elsewhere', changed(`${IMAGE}.url`, 'https://example.com/track.png')],
  ['an image with scripts', changed(`${IMAGE}.url`, 'data:image/svg+xml;base64,PHN2Zz4=')],
  ['a page as an image', changed(`${IMAGE}.url`, 'data:text/html;base64,PHN2Zz4=')],
  ['a script as an image', changed(`${IMAGE}.url`, 'javascript:alert(1)')],
  ['an image with more behind it', changed(`${IMAGE}.url`, `${PNG}"onload="x`)],
  ['another kind of attachment', changed(`${IMAGE}.kind`, 'video')],
])('a file with %s is refused in words', (_, text) => {
  expect(() => fromArchive(text)).toThrow(ArchiveError);
});

test('what nobody asked for is left out', () => {
  const text = toArchive([kept], 0).replace('"title"', '"__proto__":{"polluted":1},"extra":2,"title"');
  const [read] = fromArchive(text);
  expect(read?.conversation).toEqual(kept.conversation);
  expect(Object.hasOwn(read?.conversation ?? {}, 'extra')).toBe(false);
  expect('polluted' in {}).toBe(false);
});
