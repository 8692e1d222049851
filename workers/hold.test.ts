import { describe, expect, it } from 'vitest';
import type { RequestHead } from '../shared/head.ts';
import { newId } from '../shared/new-id.ts';
import { reply, TestAgent } from './test-agent.ts';
import { type Call, call, codeOf, newHost, OWNER } from './test-edge.ts';

const ask = (host: string, path: string, options: Call = {}) =>
  call(path, { token: OWNER, ...options, headers: { 'Direct-Host': host, ...options.headers } });

/** A host that shows the heads of its requests. */
async function hostWithHeads(): Promise<{ host: string; heads: RequestHead[] }> {
  const host = newHost();
  const heads: RequestHead[] = [];
  await TestAgent.connect(host, async (exchange, head) => {
    heads.push(head);
    await reply(exchange, 200, 'fine');
  });
  return { host, heads };
}

describe('Direct-Hold and Direct-Resume', () => {
  it('become members of the head, and no fields', async () => {
    const { host, heads } = await hostWithHeads();
    const id = newId();
    const calls: [string, Call][] = [
      ['/v1/chat/completions', { method: 'POST', body: '{}', headers: { 'Direct-Hold': id } }],
      ['/v1/', { headers: { 'Direct-Resume': `${id} 1234` } }],
      ['/v1/', { method: 'DELETE', headers: { 'Direct-Resume': `${id} 0` } }],
      ['/v1/models', {}],
    ];
    for (const [path, options] of calls) expect(await (await ask(host, path, options)).text()).toBe('fine');
    const said = heads.map(({ method, path, hold, resume }) => ({ method, path, hold, resume }));
    expect(said).toEqual([
      { method: 'POST', path: '/v1/chat/completions', hold: id, resume: undefined },
      { method: 'GET', path: '/', hold: undefined, resume: { id, from: 1234 } },
      { method: 'DELETE', path: '/', hold: undefined, resume: { id, from: 0 } },
      { method: 'GET', path: '/v1/models', hold: undefined, resume: undefined },
    ]);
    const names = heads.flatMap(({ headers }) => headers.map(([name]) => name));
    expect(names.filter((name) => name.startsWith('direct-') && name !== 'direct-grant')).toEqual([]);
    // The host judges by it whose the response is.
    expect(names.filter((name) => name === 'direct-grant').length).toBe(4);
  });

  it.each<[string, Call]>([
    ['no id', { headers: { 'Direct-Hold': 'short' } }],
    ['an id with a space', { headers: { 'Direct-Hold': `${newId()} 0` } }],
    ['no offset', { headers: { 'Direct-Resume': newId() } }],
    ['an offset that is no number', { headers: { 'Direct-Resume': `${newId()} -1` } }],
    ['an offset beyond all bodies', { headers: { 'Direct-Resume': `${newId()} 1234567890123456` } }],
    ['both', { headers: { 'Direct-Hold': newId(), 'Direct-Resume': `${newId()} 0` } }],
    ['a method with a body', { method: 'POST', body: 'x', headers: { 'Direct-Resume': `${newId()} 0` } }],
  ])('with %s are refused', async (_, options) => {
    const { host, heads } = await hostWithHeads();
    const response = await ask(host, '/v1/', options);
    expect([response.status, await codeOf(response), heads.length]).toEqual([400, 'E_BAD_REQUEST', 0]);
  });

  it('may be set by pages of other origins that have a key', async () => {
    const response = await call('/v1/', {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://app.example',
        'Access-Control-Request-Method': 'DELETE',
        'Access-Control-Request-Headers': 'authorization,direct-host,direct-hold,direct-resume',
      },
    });
    expect(response.headers.get('access-control-allow-methods')).toContain('DELETE');
    expect(response.headers.get('access-control-allow-headers')).toContain('direct-resume');
  });
});
