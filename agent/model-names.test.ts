import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isSame, ModelNames } from './model-names.ts';

const SERVERS = [
  { name: 'ollama', models: ['llama3:latest', 'qwen3:8b'] },
  { name: 'ollama-2', models: ['llama3:latest', 'phi4'] },
  { name: 'vllm', models: ['org/model', 'phi4:latest', 'ollama/llama3'] },
];

function found(asked: string, servers = SERVERS) {
  const model = new ModelNames(servers).find(asked);
  return model && `${model.server.name}: ${model.model}`;
}

test('the first server keeps a name, the others have theirs before it', () => {
  expect(new ModelNames(SERVERS).all.map(({ id }) => id)).toEqual([
    'llama3:latest',
    'qwen3:8b',
    'ollama-2/llama3:latest',
    'phi4',
    'org/model',
    'vllm/phi4:latest',
    'ollama/llama3',
  ]);
});

test.each([
  ['llama3', 'ollama: llama3:latest'],
  ['llama3:latest', 'ollama: llama3:latest'],
  ['ollama-2/llama3', 'ollama-2: llama3:latest'],
  ['ollama-2/llama3:latest', 'ollama-2: llama3:latest'],
  ['ollama/qwen3:8b', 'ollama: qwen3:8b'],
  ['org/model', 'vllm: org/model'],
  ['vllm/org/model', 'vllm: org/model'],
  ['phi4', 'ollama-2: phi4'],
  ['vllm/phi4', 'vllm: phi4:latest'],
  // A plain name comes first, whatever it looks like.
  ['ollama/llama3', 'vllm: ollama/llama3'],
  ['vllm/unlisted', 'vllm: unlisted'],
  ['vllm/', undefined],
  ['vllm', undefined],
  ['unlisted', undefined],
  ['other/llama3', undefined],
])('%s is %s', (asked, expected) => {
  expect(found(asked)).toBe(expected);
});

test('a model with and without the tag at one server is two names of its own', () => {
  const servers = [{ name: 'a', models: ['x', 'x:latest'] }];
  expect([found('x', servers), found('x:latest', servers)]).toEqual(['a: x', 'a: x:latest']);
});

test('every listed name is there once and leads to its model, and no plain name is lost', () => {
  const name = fc.constantFrom('a', 'b', 'a/x', 'b/x', 'x', 'x:latest', 'a/x:latest', 'a/a/x');
  const lists = fc.array(fc.array(name, { maxLength: 6 }), { maxLength: 3 });
  fc.assert(
    fc.property(lists, (all) => {
      const servers = all.map((models, i) => ({ name: ['a', 'b', 'c'][i] ?? '', models: [...new Set(models)] }));
      const names = new ModelNames(servers);
      const listed = names.all;
      expect(new Set(listed.map(({ id }) => id)).size).toBe(listed.length);
      for (const model of listed) {
        const again = names.find(model.id);
        expect(again !== undefined && isSame(again, model)).toBe(true);
        expect(again?.model).toBe(model.model);
      }
      for (const { models } of servers) for (const model of models) expect(names.find(model)).toBeDefined();
    }),
    { numRuns: 500 },
  );
});
