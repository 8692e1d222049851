import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DirectError } from '../shared/errors.ts';
import type { RequestHead } from '../shared/head.ts';
import { checkBody, filterList, modelInForm, modelInJson, modelUse, notOn } from './model-scope.ts';

const REFUSES = notOn([{ whose: 'the credential', models: ['llama3:8b', 'gpt/oss', 'größe'] }]);

function outcome(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return (error as DirectError).code;
  }
}

function use(method: string, target: string, more: Partial<RequestHead> = {}): unknown {
  const [path = '', query] = target.split('?');
  const head = { method, path: target, headers: [], ...more };
  return outcome(() => modelUse(head, { path, query: query === undefined ? '' : `?${query}` }, REFUSES));
}

describe('a request', () => {
  test.each([
    ['POST', '/v1/chat/completions', 'body'],
    ['POST', '/v1/chat/completions/', 'body'],
    ['POST', '/v1/embeddings', 'body'],
    ['POST', '/v1/messages/count_tokens', 'body'],
    ['POST', '/chat/completions', 'body'],
    ['POST', '/api/v0/chat/completions', 'body'],
    ['POST', '/api/chat', 'body'],
    ['POST', '/api/show', 'body'],
    ['GET', '/v1/models', 'list'],
    ['HEAD', '/api/tags', 'list'],
    ['GET', '/api/ps', 'list'],
    ['GET', '/v1/models/llama3:8b', 'nothing'],
    ['GET', '/v1/models/gr%C3%B6%C3%9Fe', 'nothing'],
    ['GET', '/v1/models/gpt/oss', 'nothing'],
    ['GET', '/v1/models/other', 'E_FORBIDDEN'],
    ['GET', '/health', 'nothing'],
    ['GET', '/api/version', 'nothing'],
    ['GET', '/props', 'E_FORBIDDEN'],
    ['GET', '/v1/responses/resp_1', 'E_FORBIDDEN'],
    ['GET', '/v1/chat/completions', 'E_FORBIDDEN'],
    ['POST', '/v1/engines/other/completions', 'E_FORBIDDEN'],
    ['POST', '/v1/models/api/v1/generate', 'E_FORBIDDEN'],
    ['POST', '/sdapi/v1/txt2img', 'E_FORBIDDEN'],
    ['POST', '/v1/chat/completionsx', 'E_FORBIDDEN'],
    ['PUT', '/v1/chat/completions', 'E_FORBIDDEN'],
    ['DELETE', '/v1/chat/completions', 'E_FORBIDDEN'],
    ['OPTIONS', '/v1/chat/completions', 'E_FORBIDDEN'],
    ['POST', '/v1/chat/completions?model=other', 'E_FORBIDDEN'],
    ['POST', '/v1/chat/completions?x=1&Model=other', 'E_FORBIDDEN'],
    ['POST', '/v1/chat/completions?x=1&model=llama3:8b', 'body'],
  ])('%s %s: %s', (method, target, expected) => {
    expect(use(method, target)).toBe(expected);
  });

  test('for a WebSocket, with a form or compressed is refused; other types are read as JSON', () => {
    const withField = (name: string, value: string) =>
      use('POST', '/v1/chat/completions', { headers: [[name, value]] });
    expect(use('GET', '/v1/models', { protocol: 'websocket' })).toBe('E_FORBIDDEN');
    expect(withField('content-type', 'Multipart/Form-Data; boundary=x')).toBe('E_FORBIDDEN');
    expect(withField('content-encoding', 'gzip')).toBe('E_FORBIDDEN');
    expect(withField('content-encoding', 'identity')).toBe('body');
    expect(withField('content-type', 'application/x-www-form-urlencoded')).toBe('body');
  });
});

