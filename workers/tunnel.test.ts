import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { decodeFrames, encodeFrames } from '../shared/frame.ts';
import { INITIAL_STREAM_CREDIT, MAX_ENVELOPE_BYTES } from '../shared/limits.ts';
import { echoPath, reply, type Script, TestAgent } from './test-agent.ts';
import { agentPoll, type Call, call, codeOf, hostStub, newHost, OWNER } from './test-edge.ts';

const ask = (host: string, path: string, options: Call = {}) =>
  call(path, { token: OWNER, ...options, headers: { 'Direct-Host': host, ...options.headers } });
const sessions = (host: string) => runInDurableObject(hostStub(host), (object) => object.tunnel.size);
/** Answers when the test says so. */
const silent: Script = () => new Promise(() => {});

/** Sends `bytes` in pieces for as long as the credit allows. */
const flood =
  (bytes: number): Script =>
  async (exchange) => {
    await exchange.sendHead({ status: 200, statusText: '', headers: [] });
    for (let sent = 0; sent < bytes; sent += 10_000) await exchange.sendData(new Uint8Array(10_000));
    exchange.finish();
  };

describe('a request', () => {
  it('opens a channel, and its HELLO and head leave at once', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host);
    const response = ask(host, '/v1/x?y=1', {
      headers: {
        'X-Own': 'kept',
        'X-Forwarded-For': '192.0.2.1',
        'CF-Ray': '1',
        Connection: 'close, direct-grant',
        'Direct-Grant': '{"subject":"key:claimed"}',
      },
    });
    await expect.poll(() => agent.received.length).toBe(1);
    const [first] = agent.received;
    expect(agent.opened).toEqual([first?.channel]);
    const frames = decodeFrames(first?.message ?? new Uint8Array());
    expect(frames.map((frame) => frame.type)).toEqual(['HELLO', 'PING', 'STREAM']);
    const head = frames.find(({ type }) => type === 'STREAM');
    if (head?.type !== 'STREAM') throw new Error('no head');
    expect(head.fin).toBe(true);
    const text = new TextDecoder().decode(head.data);
    expect(JSON.parse(text.slice(text.indexOf('{')))).toEqual({
      method: 'GET',
      path: '/v1/x?y=1',
      headers: [
        ['direct-grant', '{"subject":"owner"}'],
        ['x-own', 'kept'],
      ],
    });
    agent.close(first?.channel ?? 0);
    expect(await codeOf(await response)).toBe('E_PATH_LOST');
  });

  it('streams both ways at the same time', async () => {
    const host = newHost();
    await TestAgent.connect(host, async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      for (let piece = await exchange.readData(); piece !== null; piece = await exchange.readData()) {
        await exchange.sendData(piece.slice());
      }
      exchange.finish();
    });
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    const response = await ask(host, '/v1/x', { method: 'POST', body: readable });
    const reader = response.body?.getReader();
    for (const text of ['one', 'two', 'three']) {
      void writer.write(new TextEncoder().encode(text));
      const { value } = (await reader?.read()) ?? {};
      expect(new TextDecoder().decode(value)).toBe(text);
    }
    await writer.close();
    expect((await reader?.read())?.done).toBe(true);
  });

  it('shares a session with others, and ends it as the last one', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, echoPath);
    const answers = await Promise.all(['/v1/a', '/v1/b'].map((path) => ask(host, path)));
    expect(await sessions(host)).toBe(1);
    expect(agent.closed).toEqual([]);
    expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(['/v1/a', '/v1/b']);
    await expect.poll(() => agent.closed).toEqual(agent.opened);
    expect(agent.opened.length).toBe(1);
    expect(await sessions(host)).toBe(0);
    expect(await (await ask(host, '/v1/c')).text()).toBe('/v1/c');
    await expect.poll(() => agent.closed).toEqual(agent.opened);
    expect(new Set(agent.opened).size).toBe(2);
    expect(agent.aborted).toBe(0);
  });

  it('leaves nothing that keeps the object in memory, and the agent’s socket survives its eviction', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, echoPath);
    for (const path of ['/v1/before', '/v1/after']) {
      expect(await (await ask(host, path)).text()).toBe(path);
      await expect.poll(() => sessions(host)).toBe(0);
      await evictDurableObject(hostStub(host));
    }
    expect(agent.opened.length).toBe(2);
  });

  it('takes the upstream’s header fields, but not its word on who may read them', async () => {
    const host = newHost();
    await TestAgent.connect(host, async (exchange) => {
      await exchange.sendHead({
        status: 201,
        statusText: '',
        headers: [
          ['set-cookie', 'a=1'],
          ['set-cookie', 'b=2'],
          ['access-control-allow-origin', 'https://only.example'],
          ['access-control-allow-credentials', 'true'],
          ['content-length', '2'],
          ['cache-control', 'no-cache'],
        ],
      });
      await exchange.sendData(new Uint8Array([104, 105]));
      exchange.finish();
    });
    const response = await ask(host, '/v1/x');
    expect(response.status).toBe(201);
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
    expect(response.headers.get('Access-Control-Allow-Origin')).toBe('*');
    expect(response.headers.get('Access-Control-Allow-Credentials')).toBeNull();
    expect(response.headers.get('Content-Length')).toBe('2');
    expect(response.headers.get('Cache-Control')).toBe('no-cache');
    expect(await response.text()).toBe('hi');
  });

  it('asks for no compression of a stream, which would hold tokens back', async () => {
    const host = newHost();
    await TestAgent.connect(host, echoPath);
    const response = await ask(host, '/v1/x');
    expect(response.headers.get('Cache-Control')).toBe('no-transform');
    await response.text();
  });

  it.each([204, 304])('may be answered with %i, which has no body', async (status) => {
    const host = newHost();
    const agent = await TestAgent.connect(host, async (exchange) => {
      await exchange.sendHead({ status, statusText: '', headers: [['etag', '"1"']] });
      exchange.finish();
    });
    const response = await ask(host, '/v1/x');
    expect([response.status, response.body, response.headers.get('ETag')]).toEqual([status, null, '"1"']);
    await expect.poll(() => agent.closed).toEqual(agent.opened);
  });

  it('may be refused while its body is still sent', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, async (exchange) => {
      await exchange.readData();
      await reply(exchange, 413, 'too much');
      exchange.stream.stop('E_CANCELLED');
    });
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(50_000)),
      cancel: () => {
        cancelled = true;
      },
    });
    const response = await ask(host, '/v1/x', { method: 'POST', body });
    expect([response.status, await response.text()]).toEqual([413, 'too much']);
    await expect.poll(() => cancelled).toBe(true);
    // Once more for what the agent said when the channel was closed already.
    await expect.poll(() => agent.closed).toContain(agent.opened[0]);
    expect(agent.opened.length).toBe(1);
  });

  it('with a head that is too large is refused here', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, echoPath);
    const response = await ask(host, '/v1/x', { headers: { 'X-Large': 'x'.repeat(70_000) } });
    expect([response.status, await codeOf(response)]).toEqual([431, 'E_HEAD_TOO_LARGE']);
    expect([await sessions(host), agent.opened]).toEqual([0, []]);
  });
});

