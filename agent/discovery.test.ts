import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, test } from 'vitest';
import { DISCOVERY_TIMEOUT_MS, discoverServers, localCandidates } from './discovery.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
interface Reply {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  /** A string is sent as it is, anything else as JSON. */
  readonly body?: unknown;
}

const servers: Server[] = [];

async function listen(handler: Handler, host = '127.0.0.1'): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, host, done));
  const { port } = server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** A server that knows these paths and answers `otherwise` to the rest. */
function pages(known: Record<string, Reply>, otherwise: Reply = { status: 404, body: 'Not Found' }): Handler {
  return (request, response) => {
    const { status = 200, headers = {}, body = '' } = known[request.url ?? ''] ?? otherwise;
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const type = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
    response.writeHead(status, { 'content-type': type, ...headers }).end(text);
  };
}

function list(owner: string | undefined, ...ids: string[]): Reply {
  const data = ids.map((id) => ({ id, object: 'model', created: 1_755_000_000, owned_by: owner }));
  return { body: { object: 'list', data } };
}

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
});

const OLLAMA = {
  '/': { body: 'Ollama is running' },
  '/api/version': { body: { version: '0.12.3' } },
  '/v1/models': list('library', 'llama3.2:latest', 'qwen3:8b'),
};
const LLAMACPP_404 = {
  status: 404,
  headers: { server: 'llama.cpp' },
  body: { error: { message: 'File Not Found', type: 'not_found_error', code: 404 } },
};
const LOCALAI = {
  '/.well-known/localai.json': { body: { version: 'v3.9.0 (abc)', endpoints: { models: '/v1/models' } } },
  '/system': { body: { backends: ['llama-cpp'], loaded_models: [] } },
  '/readyz': {},
  '/version': { body: { version: 'v3.9.0' } },
  '/api/version': { body: { version: '0.9.0' } },
  '/v1/models': list(undefined, 'gpt-4'),
};

/** What the real servers answer to the paths that are asked. */
const REAL: readonly [name: string, kind: string, models: string[], handler: Handler][] = [
  ['Ollama', 'ollama', ['llama3.2:latest', 'qwen3:8b'], pages(OLLAMA, { status: 404, body: '404 page not found' })],
  [
    'Ollama without models',
    'ollama',
    [],
    pages({ ...OLLAMA, '/v1/models': { body: { object: 'list', data: null } } }, { status: 404 }),
  ],
  [
    'LM Studio, which answers 200 to every path',
    'lmstudio',
    ['qwen2-vl-7b-instruct'],
    (request, response) =>
      pages(
        {
          '/lmstudio-greeting': { body: { lmstudio: true } },
          '/v1/models': list('organization_owner', 'qwen2-vl-7b-instruct'),
        },
        { body: { error: `Unexpected endpoint or method. (GET ${request.url})` } },
      )(request, response),
  ],
  [
    'llama.cpp',
    'llamacpp',
    ['gemma-3.gguf'],
    pages(
      {
        '/v1/models': { ...list('llamacpp', 'gemma-3.gguf'), headers: { server: 'llama.cpp' } },
        '/props': { body: { default_generation_settings: {}, total_slots: 1 } },
      },
      LLAMACPP_404,
    ),
  ],
  [
    'llama.cpp while it loads',
    'llamacpp',
    [],
    pages(
      {},
      {
        status: 503,
        headers: { server: 'llama.cpp' },
        body: { error: { message: 'Loading model', type: 'unavailable_error', code: 503 } },
      },
    ),
  ],
  ['LocalAI', 'localai', ['gpt-4'], pages(LOCALAI)],
  [
    'LocalAI that poses as Ollama (LOCALAI_OLLAMA_API_ROOT_ENDPOINT)',
    'localai',
    ['gpt-4'],
    pages({ ...LOCALAI, '/': { body: 'Ollama is running' } }),
  ],
  [
    'vLLM',
    'vllm',
    ['Qwen/Qwen3-8B'],
    pages(
      { '/v1/models': list('vllm', 'Qwen/Qwen3-8B'), '/version': { body: { version: '0.11.0' } } },
      { status: 404, body: { detail: 'Not Found' } },
    ),
  ],
  [
    'SGLang',
    'sglang',
    ['meta-llama/Llama-3'],
    pages({
      '/v1/models': list('sglang', 'meta-llama/Llama-3'),
      '/model_info': { body: { model_path: 'm', tokenizer_path: 'm', is_generation: true } },
    }),
  ],
  [
    'SGLang under a served name of its own owner',
    'sglang',
    ['x'],
    pages({ '/v1/models': list('me', 'x'), '/model_info': { body: { model_path: 'm', tokenizer_path: 'm' } } }),
  ],
  [
    'KoboldCpp, which poses as Ollama too',
    'koboldcpp',
    ['koboldcpp/tiny'],
    pages({
      '/api/extra/version': { body: { result: 'KoboldCpp', version: '1.99', protected: false } },
      '/api/version': { body: { version: '0.7.0' } },
      '/v1/models': list('koboldcpp', 'koboldcpp/tiny'),
    }),
  ],
  [
    'text-generation-webui without a model',
    'text-generation-webui',
    [],
    pages({
      '/v1/models': { body: { object: 'list', data: [] } },
      '/v1/internal/model/info': { body: { model_name: 'None', lora_names: [] } },
    }),
  ],
  [
    'LiteLLM',
    'litellm',
    ['gpt-4o', 'claude'],
    pages({ '/v1/models': list('openai', 'gpt-4o', 'claude'), '/health/liveliness': { body: '"I\'m alive!"' } }),
  ],
  [
    'Jan',
    'jan',
    ['Jan-v1-4B-Q4_K_M'],
    pages({
      '/v1/models': list('user', 'Jan-v1-4B-Q4_K_M'),
      '/openapi.json': { body: { openapi: '3.0.0', info: { title: 'Jan API Server Endpoints' } } },
    }),
  ],
  ['anything else with OpenAI’s list', 'openai', ['m'], pages({ '/v1/models': list('someone', 'm') })],
];

