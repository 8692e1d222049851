import { describe, expect, it } from 'vitest';
import { DirectError, errorBody } from '../shared/errors.ts';
import { withErrorPage } from './error-page.ts';
import { errorResponse } from './responses.ts';

const show = (response: Response, { method = 'GET', dest = 'document', links = true } = {}) =>
  withErrorPage(response, {
    request: new Request('https://edge.example/app', { method, headers: { 'Sec-Fetch-Dest': dest } }),
    links,
  });
const OFFLINE = new DirectError('E_HOST_OFFLINE', '<b>&');

describe('an error of ours', () => {
  it.each(['/app', '/api/x'])('is a page in a tab, with what to do: for %s', async (path) => {
    const response = await show(errorResponse(OFFLINE, path));
    expect([response.status, response.headers.get('content-type')]).toEqual([503, 'text/html; charset=utf-8']);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
    const page = await response.text();
    expect(page).toContain(`<p>${OFFLINE.message.replace('<b>&', '&lt;b&gt;&amp;')}</p>`);
    expect(page).toContain('direct-agent up');
    expect(page).toContain('href="/_direct/chat"');
  });

  it('leads to no page of ours where there is none', async () => {
    expect(await (await show(errorResponse(OFFLINE), { links: false })).text()).not.toContain('/_direct/');
  });

  it.each([{ dest: 'empty' }, { dest: 'iframe' }, { method: 'POST' }])('is JSON for others: %j', async (given) => {
    expect(await (await show(errorResponse(OFFLINE), given)).json()).toEqual(errorBody(OFFLINE));
  });
});

it.each<[string, Response]>([
  ['a page', new Response('<p>', { status: 500, headers: { 'content-type': 'text/html' } })],
  ['an answer', Response.json(errorBody(OFFLINE))],
  ['an error of the UI', Response.json({ error: 'no' }, { status: 500 })],
  ['one that looks like ours', Response.json({ error: { code: 'E_OTHER', message: 'a', hint: 'b' } }, { status: 500 })],
  ['no object', Response.json(7, { status: 500 })],
  ['nothing', Response.json(null, { status: 500 })],
  ['what is too long to be ours', Response.json({ ...errorBody(OFFLINE), more: 'x'.repeat(100_000) }, { status: 500 })],
  ['what is no JSON', new Response('{', { status: 500, headers: { 'content-type': 'application/json' } })],
])('%s stays as it is', async (_name, response) => {
  const expected = await response.clone().text();
  const shown = await show(response);
  expect([shown.status, shown.headers.get('content-type')]).toEqual([
    response.status,
    response.headers.get('content-type'),
  ]);
  expect(await shown.text()).toBe(expected);
});