describe('a client that reads slowly', () => {
  it('stops the agent after the stream’s credit, and nobody else', async () => {
    const host = newHost();
    const size = 5_000_000;
    const agent = await TestAgent.connect(host, (exchange, head) =>
      head.path === '/v1/flood' ? flood(size)(exchange, head) : echoPath(exchange, head),
    );
    const response = await ask(host, '/v1/flood');
    await expect.poll(() => agent.sent).toBeGreaterThanOrEqual(INITIAL_STREAM_CREDIT);
    for (let i = 0; i < 20; i++) expect(await (await ask(host, '/v1/other')).text()).toBe('/v1/other');
    // The runtime's own buffers between object and reader take a little more than the credit.
    expect(agent.sent).toBeLessThan(1.5 * INITIAL_STREAM_CREDIT);
    expect((await response.arrayBuffer()).byteLength).toBe(size);
  });

  it('does not use up the credit of all: others get a session of their own', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, (exchange, head) =>
      head.path === '/v1/flood' ? flood(5_000_000)(exchange, head) : echoPath(exchange, head),
    );
    // Two sessions full of them: each of these readers has its stream's credit, and none of them reads.
    const slow = await Promise.all(Array.from({ length: 16 }, () => ask(host, '/v1/flood')));
    await expect.poll(() => agent.sent).toBeGreaterThan(16 * INITIAL_STREAM_CREDIT);
    expect(agent.opened.length).toBe(2);
    expect(await (await ask(host, '/v1/other')).text()).toBe('/v1/other');
    for (const response of slow) await response.body?.cancel();
    await expect.poll(() => sessions(host)).toBe(0);
  });
});

