import { expect, test } from 'vitest';
import { titleFrom } from './conversation.ts';
import { fileName, toMarkdown } from './markdown-file.ts';

const said = { conversation: 'c', turn: 1 };

test('a conversation as Markdown', () => {
  const conversation = {
    id: 'c',
    title: 'Fjords',
    createdAt: Date.UTC(2026, 10, 21),
    updatedAt: 0,
    model: '',
    system: 'Be short.\nBe kind.',
    parameters: {},
  };
  const text = toMarkdown(conversation, [
    {
      ...said,
      id: 'q',
      role: 'user',
      text: 'What is it?',
      attachments: [{ kind: 'image', name: 'a.png', url: '' }],
    },
    {
      ...said,
      id: 'a',
      role: 'assistant',
      text: '<think>hm</think>An **inlet**.',
      state: 'stopped',
      model: 'qwen3',
      reasoning: '',
      startedAt: 0,
    },
  ]);
  expect(text).toBe(
    '# Fjords\n\n2026-11-21\n\n> System: Be short.\n> Be kind.\n\n## You\n\nWhat is it?\n\n*Image: a.png*\n\n' +
      '## qwen3\n\nAn **inlet**.\n\n*The answer ended early.*\n',
  );
});

test.each([
  ['What is a fjord?', 'What is a fjord.md'],
  ['../../etc/passwd', 'etc passwd.md'],
  ['Größe: 5 €', 'Größe 5.md'],
  ['???', 'conversation.md'],
])('%s is kept in %s', (title, name) => {
  expect(fileName(title, 'md')).toBe(name);
});

test.each([
  ['  two\nlines ', 'two lines'],
  ['word '.repeat(30), `${'word '.repeat(11)}word…`],
  ['x'.repeat(100), `${'x'.repeat(60)}…`],
  [`${'x'.repeat(59)}\u{1F642}\u{1F642}`, `${'x'.repeat(59)}…`],
  ['', 'A recording'],
])('%j is called %j', (text, title) => {
  expect(titleFrom({ ...said, id: 'q', role: 'user', text, attachments: [] })).toBe(title);
});