describe('discoverServers', () => {
  it.each(REAL)('recognises %s', async (_, kind, models, handler) => {
    const url = await listen(handler);
    expect(await discoverServers({ candidates: [url], env: {} })).toEqual([
      expect.objectContaining({ kind, models, url, needsKey: false }),
    ]);
  });

  it.each([
    [
      'vLLM',
      'vllm',
      { '/v1/models': { status: 401, body: { error: 'Unauthorized' } }, '/version': { body: { version: '1' } } },
    ],
    [
      'Jan',
      'jan',
      {
        '/v1/models': { status: 401, body: 'Unauthorized' },
        '/openapi.json': { body: { info: { title: 'Jan API Server Endpoints' } } },
      },
    ],
    [
      'LiteLLM',
      'litellm',
      { '/v1/models': { status: 401, body: { error: {} } }, '/health/liveliness': { body: '"I\'m alive!"' } },
    ],
  ] as const)('says that %s wants a key', async (_, kind, known) => {
    const url = await listen(pages(known));
    expect(await discoverServers({ candidates: [url], env: {} })).toMatchObject([{ kind, models: [], needsKey: true }]);
  });

  it.each([
    [
      '/ui',
      'with a token',
      { status: 401, body: { error: { message: 'invalid token', type: 'authentication_error' } } },
      true,
    ],
    ['/chat', 'open', list('anthropic', 'claude'), false],
  ] as const)('finds term-llm below %s, %s', async (path, _, models, needsKey) => {
    const known = { [`${path}/healthz`]: { body: { status: 'ok' } }, [`${path}/v1/models`]: models };
    const url = await listen(pages(known, { status: 307, headers: { location: `${path}/` } }));
    expect(await discoverServers({ candidates: [url], env: {} })).toMatchObject([
      { kind: 'term-llm', url: url + path, needsKey },
    ]);
  });

  it('orders by usefulness: models, then kind, then servers that want a key', async () => {
    const kinds = ['litellm', 'text-generation-webui', 'openai', 'localai', 'ollama'];
    const urls = await Promise.all(
      kinds.map((kind) => listen(REAL.find((entry) => entry[1] === kind)?.[3] ?? pages({}))),
    );
    const closed = await listen(
      pages({ '/v1/models': { status: 401, body: { error: 'Unauthorized' } }, '/version': { body: { version: '1' } } }),
    );
    const found = await discoverServers({ candidates: [closed, ...urls], env: {} });
    expect(found.map(({ kind }) => kind)).toEqual([
      'ollama',
      'localai',
      'litellm',
      'openai',
      'text-generation-webui',
      'vllm',
    ]);
  });

  it.each<[string, Handler]>([
    ['an ordinary web server', pages({ '/': { body: '<!doctype html><title>Hi</title>' } })],
    [
      'a page that answers HTML 200 to everything',
      pages({}, { headers: { 'content-type': 'text/html' }, body: '<!doctype html><div id=root></div>' }),
    ],
    [
      'an API that answers JSON 200 to everything',
      pages({}, { body: { status: 'ok', version: '1', data: [{ id: 'a' }] } }),
    ],
    ['an API that answers an empty list to everything', pages({}, { body: { data: [] } })],
    ['an API behind a login', pages({}, { status: 401, body: { error: 'Unauthorized' } })],
    ['JSON that is not even an object', pages({}, { body: '[null]' })],
    ['a list with broken models', pages({ '/v1/models': { body: { object: 'list', data: [{ id: 5 }] } } })],
    ['a list in an error', pages({ '/v1/models': { ...list('x', 'm'), status: 500 } })],
    ['a server that hangs up', (request) => request.socket.destroy()],
    ['Ollama’s greeting alone', pages({ '/': { body: 'Ollama is running' } })],
  ])('does not take %s', async (_, handler) => {
    const url = await listen(handler);
    expect(await discoverServers({ candidates: [url], env: {} })).toEqual([]);
  });

  it('does not follow a redirect to a server', async () => {
    const real = await listen(pages(OLLAMA));
    const url = await listen((request, response) => {
      response.writeHead(302, { location: real + request.url }).end();
    });
    expect(await discoverServers({ candidates: [url], env: {} })).toEqual([]);
  });

  it('does not wait for a server that never answers, and still finds the others', async () => {
    const silent = await listen(() => undefined);
    const stuck = await listen((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"object":"list","data":[');
    });
    const real = await listen(pages(OLLAMA));
    const start = performance.now();
    const found = await discoverServers({ candidates: [silent, stuck, real], env: {} });
    // In vain it would wait for the test's own end.
    expect(performance.now() - start).toBeLessThan(10 * DISCOVERY_TIMEOUT_MS);
    expect(found.map(({ url }) => url)).toEqual([real]);
  });

  it('recognises a server although one of its paths hangs', async () => {
    const url = await listen((request, response) => {
      if (request.url !== '/props') pages(OLLAMA)(request, response);
    });
    expect(await discoverServers({ candidates: [url], env: {}, timeoutMs: 1_000 })).toMatchObject([{ kind: 'ollama' }]);
  });

  it('reads no more than the limit of an endless body, and closes it', async () => {
    let sent = 0;
    const url = await listen((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const block = Buffer.alloc(65_536, '[');
      const more = () => {
        do sent += block.length;
        while (!response.destroyed && response.write(block));
      };
      response.on('drain', more);
      more();
    });
    const start = performance.now();
    expect(await discoverServers({ candidates: [url], env: {} })).toEqual([]);
    // In vain it would wait for the test's own end.
    expect(performance.now() - start).toBeLessThan(10 * DISCOVERY_TIMEOUT_MS);
    // Under 20 questions, each with 1 MiB read and what the sockets buffer.
    expect(sent).toBeLessThan(20 * 16 * 1024 * 1024);
  });

  it('drops model names that a terminal should not see', async () => {
    const url = await listen(pages({ '/v1/models': list('x', 'good', 'bad\u001b[2J', 'x'.repeat(300)) }));
    expect(await discoverServers({ candidates: [url], env: {} })).toMatchObject([{ models: ['good'] }]);
  });

  it('stops when it is told to', async () => {
    const silent = await listen(() => undefined);
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 20);
    // Longer than this test may take.
    const asked = { candidates: [silent], env: {}, signal: abort.signal, timeoutMs: 60_000 };
    expect(await discoverServers(asked)).toEqual([]);
  });

  it('tries ::1 where 127.0.0.1 refuses', async (context) => {
    const url = await listen(pages(OLLAMA), '::1').catch(() => context.skip('this machine has no IPv6 loopback'));
    const v4 = String(url).replace('[::1]', '127.0.0.1');
    expect(await discoverServers({ candidates: [v4], env: {} })).toMatchObject([{ kind: 'ollama', url }]);
  });
});

