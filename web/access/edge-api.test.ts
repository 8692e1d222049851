import { describe, expect, test } from 'vitest';
import { DirectError, errorBody } from '../../shared/errors.ts';
import { ApiError } from './api-error.ts';
import { EdgeApi } from './edge-api.ts';

interface Asked {
  url: string;
  init: RequestInit;
}

function api(answer: Response): { api: EdgeApi; asked: Asked[] } {
  const asked: Asked[] = [];
  const fetch = async (url: string, init: RequestInit) => {
    asked.push({ url, init });
    return answer;
  };
  return { api: new EdgeApi(fetch), asked };
}

describe('the API client', () => {
  test('sends JSON with the cookie, and gives what came', async () => {
    const { api: edge, asked } = api(Response.json({ host_id: 'home', host_name: 'Home' }));
    expect(await edge.approveLogin('WDJB-MJHT', 'Home')).toEqual({ host_id: 'home', host_name: 'Home' });
    expect(asked[0]?.url).toBe('/_direct/api/device/approve');
    expect(asked[0]?.init).toMatchObject({
      method: 'POST',
      body: '{"user_code":"WDJB-MJHT","name":"Home"}',
      credentials: 'same-origin',
      headers: { 'Content-Type': 'application/json' },
    });
  });

  test('puts no id into a path that could lead elsewhere', async () => {
    const { api: edge, asked } = api(new Response(null, { status: 204 }));
    expect(await edge.removeDevice('../me', 'a/b')).toBeUndefined();
    expect(asked[0]?.url).toBe('/_direct/api/hosts/..%2Fme/devices/a%2Fb');
  });

  test('sends no secret in an address', async () => {
    const { api: edge, asked } = api(new Response(null, { status: 204 }));
    await edge.signIn('secret');
    await edge.acceptInvitation('secret');
    await edge.denyLogin('secret');
    expect(asked.map(({ url }) => url).join()).not.toContain('secret');
  });

  test('throws the edge’s error with the time to wait', async () => {
    const body = errorBody(new DirectError('E_RATE_LIMITED'));
    const { api: edge } = api(Response.json(body, { status: 429, headers: { 'Retry-After': '90' } }));
    const error = (await edge.signIn('x').catch((thrown: unknown) => thrown)) as ApiError;
    expect(error).toBeInstanceOf(ApiError);
    expect([error.code, error.status, error.retryAfter]).toEqual(['E_RATE_LIMITED', 429, 90]);
  });

  test('says it when Cloudflare Access has something against it', async () => {
    const redirect = { type: 'opaqueredirect', ok: false, status: 0 } as Response;
    await expect(api(redirect).api.me()).rejects.toThrow('Cloudflare Access');
  });

  test('asks for the next part of the log', async () => {
    const { api: edge, asked } = api(Response.json({ events: [] }));
    await edge.audit(12);
    expect(asked[0]?.url).toBe('/_direct/api/audit?before=12');
  });
});
