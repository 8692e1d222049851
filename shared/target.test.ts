import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DirectError, type ErrorCode } from './errors.ts';
import { MAX_TARGET_BYTES } from './limits.ts';
import { admitTarget, isAllowed, parseOpenTarget, parseTarget, type TargetPolicy } from './target.ts';

const strict: TargetPolicy = { allowedPrefixes: [], allowManagement: false };
const managing: TargetPolicy = { allowedPrefixes: [], allowManagement: true };

function codeOf(run: () => unknown): ErrorCode | 'none' {
  try {
    run();
    return 'none';
  } catch (error) {
    if (error instanceof DirectError) return error.code;
    throw error;
  }
}

describe('parseTarget', () => {
  it.each([
    ['/v1/models', { path: '/v1/models', query: '' }],
    ['/v1/models?', { path: '/v1/models', query: '?' }],
    [
      '/v1/x?next=../../etc&u=https://a//b&n=%2e%2e%2f',
      { path: '/v1/x', query: '?next=../../etc&u=https://a//b&n=%2e%2e%2f' },
    ],
    ['/v1/%6Dodels', { path: '/v1/models', query: '' }],
    ['/v1/models/llama3.2:3b', { path: '/v1/models/llama3.2:3b', query: '' }],
    ['/v1/models/caf%c3%a9%20noir', { path: '/v1/models/caf%C3%A9%20noir', query: '' }],
    ['/v1/models/a|b', { path: '/v1/models/a%7Cb', query: '' }],
    ['/v1/models/100%25', { path: '/v1/models/100%25', query: '' }],
    ['/v1/...', { path: '/v1/...', query: '' }],
    ['/v1/.hidden..x', { path: '/v1/.hidden..x', query: '' }],
    ['/', { path: '/', query: '' }],
  ])('accepts %s', (raw, target) => {
    expect(parseTarget(raw)).toEqual(target);
  });

  it.each([
    '',
    '*',
    'v1/models',
    'http://evil.example/v1/models',
    'evil.example:443',
    '//evil.example/v1',
    '/v1//models',
    '/v1/models//',
    '/v1/../api/pull',
    '/v1/..',
    '/v1/./models',
    '/.',
    '/v1/%2e%2e/api/pull',
    '/v1/.%2E/api/pull',
    '/v1/%2e/models',
    '/v1/%252e%252e/api/pull',
    '/v1/%25252e%25252e/api',
    '/v1/%2525252525252e/api',
    '/v1/..;/api',
    '/v1/..;a=b/api',
    '/v1%2fmodels',
    '/v1%2Fmodels',
    '/v1/%252fmodels',
    '/v1/..%2fapi',
    '/v1\\models',
    '/v1/%5c..%5c',
    '/v1/%255c',
    '/v1/%00',
    '/v1/%0d%0aHost:x',
    '/v1/%7f',
    '/v1/%',
    '/v1/%2',
    '/v1/%zz',
    '/v1/%c0%ae%c0%ae/api',
    '/v1/%ff',
    '/v1/a b',
    '/v1/a\tb',
    '/v1/a\r\nHost: x',
    '/v1/\u0000',
    '/v1/\u007f',
    '/v1/é',
    '/v1/\u2025/x',
    '/v1/models#top',
    '/v1/models?a=b#top',
    '/v1/models?a=é',
    '/v1/models?a b',
    `/v1/${'a'.repeat(MAX_TARGET_BYTES)}`,
    `/v1/x?${'a'.repeat(MAX_TARGET_BYTES)}`,
  ])('refuses %j', (raw) => {
    expect(codeOf(() => parseTarget(raw))).toBe('E_BAD_TARGET');
  });

  const piece = fc.oneof(
    fc.constantFrom(
      '/',
      '//',
      '.',
      '..',
      '%2e',
      '%2E',
      '%252e',
      '%2f',
      '%5c',
      '\\',
      '%00',
      '%25',
      '%',
      '?',
      '#',
      ';',
      ':',
    ),
    fc.constantFrom('v1', 'api', 'chat', 'a', '%41', '%c3%a9', '%C0%AE', 'é', ' ', '\n', '@', '|', '{', '^'),
    fc.string({ maxLength: 3 }),
  );
  const hostile = fc.array(piece, { maxLength: 12 }).map((pieces) => `/${pieces.join('')}`);

  it('means the same to a WHATWG URL parser, however often it is decoded', () => {
    let passed = 0;
    fc.assert(
      fc.property(hostile, (raw) => {
        let target: ReturnType<typeof parseTarget>;
        try {
          target = parseTarget(raw);
        } catch (error) {
          expect(error).toMatchObject({ code: 'E_BAD_TARGET' });
          return;
        }
        passed++;
        const url = new URL(target.path + target.query, 'http://upstream.test');
        expect(url.host).toBe('upstream.test');
        expect(url.pathname).toBe(target.path);
        // Parsing the raw form may only differ in escapes that mean the same.
        expect(decodeURIComponent(new URL(raw, 'http://upstream.test').pathname)).toBe(decodeURIComponent(target.path));
        let decoded = target.path;
        for (let i = 0; i < 5; i++) {
          expect(decoded.split(/[/\\]/)).not.toContain('..');
          expect(decoded.split(/[/\\]/)).not.toContain('.');
          expect(decoded).not.toContain('//');
          decoded = decoded.replace(/%[0-7][0-9a-f]/gi, (triplet) => decodeURIComponent(triplet));
        }
      }),
      { numRuns: 3000, seed: 7 },
    );
    expect(passed).toBeGreaterThan(100);
  });

  it('lets names with separators pass where every path is served, and still no dot segments', () => {
    for (const path of ['/userdata/flows%2Fa.json', '/t/http%3A%2F%2Fexample.com', '/a//b', '/w/a%5Cb', '/w/50%2525']) {
      expect(parseOpenTarget(path)).toEqual({ path, query: '' });
    }
    for (const path of [
      '//evil',
      '/a/../b',
      '/..%2fb',
      '/a%2f..',
      '/%2e%2e%5Cb',
      '/a%255c..',
      '/a\\b',
      '/a%0ab',
      '/%ff',
    ]) {
      expect([path, codeOf(() => parseOpenTarget(path))]).toEqual([path, 'E_BAD_TARGET']);
    }
    let passed = 0;
    fc.assert(
      fc.property(hostile, (raw) => {
        if (codeOf(() => parseOpenTarget(raw)) !== 'none') return;
        passed++;
        const { path, query } = parseOpenTarget(raw);
        const url = new URL(`http://upstream.test${path}${query}`);
        expect([url.host, url.pathname]).toEqual(['upstream.test', path]);
        let decoded = path;
        for (let i = 0; i < 5; i++) {
          expect(decoded.split(/[/\\]/)).not.toContain('..');
          expect(decoded.split(/[/\\]/)).not.toContain('.');
          decoded = decoded.replace(/%[0-7][0-9a-f]/gi, (triplet) => decodeURIComponent(triplet));
        }
      }),
      { numRuns: 3000, seed: 7 },
    );
    expect(passed).toBeGreaterThan(100);
  });

  it('is idempotent', () => {
    fc.assert(
      fc.property(hostile, (raw) => {
        fc.pre(codeOf(() => parseTarget(raw)) === 'none');
        const once = parseTarget(raw);
        expect(parseTarget(once.path + once.query)).toEqual(once);
      }),
      { numRuns: 500, seed: 8 },
    );
  });
});