describe('a client that goes away', () => {
  it('before the head: the agent hears of it', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, silent);
    const controller = new AbortController();
    const response = ask(host, '/v1/x', { signal: controller.signal }).catch(() => {});
    await expect.poll(() => agent.received.length).toBe(1);
    controller.abort();
    await expect.poll(() => agent.aborted).toBe(1);
    await expect.poll(() => sessions(host)).toBe(0);
    await response;
  });

  it('in mid-body: the agent hears of it', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, flood(5_000_000));
    const response = await ask(host, '/v1/x');
    await response.body?.cancel();
    await expect.poll(() => agent.aborted).toBe(1);
    await expect.poll(() => sessions(host)).toBe(0);
  });

  it('in mid-upload: the agent sees no end of the body', async () => {
    const host = newHost();
    let complete = false;
    const agent = await TestAgent.connect(host, async (exchange) => {
      while ((await exchange.readData()) !== null);
      complete = true;
    });
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    void ask(host, '/v1/x', { method: 'POST', body: readable }).catch(() => {});
    await writer.write(new Uint8Array(10));
    await expect.poll(() => agent.received.length).toBeGreaterThan(0);
    await writer.abort(new Error('gone'));
    await expect.poll(() => sessions(host)).toBe(0);
    expect([complete, agent.aborted]).toEqual([false, 1]);
  });
});

describe('an agent that is not there', () => {
  it('is said at once, with Retry-After, in the client’s form', async () => {
    const host = newHost();
    const response = await ask(host, '/v1/x', { method: 'POST', body: '{}' });
    expect([response.status, await codeOf(response)]).toEqual([503, 'E_HOST_OFFLINE']);
    expect(response.headers.get('Retry-After')).toBe('2');
    const ollama = await ask(host, '/api/chat', { method: 'POST', body: '{}' });
    expect(await ollama.json()).toMatchObject({ code: 'E_HOST_OFFLINE', error: expect.stringContaining('host') });
  });

  it('or only polls, which is no way for a tunnel yet', async () => {
    const host = newHost();
    await agentPoll(host);
    const response = await ask(host, '/v1/x');
    expect(response.status).toBe(503);
    expect(await response.text()).toContain('it can only poll');
  });
});

describe('an agent that is lost', () => {
  it.each([
    ['GET', 'E_PATH_LOST'],
    ['POST', 'E_OUTCOME_UNKNOWN'],
  ])('before the head of a %s: %s', async (method, code) => {
    const host = newHost();
    const agent = await TestAgent.connect(host, silent);
    const response = ask(host, '/v1/x', { method });
    await expect.poll(() => agent.received.length).toBe(1);
    agent.socket.close(1001);
    const answer = await response;
    expect([answer.status, await codeOf(answer)]).toEqual([502, code]);
    expect(answer.headers.get('x-should-retry')).toBe(method === 'POST' ? 'false' : null);
    expect(await sessions(host)).toBe(0);
  });

  it('in mid-body: the body breaks off', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
      await exchange.sendData(new Uint8Array(10));
    });
    const response = await ask(host, '/v1/x');
    const reader = response.body?.getReader();
    expect((await reader?.read())?.value?.byteLength).toBe(10);
    agent.socket.close(1001);
    await expect(reader?.read()).rejects.toThrow();
    expect(await sessions(host)).toBe(0);
  });

  it('because another one took over: the new one gets the next request', async () => {
    const host = newHost();
    const first = await TestAgent.connect(host, silent);
    const response = ask(host, '/v1/x');
    await expect.poll(() => first.received.length).toBe(1);
    await TestAgent.connect(host, echoPath);
    expect(await codeOf(await response)).toBe('E_PATH_LOST');
    expect(await first.lost).toBe(4409);
    expect(await (await ask(host, '/v1/y')).text()).toBe('/v1/y');
  });
});

