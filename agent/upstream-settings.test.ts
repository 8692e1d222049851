import { describe, expect, test } from 'vitest';
import { type Config, loadConfig } from './config.ts';
import { ConfigError } from './config-error.ts';

function load(yaml: string, env: Record<string, string> = {}): Config {
  return loadConfig({
    env: { DIRECT_AGENT_TOKEN: 'token', DIRECT_AGENT_SIGNALING_URL: 'https://e.example/_direct/h/home', ...env },
    readFile: () => yaml,
    configFolder: '/da',
    fileMode: () => 0o600,
  });
}

function problems(yaml: string, env: Record<string, string> = {}): string {
  try {
    load(yaml, env);
    return 'none';
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

test('upstreams may have names, and header fields and limits of their own', () => {
  const yaml = `
upstream: [gpu=http://gpu.lan:8000/v1, http://127.0.0.1:11434/]
upstream_headers: { gpu: { Authorization: Bearer x }, X-Of: any }
concurrent_requests: { gpu: 8, ollama-2: 1 }
queue: { per_client: 5 }
`;
  expect(load(yaml)).toMatchObject({
    upstreams: ['http://gpu.lan:8000', 'http://127.0.0.1:11434'],
    upstreamNames: { 'http://gpu.lan:8000': 'gpu' },
    upstreamHeaders: { any: { 'x-of': 'any' }, of: { gpu: { authorization: 'Bearer x' } } },
    concurrentRequests: { gpu: 8, 'ollama-2': 1 },
    queue: { perClient: 5, total: 512 },
  });
});

test('a policy has rules for each kind of client, and says nothing that is not there', () => {
  const yaml = `
policy:
  guests: { prefixes: /v1/chat/, models: [llama3, org/x], requests_per_minute: 30, concurrent_requests: 2 }
  owner: { allow_management: yes }
  keys: {}
`;
  expect(load(yaml).policy).toEqual({
    guests: {
      prefixes: ['/v1/chat'],
      models: ['llama3', 'org/x'],
      requestsPerMinute: 30,
      concurrentRequests: 2,
      allowManagement: undefined,
    },
    owner: { allowManagement: true },
    keys: {},
  });
  // No model at all is a limit, too.
  expect(load('policy: { guests: { models: [] } }').policy.guests?.models).toEqual([]);
});

test('in the environment maps are JSON', () => {
  const env = {
    DIRECT_AGENT_POLICY: '{"guests": {"models": ["a"]}}',
    DIRECT_AGENT_CONCURRENT_REQUESTS: '3',
    DIRECT_AGENT_UPSTREAM_HEADERS: '{"vllm": {"Authorization": "Bearer z"}}',
    DIRECT_AGENT_UPSTREAM: 'gpu=http://gpu.lan:8000,http://127.0.0.1:1234',
  };
  expect(load('', env)).toMatchObject({
    policy: { guests: { models: ['a'] } },
    concurrentRequests: 3,
    upstreamHeaders: { any: {}, of: { vllm: { authorization: 'Bearer z' } } },
    upstreamNames: { 'http://gpu.lan:8000': 'gpu' },
  });
});

describe('mistakes', () => {
  test.each([
    ['policy: { guest: {} }', 'policy.guest (/da/config.yaml:1) is no known key. Did you mean policy.guests?'],
    [
      'policy: { guests: { model: [llama3] } }',
      'policy.guests.model (/da/config.yaml:1) is no known key. Did you mean policy.guests.models?',
    ],
    [
      'policy: { guests: { requests_per_minute: 0 } }',
      'policy.guests.requests_per_minute (/da/config.yaml:1): 0 is out of range. Write a whole number from 1 to 1000000.',
    ],
    [
      'policy: { guests: { prefixes: [v1] } }',
      'policy.guests.prefixes[0] (/da/config.yaml:1): "v1" is no path (not an absolute path). Write a path such as /custom.',
    ],
    [
      'policy: guests',
      'policy (/da/config.yaml:1): "guests" is a string. Write a map such as {guests: {models: [llama3], requests_per_minute: 30}}.',
    ],
    [
      'concurrent_requests: many',
      'concurrent_requests (/da/config.yaml:1): "many" is no whole number. Write a whole number from 1 to 1000000.',
    ],
    [
      'upstream: gpu=http://gpu.lan\nconcurrent_requests: { gqu: 2 }',
      'concurrent_requests.gqu (/da/config.yaml:2): no server is called gqu. Write one of gpu, ollama, lmstudio, llamacpp, vllm, sglang, localai, jan, koboldcpp, text-generation-webui, term-llm, litellm, openai; or give a server this name: upstream: gqu=http://…',
    ],
    [
      'queue: { total: -1, x: 1 }',
      'queue.total (/da/config.yaml:1): -1 is out of range. Write a whole number from 1 to 1000000.\nqueue.x (/da/config.yaml:1) is no known key. Known keys: queue.per_client, queue.total.',
    ],
    [
      'upstream: [a=http://x, a=http://y]',
      'upstream (/da/config.yaml:1): ["a=http://x","a=http://y"] calls two servers a. Write another name for one of them.',
    ],
    [
      'upstream: [http://x, http://x/]',
      'upstream (/da/config.yaml:1): ["http://x","http://x/"] names http://x twice. Remove one of them.',
    ],
    [
      'upstream: GPU=http://x',
      'upstream[0] (/da/config.yaml:1): "GPU=http://x" has a name that cannot stand before models. Write up to 32 small letters, digits, dots or dashes, such as gpu=http://gpu.lan:8000.',
    ],
  ])('%s', (yaml, expected) => {
    expect(problems(yaml)).toBe(expected);
  });

  test('about header fields do not show them', () => {
    for (const yaml of [
      'upstream_headers: { vllm: { Authorization: [hunter2] } }',
      'upstream_headers: { vllm: { "X Y": hunter2 } }',
      'upstream_headers: { nobody: { Authorization: hunter2 } }',
    ]) {
      expect(problems(yaml)).toMatch(/^upstream_headers/);
      expect(problems(yaml)).not.toContain('hunter2');
    }
    const env = { DIRECT_AGENT_UPSTREAM_HEADERS: '{"vllm": {"Authorization": "hunter2}' };
    expect(problems('', env)).toMatch(/begins like JSON and is none/);
    expect(problems('', env)).not.toContain('hunter2');
  });
});