describe('a body', () => {
  const check = (body: string | Uint8Array, path = '/v1/chat/completions') =>
    outcome(() => checkBody(typeof body === 'string' ? Buffer.from(body) : body, path, REFUSES));

  test.each([
    '{"model":"llama3:8b"}',
    ' {"messages":[{"model":"other"}],\n"model" : "llama3:8b", "n": 12345678901234567890}',
    '{"model":"größe","text":"\\"model\\":\\"other\\" \\\\"}',
    '{"\\u006dodel":"gr\\u00f6\\u00dfe"}',
    '{"a":{"Model":"other","models":[]},"b":["model"],"model":"gpt/oss"}',
    '{"a":"model","model":"gpt/oss","c":"Model"}',
    '{"model":"gpt/oss:latest"}',
  ])('%s passes', (body) => {
    expect(check(body)).toBeUndefined();
  });

  test.each([
    ['another model', '{"model":"other"}'],
    ['no model', '{"prompt":"x"}'],
    ['a model that is no text', '{"model":["llama3:8b"]}'],
    ['one in other letters', '{"MODEL":"llama3:8b"}'],
    ['a model twice', '{"model":"llama3:8b","model":"llama3:8b"}'],
    ['another model first', '{"model":"other","model":"llama3:8b"}'],
    ['another model behind an escape', '{"model":"llama3:8b","\\u006dodel":"other"}'],
    ['another model in other letters', '{"model":"llama3:8b","Model":"other"}'],
    ['another model in escaped letters', '{"model":"llama3:8b","mode\\u004c":"other"}'],
    ['another model behind an object', '{"model":"llama3:8b","a":{"b":[1,{}]},"model":"other"}'],
    ['another model behind a text that ends in a backslash', '{"model":"llama3:8b","a":"\\\\","model":"other"}'],
    ['a key with a NUL', '{"model":"llama3:8b","model\\u0000":"other"}'],
    ['models to fall back to', '{"model":"llama3:8b","fallbacks":["other"]}'],
    ['models for what a model refuses', '{"model":"llama3:8b","content_policy_fallbacks":[{"llama3:8b":["other"]}]}'],
    ['models for what is too long', '{"model":"llama3:8b","context_window_fallback_dict":{"llama3:8b":"other"}}'],
    ['models of its own', '{"model":"llama3:8b","user_config":{"model_list":[]}}'],
    ['a list of models', '{"model":"llama3:8b","models":["other"]}'],
    ['a model to draft with', '{"model":"llama3:8b","draft_model":"other"}'],
    ['a list', '[{"model":"llama3:8b"}]'],
    ['a text', '"model"'],
    ['null', 'null'],
    ['nothing', ''],
    ['no JSON', 'model=llama3:8b'],
    ['more than one value', '{"model":"llama3:8b"}{"model":"other"}'],
    ['a comment', '{"model":"llama3:8b"/*,*/}'],
    ['a byte-order mark', '\ufeff{"model":"llama3:8b"}'],
  ])('with %s is refused', (_what, body) => {
    expect(check(body)).toBe('E_FORBIDDEN');
  });

  test('that is no UTF-8 is refused', () => {
    expect(check(Buffer.concat([Buffer.from('{"model":"llama3:8b","x":"'), Buffer.of(0xff), Buffer.from('"}')]))).toBe(
      'E_FORBIDDEN',
    );
  });

  test('for /api/show may not have Ollama’s older word beside it', () => {
    expect(check('{"model":"gpt/oss"}', '/api/show')).toBeUndefined();
    expect(check('{"model":"gpt/oss","name":"other"}', '/api/show')).toBe('E_FORBIDDEN');
    expect(check('{"model":"gpt/oss","name":"anything"}')).toBeUndefined();
  });

  test('of any content passes as long as the model is there once, and never with another one beside it', () => {
    const object = fc.dictionary(
      fc.string().filter((key) => !/^(model|draft_model|user_config)|fallback/i.test(key)),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(object, object, fc.boolean(), (before, after, spaced) => {
        const text = (value: object) => JSON.stringify(value, null, spaced ? 2 : 0).slice(1, -1);
        const parts = (...more: string[]) => [text(before), '"model":"gpt/oss"', text(after), ...more];
        const join = (all: string[]) => `{${all.filter((part) => part.trim() !== '').join(',')}}`;
        expect(check(join(parts()))).toBeUndefined();
        expect(check(join(parts('"model":"other"')))).toBe('E_FORBIDDEN');
      }),
      { numRuns: 500 },
    );
  });

  test('of 10 MB with an image or with nothing but backslashes is read in time', () => {
    const start = performance.now();
    expect(check(`{"image":"${'A'.repeat(10_000_000)}","model":"gpt/oss"}`)).toBeUndefined();
    expect(check(`{"x":"${'\\\\'.repeat(5_000_000)}","model":"gpt/oss"}`)).toBeUndefined();
    expect(check(`{"x":"${'\\"'.repeat(5_000_000)}","model":"gpt/oss"}`)).toBeUndefined();
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});

describe('a list', () => {
  const filter = (list: unknown) =>
    outcome(() => JSON.parse(Buffer.from(filterList(Buffer.from(JSON.stringify(list)), REFUSES)).toString()));

  test('has the permitted models only, in OpenAI’s and in Ollama’s form', () => {
    expect(filter({ object: 'list', data: [{ id: 'llama3:8b', x: 1 }, { id: 'other' }, {}, 'llama3:8b'] })).toEqual({
      object: 'list',
      data: [{ id: 'llama3:8b', x: 1 }],
    });
    expect(
      filter({
        models: [
          { name: 'gpt/oss:latest', model: 'gpt/oss' },
          { name: 'gpt/oss', model: 'other' },
        ],
      }),
    ).toEqual({ models: [{ name: 'gpt/oss:latest', model: 'gpt/oss' }] });
    expect(filter({ models: [{ key: 'größe' }, { key: 'x' }], data: [{ id: 'x' }] })).toEqual({
      models: [{ key: 'größe' }],
      data: [],
    });
  });

  test.each([[['llama3:8b']], [{ list: [] }], [null], ['x'], [{ data: { id: 'llama3:8b' } }]])(
    'in another form is refused: %j',
    (list) => {
      expect(filter(list)).toBe('E_FORBIDDEN');
    },
  );
});

describe('a model that is to have another name', () => {
  const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();

  test.each([
    ['{"model":"a/x"}', '{"model":"x"}'],
    [
      '{ "n": 12345678901234567890, "model" :\t"a/x" , "y":"\\u00e9" }',
      '{ "n": 12345678901234567890, "model" :\t"x" , "y":"\\u00e9" }',
    ],
    ['{"\\u006dodel":"a\\/x","y":{"model":"a/x"}}', '{"\\u006dodel":"x","y":{"model":"a/x"}}'],
    ['{"model":"first","y":["model"],"model":"a/x"}', '{"model":"first","y":["model"],"model":"x"}'],
    [
      '{"messages":[{"content":"größe \\"model\\":\\"b\\""}],"model":"a/x"}',
      '{"messages":[{"content":"größe \\"model\\":\\"b\\""}],"model":"x"}',
    ],
  ])('%s', (body, expected) => {
    const named = modelInJson(Buffer.from(body));
    expect([named?.model, text(named?.with('x'))]).toEqual(['a/x', expected]);
  });

  test.each(['', '[]', 'null', '{"model":7}', '{"model":""}', '{}', '{"model":"x"', 'model=x'])(
    'is not in %j',
    (body) => {
      expect(modelInJson(Buffer.from(body))).toBeUndefined();
    },
  );

  test('keeps all other bytes', () => {
    const object = fc.dictionary(
      fc.string().filter((key) => key !== 'model'),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(object, fc.string({ unit: 'binary', minLength: 1 }), fc.string(), (rest, model, other) => {
        const json = JSON.stringify({ ...rest, model });
        const named = modelInJson(Buffer.from(json));
        expect(named?.model).toBe(JSON.parse(json).model);
        expect(text(named?.with(other))).toBe(JSON.stringify({ ...rest, model: other }));
      }),
    );
  });

  test('is found in forms, wherever it stands, and nothing else is taken for it', async () => {
    const form = new FormData();
    form.append('file', new File([Buffer.from('\r\n--x\r\nname="model"\r\n\r\nno\r\n')], 'model.wav'));
    form.append('model', 'a/größe');
    form.append('language', 'de');
    const response = new Response(form);
    const type = response.headers.get('content-type') ?? '';
    const named = modelInForm(new Uint8Array(await response.arrayBuffer()), type);
    expect(named?.model).toBe('a/größe');
    const body = new Uint8Array(named?.with('whisper') ?? []);
    const again = await new Response(body, { headers: { 'content-type': type } }).formData();
    expect([again.get('model'), again.get('language'), (again.get('file') as File).size]).toEqual([
      'whisper',
      'de',
      27,
    ]);
    expect(modelInForm(Buffer.from('--b\r\n\r\nx'), 'multipart/form-data; boundary=b')).toBeUndefined();
    expect(modelInForm(Buffer.from('{"model":"x"}'), 'application/json')).toBeUndefined();
  });

  test('is not looked for among a million parts, which would keep the agent from everything else', () => {
    const form = Buffer.from(`--b${'\r\n--b'.repeat(1_000_000)}\r\n\r\n`);
    const begun = performance.now();
    expect(modelInForm(form, 'multipart/form-data; boundary=b')).toBeUndefined();
    expect(performance.now() - begun).toBeLessThan(20_000);
  });
});