describe('a hostile agent', () => {
  it('ends one channel with a bad frame, not the others nor the socket', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host);
    const bad = ask(host, '/v1/bad');
    await expect.poll(() => agent.opened.length).toBe(1);
    agent.send(agent.opened[0] ?? 0, new Uint8Array([0x3f]));
    expect(await codeOf(await bad)).toBe('E_PATH_LOST');
    await expect.poll(() => agent.closed).toEqual(agent.opened);
    const next = ask(host, '/v1/next');
    await expect.poll(() => agent.opened.length).toBe(2);
    agent.close(agent.opened[1] ?? 0);
    expect((await next).status).toBe(502);
  });

  it('is told that a channel is not open, and answers nothing into others', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, silent);
    agent.send(7, encodeFrames([{ type: 'PING', nonce: 1 }]));
    await expect.poll(() => agent.closed).toEqual([7]);
    agent.close(7);
    agent.close(8);
    const response = ask(host, '/v1/x');
    await expect.poll(() => agent.received.length).toBe(1);
    agent.socket.close();
    expect((await response).status).toBe(502);
  });

  it('loses its socket for a message that is too long, and its requests at once', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host);
    const response = ask(host, '/v1/x');
    await expect.poll(() => agent.opened.length).toBe(1);
    agent.socket.send(new Uint8Array(MAX_ENVELOPE_BYTES + 1));
    expect(await agent.lost).toBe(4000);
    expect(await codeOf(await response)).toBe('E_PATH_LOST');
  });

  it('cannot send more than its credit', async () => {
    const host = newHost();
    const agent = await TestAgent.connect(host, async (exchange) => {
      await exchange.sendHead({ status: 200, statusText: '', headers: [] });
    });
    const response = await ask(host, '/v1/x');
    const [channel = 0] = agent.opened;
    const offset = 2 * INITIAL_STREAM_CREDIT;
    agent.send(channel, encodeFrames([{ type: 'STREAM', id: 0, offset, data: new Uint8Array(1), fin: false }]));
    await expect(response.text()).rejects.toThrow();
    await expect.poll(() => sessions(host)).toBe(0);
  });
});

describe('a response', () => {
  const answering =
    (status: number, headers: [string, string][]): Script =>
    async (exchange) => {
      await exchange.sendHead({ status, statusText: '', headers });
      exchange.finish();
    };

  it.each([
    ['/_direct/api/hosts/other', null],
    ['../../_direct/api/sign-out', null],
    ['https://edge.example/%5Fdirect/api/sign-out', null],
    ['https:/_dir\tect/api/sign-out', null],
    ['\\_direct\\api\\sign-out', null],
    ['/v1/files/', '/v1/files/'],
    ['/v1/x?next=/_direct/', '/v1/x?next=/_direct/'],
    ['https://elsewhere.example/', 'https://elsewhere.example/'],
  ])('sends its client to %s with its credential: not to the API', async (location, passed) => {
    const host = newHost();
    await TestAgent.connect(host, answering(307, [['location', location]]));
    const response = await ask(host, '/v1/files/x', { method: 'DELETE' });
    expect([response.status, response.headers.get('location')]).toEqual([307, passed]);
  });

  it('is kept by no browser for another host or caller', async () => {
    const host = newHost();
    await TestAgent.connect(
      host,
      answering(200, [
        ['cache-control', 'public, max-age=31536000'],
        ['vary', 'accept'],
      ]),
    );
    const response = await ask(host, '/v1/models');
    expect(response.headers.get('vary')).toBe('accept, direct-host, direct-service, authorization, cookie');
  });
});
