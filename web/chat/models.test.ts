import { expect, test } from 'vitest';
import { groupModels, listModels, type Model, speechModel, transcriptionModel } from './models.ts';

const models = (...ids: string[]): Model[] => ids.map((id) => ({ id, owner: undefined }));
const owned = (...pairs: [string, string][]): Model[] => pairs.map(([id, owner]) => ({ id, owner }));

test('models are those with an id, in whatever the server answers', async () => {
  const answer = { data: [{ id: 'a', owned_by: 'library' }, { id: 7 }, null, { id: 'b', owned_by: 1 }] };
  expect(await listModels({ fetch: async () => Response.json(answer) })).toEqual([
    { id: 'a', owner: 'library' },
    { id: 'b', owner: undefined },
  ]);
  expect(await listModels({ fetch: async () => Response.json({}) })).toEqual([]);
  await expect(listModels({ fetch: async () => new Response('no', { status: 500 }) })).rejects.toThrow('no');
});

test('models are grouped by what the host has told the edge, or by what their servers always say', () => {
  const serves = [
    { name: 'Ollama', models: ['a'] },
    { name: 'llama.cpp', models: ['b'] },
  ];
  expect(groupModels(models('c', 'a', 'b'), serves)).toEqual([
    { server: 'Ollama', models: ['a'] },
    { server: 'llama.cpp', models: ['b'] },
    { server: undefined, models: ['c'] },
  ]);
  expect(groupModels(owned(['a', 'library'], ['b', 'llamacpp'], ['c', 'library']))).toEqual([
    { server: 'Ollama', models: ['a', 'c'] },
    { server: 'llama.cpp', models: ['b'] },
  ]);
});

test('where nothing tells servers apart there is one group', () => {
  const one = [{ server: undefined, models: ['a', 'b'] }];
  expect(groupModels(models('a', 'b'))).toEqual(one);
  expect(groupModels(owned(['a', 'meta'], ['b', 'constructor']))).toEqual(one);
  expect(groupModels(owned(['a', 'library'], ['b', 'library']))).toEqual(one);
  expect(groupModels([])).toEqual([]);
});

test.each([
  ['whisper-1', 'whisper-1', undefined],
  ['Systran/faster-whisper-small', 'Systran/faster-whisper-small', undefined],
  ['gpt-4o-mini-transcribe', 'gpt-4o-mini-transcribe', undefined],
  ['hexgrad/Kokoro-82M', undefined, 'hexgrad/Kokoro-82M'],
  ['tts-1', undefined, 'tts-1'],
  ['gpt-4o-mini-tts', undefined, 'gpt-4o-mini-tts'],
  ['llama3.2:3b', undefined, undefined],
  ['mattsson', undefined, undefined],
])('%s writes down as %s and reads as %s', (id, writes, reads) => {
  expect([transcriptionModel(models('x', id)), speechModel(models('x', id))]).toEqual([writes, reads]);
});
