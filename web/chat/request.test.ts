import { expect, test } from 'vitest';
import type { Answer, Attachment, Message, Question } from './conversation.ts';
import { requestBody } from './request.ts';

const question = (text: string, attachments: Attachment[] = []): Question => {
  return { id: text, conversation: 'c', turn: 1, role: 'user', text, attachments };
};
const answer = (text: string): Answer => {
  const said = { id: text, conversation: 'c', turn: 1, text, model: 'm', reasoning: '', startedAt: 0 };
  return { ...said, role: 'assistant', state: 'done' };
};
const messagesOf = (...messages: Message[]) => requestBody({ system: '', parameters: {} }, 'm', messages).messages;
const image: Attachment = { kind: 'image', name: 'a.jpg', url: 'data:image/jpeg;base64,AAAA' };
const sound: Attachment = { kind: 'audio', name: 'a.wav', format: 'wav', data: 'AAAA' };

test('what is set goes along, and what is not is left to the server', () => {
  const conversation = { system: ' Be short. ', parameters: { temperature: 0, stop: ['x'] } };
  expect(requestBody(conversation, 'm', [question('a')])).toEqual({
    model: 'm',
    messages: [
      { role: 'system', content: ' Be short. ' },
      { role: 'user', content: 'a' },
    ],
    stream: true,
    stream_options: { include_usage: true },
    temperature: 0,
    stop: ['x'],
  });
  expect(Object.keys(requestBody({ system: ' ', parameters: {} }, 'm', [])).sort()).toEqual([
    'messages',
    'model',
    'stream',
    'stream_options',
  ]);
});

test('an answer without text leaves no two questions in a row', () => {
  expect(messagesOf(question('a'), answer(''), question('b'))).toEqual([{ role: 'user', content: 'a\n\nb' }]);
});

test('what a model thought stays out', () => {
  expect(messagesOf(question('a'), answer('<think>hm</think>b'), question('c'))[1]).toEqual({
    role: 'assistant',
    content: 'b',
  });
});

test('images and recordings are parts beside the text', () => {
  expect(messagesOf(question('what?', [image, sound]))).toEqual([
    {
      role: 'user',
      content: [
        { type: 'text', text: 'what?' },
        { type: 'image_url', image_url: { url: 'data:image/jpeg;base64,AAAA' } },
        { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } },
      ],
    },
  ]);
  expect(messagesOf(question('', [image]), answer(''), question('and?'))[0]?.content).toEqual([
    { type: 'image_url', image_url: { url: 'data:image/jpeg;base64,AAAA' } },
    { type: 'text', text: 'and?' },
  ]);
});
