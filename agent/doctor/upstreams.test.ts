import { expect, test } from 'vitest';
import type { LocalServer } from '../discovery.ts';
import { fakeFetch, settingsWith, told } from './test-doctor.ts';
import { checkUpstreams, namedUpstreams } from './upstreams.ts';

const URL = 'http://127.0.0.1:11434';
const ollama: LocalServer = { kind: 'ollama', name: 'Ollama', url: URL, models: ['qwen3:8b'], needsKey: false };
const CHAT = `${URL}/v1/chat/completions`;
const signal = new AbortController().signal;
const withoutTimes = (text: string) => text.replaceAll(/\d+ ms|\d+\.\d s/g, '…');

async function said(
  servers: readonly LocalServer[],
  answers: Parameters<typeof fakeFetch>[0] = {},
  more: { flags?: Record<string, unknown>; inference?: boolean; signal?: AbortSignal } = {},
): Promise<string> {
  const { flags = {}, inference = true } = more;
  const settings = settingsWith(flags);
  const options = { settings, servers, inference, fetch: fakeFetch(answers), signal: more.signal ?? signal };
  return withoutTimes(told(await checkUpstreams(options)));
}

test('a model answers with one token', async () => {
  expect(await said([ollama], { [CHAT]: () => Response.json({}) })).toMatchInlineSnapshot(`
    "  ✓ Ollama at http://127.0.0.1:11434 has 1 model: qwen3:8b.
      ✓ qwen3:8b answers: one token in …."
  `);
});

test('of many models the first that chats is asked', async () => {
  const models = ['nomic-embed-text', ...Array.from({ length: 10 }, (_, i) => `model-${i}`)];
  expect(await said([{ ...ollama, models }], { [CHAT]: () => Response.json({}) })).toMatchInlineSnapshot(`
    "  ✓ Ollama at http://127.0.0.1:11434 has 11 models: nomic-embed-text, model-0, model-1, model-2, model-3, model-4, model-5, model-6 and 3 more.
      ✓ model-0 answers: one token in …."
  `);
  expect(await said([ollama], {}, { inference: false })).toMatchInlineSnapshot(`
    "  ✓ Ollama at http://127.0.0.1:11434 has 1 model: qwen3:8b.
      – No model was asked: --no-inference."
  `);
});

test('a server that is there without models, one that is down, one that wants a key', async () => {
  const models: string[] = [];
  const up = { [`${URL}/v1/models`]: () => Response.json({ object: 'list', data: [] }) };
  expect(await said([{ ...ollama, models }], up)).toMatchInlineSnapshot(`
    "  ! Ollama at http://127.0.0.1:11434 has no models.
        There is nothing to chat with.
        → Load or pull a model there."
  `);
  const down = { ...ollama, kind: 'openai', name: URL, models } as const;
  expect(await said([down])).toMatchInlineSnapshot(`
    "  ✗ http://127.0.0.1:11434 does not answer (ECONNREFUSED).
        Requests to its models fail.
        → Start that server, or correct upstream in the configuration."
  `);
  expect(await said([{ ...ollama, models, needsKey: true }])).toMatchInlineSnapshot(`
    "  ! Ollama at http://127.0.0.1:11434 wants an API key of its own.
        Requests fail without.
        → Give it in upstream_headers: authorization: Bearer <key>"
  `);
  expect(await said([])).toMatchInlineSnapshot(`
    "  ✗ No local LLM server was found.
        There is nothing to serve.
        → Start one, such as Ollama, or name where it is: upstream in the configuration."
  `);
});

test('of several that were configured one may be down', async () => {
  const other = 'http://127.0.0.1:8080';
  const down = { ...ollama, kind: 'openai', name: other, url: other, models: [] } as const;
  const flags = { upstream: [URL, other] };
  expect(await said([ollama, down], {}, { flags, inference: false })).toContain(`! ${other} does not answer`);
});

test('a model that fails, refuses or takes its time', async () => {
  const status = (code: number) => ({ [CHAT]: () => new Response('secret of the server', { status: code }) });
  expect(await said([ollama], status(500))).toMatchInlineSnapshot(`
    "  ✓ Ollama at http://127.0.0.1:11434 has 1 model: qwen3:8b.
      ! qwen3:8b does not answer: status 500.
        It may be a model that does not chat, or that does not fit into memory.
        → Try it there directly; the server’s log says more."
  `);
  expect(await said([ollama], status(401))).toMatchInlineSnapshot(`
    "  ✓ Ollama at http://127.0.0.1:11434 has 1 model: qwen3:8b.
      ✗ qwen3:8b does not answer: status 401.
        The server wants a key.
        → Set upstream_headers."
  `);
  expect(await said([ollama])).toMatchInlineSnapshot(`
    "  ✓ Ollama at http://127.0.0.1:11434 has 1 model: qwen3:8b.
      ✗ qwen3:8b does not answer (ECONNREFUSED).
        Requests to it fail.
        → See the server’s log."
  `);
  const loading = { [CHAT]: () => new Promise<Response>(() => {}) };
  expect(await said([ollama], loading, { signal: AbortSignal.timeout(50) })).toMatchInlineSnapshot(`
    "  ✓ Ollama at http://127.0.0.1:11434 has 1 model: qwen3:8b.
      ! qwen3:8b has given no token within …: still loading, or very slow.
        The first request after a pause waits that long; the agent waits with it.
        → Run direct-agent doctor again in a minute; a smaller model loads faster."
  `);
});

test('names of models are shown without what moves the cursor', async () => {
  const text = await said([{ ...ollama, models: ['evil\u001b[2J'] }], { [CHAT]: () => Response.json({}) });
  expect(text).not.toContain('\u001b');
});

test('a server whose name leads nowhere is not asked at all', async () => {
  const settings = settingsWith({ upstream: ['http://llm.example:1234', URL] });
  const look = async () => {
    throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
  };
  const { settings: named, findings } = await namedUpstreams(settings, look, signal);
  expect(named.upstreams).toEqual([URL]);
  expect(told(findings)).toMatchInlineSnapshot(`
    "  ✗ http://llm.example:1234 has a name without an address (ENOTFOUND).
        Requests to its models fail.
        → Correct upstream in the configuration, or see the line about names."
  `);
});