describe('isAllowed', () => {
  it.each([
    'POST /v1/chat/completions',
    'GET /v1/models',
    'GET /v1/models/llama3:latest',
    'POST /v1/responses',
    'DELETE /v1/responses/resp_1',
    'OPTIONS /v1/chat/completions',
    'OPTIONS /v1/models',
    'GET /v1',
    'POST /v1/engines/llama/completions',
    'GET /v1/internal/model/info',
    'POST /api/chat',
    'POST /api/generate',
    'POST /api/embed',
    'GET /api/tags',
    'HEAD /api/tags',
    'POST /api/show',
    'GET /api/ps',
    'POST /completion',
    'POST /infill',
    'POST /chat/completions',
    'POST /chat/completions/input_tokens',
    'GET /props',
    'GET /models',
    'POST /api/v0/chat/completions',
    'GET /api/v0/models/some-model',
    'POST /api/v1/chat',
    'GET /api/v1/models',
    'POST /api/v1/generate',
    'POST /api/extra/generate/stream',
    'POST /tts',
    'POST /generate',
  ])('serves %s', (line) => {
    expect(isAllowed(...parts(line), strict)).toBe(true);
  });

  const management = [
    'POST /api/pull',
    'POST /api/push',
    'POST /api/create',
    'POST /api/copy',
    'DELETE /api/delete',
    'POST /api/blobs/sha256:00',
    'POST /props',
    'POST /models',
    'POST /models/load',
    'POST /models/apply',
    'POST /models/delete/x',
    'POST /backend/shutdown',
    'POST /v1/backend/shutdown',
    'POST /v1/backend/load',
    'POST /api/v1/models/load',
    'POST /api/v1/models/unload',
    'POST /api/v1/models/download',
    'GET /api/v1/models/download/status/1',
    'POST /v1/models/pull',
    'POST /v1/models/unload',
    'DELETE /v1/models/llama3:latest',
    'POST /v1/internal/model/load',
    'POST /v1/internal/lora/unload',
    'POST /v1/load_lora_adapter',
    'POST /v1/unload_lora_adapter',
    'POST /v1/engines/llama-cpp/install',
    'POST /api/admin/reload_config',
    'POST /api/extra/shutdown',
    'POST /v1/x/api/admin/reload_config',
    'POST /v1/Backend/Load',
    'POST /v1/backend/load/',
  ];
  it.each(management)('serves %s only with allow_management', (line) => {
    expect(isAllowed(...parts(line), strict)).toBe(false);
    expect(isAllowed(...parts(line), { ...strict, allowedPrefixes: ['/', '/v1', '/api'] })).toBe(false);
    expect(isAllowed(...parts(line), managing)).toBe(true);
  });

  it.each([
    'GET /',
    'GET /v1evil',
    'GET /v10/models',
    'GET /V1/models',
    'GET /admin',
    'GET /metrics',
    'GET /slots',
    'POST /api/chatx',
    'POST /api/chat/x',
    'POST /tools',
    'GET /get_server_info',
    'GET /.env',
    'POST /health',
  ])('never serves %s by default', (line) => {
    expect(isAllowed(...parts(line), strict)).toBe(false);
  });

  it('adds prefixes on segment boundaries', () => {
    const policy = { ...strict, allowedPrefixes: ['/custom/', '/a/b'] };
    expect(isAllowed('/custom', 'GET', policy)).toBe(true);
    expect(isAllowed('/custom/x/y', 'POST', policy)).toBe(true);
    expect(isAllowed('/customer', 'GET', policy)).toBe(false);
    expect(isAllowed('/a/b/c', 'GET', policy)).toBe(true);
    expect(isAllowed('/a', 'GET', policy)).toBe(false);
    expect(isAllowed('/a/bc', 'GET', policy)).toBe(false);
  });

  it('takes a prefix only with all its segments', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z/.]{0,12}$/), (rest) => {
        const path = `/zz${rest}`;
        const expected = `${path}/`.startsWith('/zz/');
        expect(isAllowed(path, 'GET', { ...strict, allowedPrefixes: ['/zz'] })).toBe(expected);
      }),
    );
  });
});

describe('admitTarget', () => {
  it('returns what is forwarded', () => {
    expect(admitTarget('/v1/%6dodels?a=..', 'get', strict)).toEqual({ path: '/v1/models', query: '?a=..' });
    const search = '/v1/completions?x=/api/admin/reload_config&y';
    expect(admitTarget(search, 'POST', strict).query).toBe('?x=/api/admin/reload_config&y');
  });

  it.each([
    ['/v1/../api/pull', 'E_BAD_TARGET'],
    ['/api/pull', 'E_FORBIDDEN_TARGET'],
    ['/api/%70ull', 'E_FORBIDDEN_TARGET'],
    ['/v1/back%65nd/load', 'E_FORBIDDEN_TARGET'],
    ['/v1/completions?x=/api/admin/reload_config', 'E_FORBIDDEN_TARGET'],
    ['/v1/completions?x=/api/extra/data/save/', 'E_FORBIDDEN_TARGET'],
  ] as const)('refuses %s with %s', (raw, code) => {
    expect(codeOf(() => admitTarget(raw, 'POST', strict))).toBe(code);
  });
});

function parts(line: string): [path: string, method: string] {
  const [method = '', path = ''] = line.split(' ');
  return [path, method];
}