test('a port of `direct-agent connect` is no server of this machine, whatever it passes on', async () => {
  const headers = { 'direct-connect': '1' };
  const models = { ...list('library', 'qwen3:8b'), headers };
  const url = await listen(pages({ ...OLLAMA, '/v1/models': models }));
  expect(await discoverServers({ candidates: [url], env: {} })).toEqual([]);
});

describe('the addresses asked', () => {
  async function asked(env: Record<string, string>): Promise<string[]> {
    const roots = new Set<string>();
    const fetch: typeof globalThis.fetch = async (input) => {
      roots.add(new URL(String(input)).origin);
      throw new TypeError('fetch failed', { cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }) });
    };
    expect(await discoverServers({ fetch, env })).toEqual([]);
    return [...roots];
  }

  it('are the known ports on both loopback addresses', async () => {
    const roots = await asked({});
    for (const port of [11434, 1234, 8080, 8000, 1337, 5001, 5000, 4000, 30000, 8081]) {
      expect(roots).toContain(`http://127.0.0.1:${port}`);
      expect(roots).toContain(`http://[::1]:${port}`);
    }
    expect(roots.every((root) => /^http:\/\/(127\.0\.0\.1|\[::1\]):\d+$/.test(root))).toBe(true);
  });

  it.each([
    ['0.0.0.0', 'http://127.0.0.1:11434'],
    ['0.0.0.0:9999', 'http://127.0.0.1:9999'],
    [':9999', 'http://127.0.0.1:9999'],
    ['gpu.lan', 'http://gpu.lan:11434'],
    ['gpu.lan:80', 'http://gpu.lan'],
    ['http://gpu.lan', 'http://gpu.lan'],
    ['https://gpu.lan:8443/', 'https://gpu.lan:8443'],
    ['[::]:9999', 'http://[::1]:9999'],
    ['::1', 'http://[::1]:11434'],
    [' 10.0.0.5 ', 'http://10.0.0.5:11434'],
  ])('include OLLAMA_HOST=%s', async (setting, root) => {
    expect(await asked({ OLLAMA_HOST: setting })).toContain(root);
  });

  it.each([
    ['localhost', 'http://127.0.0.1:11434'],
    ['[::]', 'http://[::1]:11434'],
    ['192.168.1.5', 'http://192.168.1.5:11434'],
    ['127.0.0.1:1234', 'http://127.0.0.1:1234'],
  ])('have no server of this machine twice: OLLAMA_HOST=%s', (setting, url) => {
    const { port } = new URL(url);
    const all = localCandidates({ OLLAMA_HOST: setting }, ['127.0.0.1', '192.168.1.5']);
    expect(all.filter((candidate) => new URL(candidate).port === port)).toEqual([url]);
  });

  it('have another machine’s server beside this one’s', () => {
    const all = localCandidates({ OLLAMA_HOST: 'gpu.lan' }, ['127.0.0.1']);
    expect(all).toEqual(expect.arrayContaining(['http://gpu.lan:11434', 'http://127.0.0.1:11434']));
  });

  it('survive nonsense in OLLAMA_HOST', async () => {
    expect(await asked({ OLLAMA_HOST: 'http://[x' })).toEqual(await asked({}));
  });
});
