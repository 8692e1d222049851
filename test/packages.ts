/** What people's programs do with the packages that they know: each call of them that may go wrong on the way. */
import type { Ollama } from 'ollama';
import { type OpenAI, toFile } from 'openai';
import { expect } from 'vitest';
import { countedTokens } from './fake-answers.ts';

/** A stream of so many tokens, a list, an upload and an error. */
export async function useOpenAi(openai: OpenAI, tokens: number): Promise<void> {
  const stream = await openai.chat.completions.create({
    model: `tokens-${tokens}`,
    stream: true,
    messages: [{ role: 'user', content: 'go' }],
  });
  let text = '';
  for await (const part of stream) text += part.choices[0]?.delta.content ?? '';
  expect(text).toBe(countedTokens(tokens).join(''));
  expect((await openai.models.list()).data.map(({ id }) => id)).toContain('fake');
  const file = await toFile(Buffer.alloc(50_000), 'voice.webm');
  const { text: heard } = await openai.audio.transcriptions.create({ model: 'fake', file });
  expect(heard).toContain('voice.webm: 50000 bytes');
  await expect(openai.models.retrieve('nothing')).rejects.toMatchObject({ status: 404 });
}

/** A stream, a question, and what is refused by the server and by the host. */
export async function useOllama(ollama: Ollama): Promise<void> {
  let text = '';
  for await (const part of await ollama.generate({ model: 'tokens-1000', prompt: 'go', stream: true }))
    text += part.response;
  expect(text).toBe(countedTokens(1000).join(''));
  expect((await ollama.show({ model: 'fake' })).details).toBeDefined();
  await expect(ollama.chat({ model: 'nothing', messages: [] })).rejects.toThrow('not found');
  await expect(ollama.delete({ model: 'fake' })).rejects.toThrow('does not serve');
}
