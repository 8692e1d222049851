import { runInDurableObject } from 'cloudflare:test';
import { beforeEach, describe, expect, it } from 'vitest';
import { generateHostKeys } from '../../shared/host-identity.ts';
import {
  API,
  asOwner,
  audited,
  type Granted,
  LoggingIn,
  loggedIn,
  newAddress,
  setAccountClock,
} from '../test-account.ts';
import { AGENT, accountStub, base, call, codeOf, OWNER, openSocket, post } from '../test-edge.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

// Each test begins after all grants, guesses and locks of those before it.
let clock = 0;
const later = (ms: number) => {
  clock += ms;
  return setAccountClock(clock);
};
beforeEach(() => later(24 * HOUR_MS));

const errorOf = async (response: Response) => {
  expect(response.status).toBe(400);
  return (await response.json<{ error: string }>()).error;
};
const decide = (what: 'lookup' | 'approve' | 'deny', user_code: string, more: object = {}, address = newAddress()) =>
  asOwner(`/device/${what}`, {
    method: 'POST',
    body: { user_code, ...more },
    headers: { 'CF-Connecting-IP': address },
  });

describe('the device authorization request', () => {
  it('is answered with codes and a link whose secrets are in the fragment', async () => {
    const agent = await LoggingIn.make();
    const response = await agent.tryToAsk();
    expect(response.headers.get('Cache-Control')).toBe('no-store');
    const grant = await response.json<Granted>();
    expect(grant).toEqual({
      device_code: expect.stringMatching(/^dad_[\w-]{43}$/),
      user_code: expect.stringMatching(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/),
      verification_uri: 'https://edge.example/_direct/approve',
      verification_uri_complete: `https://edge.example/_direct/approve#code=${grant.user_code}&key=${agent.hostKey}`,
      expires_in: 600,
      interval: 5,
    });
  });

  it('may be a form, as RFC 8628 has it', async () => {
    const agent = await LoggingIn.make();
    const serves = [{ name: 'Ollama', models: ['llama3.2'] }];
    const form = new URLSearchParams({
      client_id: 'direct-agent',
      host_key: agent.hostKey,
      host_name: 'Attic',
      serves: JSON.stringify(serves),
    });
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded;charset=UTF-8' };
    const response = await post(`${API}/device/code`, form.toString(), { headers });
    const { user_code, device_code } = await response.json<Granted>();
    expect(await (await decide('lookup', user_code)).json()).toMatchObject({ host_name: 'Attic', serves });
    const poll = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      client_id: 'direct-agent',
      device_code,
      host_signature: await agent.sign(device_code),
    });
    expect(await errorOf(await post(`${API}/device/token`, poll.toString(), { headers }))).toBe(
      'authorization_pending',
    );
  });

  it.each([
    ['no client', { client_id: undefined }],
    ['another client', { client_id: 'curl' }],
    ['no key', { host_key: undefined }],
    ['a short key', { host_key: 'AAAA' }],
    ['a key with loose bits', { host_key: `${'A'.repeat(42)}B` }],
    ['no name', { host_name: ' ' }],
    ['a name of two lines', { host_name: 'a\nb' }],
    ['a name that turns around', { host_name: 'evil\u202egnp' }],
    ['a long name', { host_name: 'x'.repeat(65) }],
    ['servers that are no list', { serves: {} }],
    ['a server without a name', { serves: [{ models: [] }] }],
    ['a model that is no text', { serves: [{ name: 'x', models: [7] }] }],
    ['models that are no list', { serves: [{ name: 'x', models: 'y' }] }],
  ])('is refused with %s', async (_name, more) => {
    const response = await (await LoggingIn.make()).tryToAsk(more);
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
  });

  it('shows the first of many models, in one line each', async () => {
    const models = Array.from({ length: 100 }, (_, i) => `m${i}\n\u202e${'x'.repeat(200)}`);
    const serves = Array.from({ length: 20 }, (_, i) => ({ name: `server ${i}`, models: i === 0 ? models : [] }));
    const { user_code } = await (await LoggingIn.make()).ask({ serves });
    const seen = await (await decide('lookup', user_code)).json<{ serves: { name: string; models: string[] }[] }>();
    expect(seen.serves).toHaveLength(16);
    expect(seen.serves[0]?.models).toHaveLength(64);
    expect(seen.serves[0]?.models[0]).toBe(`m0${'x'.repeat(126)}`);
  });

  it('is refused while five of one address are open, and taken when the first has expired', async () => {
    const agent = await LoggingIn.make();
    await agent.ask();
    await later(MINUTE_MS);
    for (let i = 0; i < 4; i++) await agent.ask();
    const refusal = await agent.tryToAsk();
    expect([refusal.status, await codeOf(refusal)]).toEqual([429, 'E_RATE_LIMITED']);
    // The first one ends in nine minutes.
    expect(Number(refusal.headers.get('Retry-After'))).toBeGreaterThan(8 * 60);
    expect(Number(refusal.headers.get('Retry-After'))).toBeLessThanOrEqual(9 * 60);
    await (await LoggingIn.make()).ask();
    await later(9 * MINUTE_MS);
    await agent.ask();
  });

  it('counts an IPv6 network as one address', async () => {
    const agents = await Promise.all(Array.from({ length: 6 }, () => LoggingIn.make()));
    const statuses: number[] = [];
    for (const [i, agent] of agents.entries()) {
      Object.assign(agent, { address: `2001:db8:1:2::${i + 1}` });
      statuses.push((await agent.tryToAsk()).status);
    }
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429]);
  });

  it('is taken from where the owner has signed in, however many of strangers are open', async () => {
    const strangers = await Promise.all(Array.from({ length: 21 }, () => LoggingIn.make()));
    for (const stranger of strangers) await stranger.tryToAsk();
    const agent = await LoggingIn.make();
    expect((await agent.tryToAsk()).status).toBe(429);
    const headers = { 'CF-Connecting-IP': agent.address };
    expect((await post(`${API}/sign-in`, { token: OWNER }, { headers })).status).toBe(204);
    for (let i = 0; i < 5; i++) await agent.ask();
    expect((await agent.tryToAsk()).status).toBe(429);
  });

  it('is refused while twenty are open in total', async () => {
    const agents = await Promise.all(Array.from({ length: 21 }, () => LoggingIn.make()));
    const statuses: number[] = [];
    for (const agent of agents) statuses.push((await agent.tryToAsk()).status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(20);
    expect(statuses.at(-1)).toBe(429);
  });

  it('keeps no code that could be used, only hashes', async () => {
    const { device_code } = await (await LoggingIn.make()).ask();
    const rows = await runInDurableObject(accountStub(), (_object, { storage }) =>
      JSON.stringify(storage.sql.exec('SELECT * FROM device_grants').toArray()),
    );
    expect(rows).not.toContain(device_code);
    expect(rows).not.toContain(device_code.slice(4));
  });
});

describe('the owner', () => {
  it('sees what asks, by the code in any spelling', async () => {
    const agent = await LoggingIn.make();
    const { user_code } = await agent.ask({ serves: [{ name: 'Ollama', models: ['a', 'b'] }] });
    const seen = {
      user_code,
      host_name: 'Home',
      host_key: agent.hostKey,
      serves: [{ name: 'Ollama', models: ['a', 'b'] }],
      address: agent.address,
      created_at: expect.any(Number),
      expires_at: expect.any(Number),
      known_host: null,
    };
    for (const spelling of [
      user_code,
      user_code.toLowerCase(),
      user_code.replace('-', ''),
      ` ${[...user_code].join(' ')}`,
    ]) {
      expect(await (await decide('lookup', spelling)).json()).toEqual(seen);
    }
  });

  it.each(['', 'AAAA-AAAA', 'WDJB-MJH', 'WDJB-MJHTT', 'WDJB1MJHT', 7, null])(
    'finds nothing by what is no code: %j',
    async (code) => {
      const response = await decide('lookup', code as string);
      expect([response.status, await codeOf(response)]).toEqual([404, 'E_NOT_FOUND']);
    },
  );

  it('approves; the agent gets its credential once, and it opens the host’s signaling and no other', async () => {
    const agent = await LoggingIn.make();
    const { device_code, user_code } = await agent.ask({ host_name: 'Büro' });
    expect(await errorOf(await agent.poll(device_code))).toBe('authorization_pending');
    const approved = await decide('approve', user_code);
    expect(await approved.json()).toEqual({ host_id: 'buro', host_name: 'Büro' });
    const response = await agent.poll(device_code);
    expect(response.headers.get('Cache-Control')).toBe('no-store');
    const token = await response.json<{ access_token: string }>();
    expect(token).toEqual({
      access_token: expect.stringMatching(/^dah_[\w-]{43}$/),
      token_type: 'Bearer',
      host_id: 'buro',
      host_name: 'Büro',
    });
    // A code is good for once.
    expect(await errorOf(await agent.poll(device_code))).toBe('invalid_grant');
    expect(await audited(2)).toEqual([
      { action: 'host.login', detail: 'Büro' },
      { action: 'host.approve', detail: 'buro: Büro' },
    ]);
    const socket = await openSocket(`${base('buro')}/signal`, { token: token.access_token });
    expect(await socket.next()).toMatchObject({ type: 'ready', host: 'buro' });
    const other = await call(`${base('other')}/signal`, { token: token.access_token });
    expect(await codeOf(other)).toBe('E_FORBIDDEN');
  });

  it('may name the host, and a second host of the same name gets another id', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { user_code } = await (await LoggingIn.make()).ask();
      ids.push((await (await decide('approve', user_code, { name: 'Den' })).json<{ host_id: string }>()).host_id);
    }
    expect(ids).toEqual(['den', 'den-2', 'den-3']);
  });

  it('is told when the key is one that is known, which keeps its id and voids its old credential at login', async () => {
    const { agent, host_id, access_token } = await loggedIn('Cellar');
    const { device_code, user_code } = await agent.ask({ host_name: 'renamed by the agent' });
    const known = await (await decide('lookup', user_code)).json<{ known_host: unknown }>();
    expect(known.known_host).toEqual({ id: host_id, name: 'Cellar' });
    expect(await (await decide('approve', user_code)).json()).toEqual({ host_id, host_name: 'Cellar' });
    const presence = (token: string) => call(`${API}/keys`, { token });
    // Whoever asked has not proved yet to be the host.
    expect((await presence(access_token)).status).toBe(200);
    const renewed = await (await agent.poll(device_code)).json<{ access_token: string }>();
    expect((await presence(access_token)).status).toBe(401);
    expect((await presence(renewed.access_token)).status).toBe(200);
  });

  it('denies, which the agent hears', async () => {
    const agent = await LoggingIn.make();
    const { device_code, user_code } = await agent.ask({ host_name: 'Stranger' });
    expect((await decide('deny', user_code)).status).toBe(204);
    expect(await errorOf(await agent.poll(device_code))).toBe('access_denied');
    expect(await audited(1)).toEqual([{ action: 'host.deny', detail: 'Stranger' }]);
    expect((await decide('approve', user_code)).status).toBe(404);
    expect(await errorOf(await agent.poll(device_code))).toBe('access_denied');
  });

  it('cannot approve twice', async () => {
    const { user_code } = await (await LoggingIn.make()).ask();
    expect((await decide('approve', user_code)).status).toBe(200);
    expect((await decide('approve', user_code)).status).toBe(404);
    expect((await decide('deny', user_code)).status).toBe(404);
  });

  it('cannot approve what has expired', async () => {
    const agent = await LoggingIn.make();
    const { device_code, user_code } = await agent.ask();
    await later(10 * MINUTE_MS);
    for (const what of ['lookup', 'approve', 'deny'] as const) {
      expect((await decide(what, user_code)).status).toBe(404);
    }
    expect(await errorOf(await agent.poll(device_code))).toBe('expired_token');
  });

  it('has ten guesses from an address, then waits, and can go on from another one', async () => {
    const { user_code } = await (await LoggingIn.make()).ask();
    const wrong = user_code === 'BBBB-BBBB' ? 'CCCC-CCCC' : 'BBBB-BBBB';
    const address = newAddress();
    for (let i = 0; i < 10; i++) expect((await decide('lookup', wrong, {}, address)).status).toBe(404);
    const locked = await decide('approve', user_code, {}, address);
    expect([locked.status, await codeOf(locked)]).toEqual([429, 'E_RATE_LIMITED']);
    expect(Number(locked.headers.get('Retry-After'))).toBeGreaterThan(0);
    expect((await decide('lookup', user_code)).status).toBe(200);
    await later(15 * MINUTE_MS);
    expect((await decide('lookup', wrong, {}, address)).status).toBe(404);
  });
});

describe('a poll for the token', () => {
  it('slows the agent down when it comes too soon, by five seconds each time', async () => {
    const agent = await LoggingIn.make();
    const { device_code } = await agent.ask();
    const answers: string[] = [];
    for (const wait of [0, 5_000, 4_000, 5_000, 15_000, 12_000, 20_000]) {
      await later(wait);
      answers.push(await errorOf(await agent.poll(device_code)));
    }
    expect(answers).toEqual([
      'authorization_pending',
      'authorization_pending',
      'slow_down', // now 10 s
      'slow_down', // now 15 s
      'authorization_pending',
      'slow_down', // now 20 s
      'authorization_pending',
    ]);
  });

  it('needs the host’s key: without it the credential is not given away, nor the code used up', async () => {
    const agent = await LoggingIn.make();
    const { device_code, user_code } = await agent.ask();
    await decide('approve', user_code);
    const signatures = [
      await agent.sign(device_code, await generateHostKeys()),
      await agent.sign(`${device_code.slice(0, -1)}x`),
      // Another edge had the agent sign this one's code.
      await agent.sign(device_code, agent.keys, 'https://other.example'),
      'AAAA',
      'not base64url!',
    ];
    for (const host_signature of signatures) {
      expect(await errorOf(await agent.poll(device_code, { host_signature }))).toBe('invalid_grant');
    }
    expect((await agent.poll(device_code)).status).toBe(200);
  });

  it('without the key does not slow the agent down', async () => {
    const agent = await LoggingIn.make();
    const { device_code } = await agent.ask();
    await agent.poll(device_code);
    await later(5_000);
    await agent.poll(device_code, { host_signature: 'AAAA' });
    expect(await errorOf(await agent.poll(device_code))).toBe('authorization_pending');
  });

  it.each([
    { grant_type: 'password' },
    { grant_type: undefined },
    { client_id: 'curl' },
    { device_code: undefined },
    { device_code: 7 },
    { device_code: 'x'.repeat(300) },
    { host_signature: undefined },
  ])('that is malformed is an invalid_request: %j', async (more) => {
    const agent = await LoggingIn.make();
    const { device_code } = await agent.ask();
    expect(await errorOf(await agent.poll(device_code, more))).toBe('invalid_request');
  });

  it('is refused after too many codes that nobody was given; an agent with its code goes on', async () => {
    const agent = await LoggingIn.make();
    const { device_code } = await agent.ask();
    const wrong = `dad_${'A'.repeat(43)}`;
    for (let i = 0; i < 20; i++) expect(await errorOf(await agent.poll(wrong))).toBe('invalid_grant');
    expect((await agent.poll(wrong)).status).toBe(429);
    expect(await errorOf(await agent.poll(device_code))).toBe('authorization_pending');
    await later(15 * MINUTE_MS);
    expect(await errorOf(await agent.poll(wrong))).toBe('invalid_grant');
  });

  it('two at once get one credential', async () => {
    const agent = await LoggingIn.make();
    const { device_code, user_code } = await agent.ask();
    await decide('approve', user_code);
    const answers = await Promise.all([agent.poll(device_code), agent.poll(device_code)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
  });

  it('gets nothing for a host that was removed after its approval', async () => {
    const agent = await LoggingIn.make();
    const { device_code, user_code } = await agent.ask();
    const { host_id } = await (await decide('approve', user_code)).json<{ host_id: string }>();
    await asOwner(`/hosts/${host_id}`, { method: 'DELETE' });
    expect(await errorOf(await agent.poll(device_code))).toBe('access_denied');
  });
});

it('pages of other origins cannot start, look up or approve a login', async () => {
  const { user_code } = await (await LoggingIn.make()).ask();
  for (const path of ['code', 'token', 'lookup', 'approve', 'deny']) {
    const headers = { Origin: 'https://evil.example' };
    const response = await post(`${API}/device/${path}`, { user_code }, { token: OWNER, headers });
    expect([path, await codeOf(response)]).toEqual([path, 'E_ORIGIN']);
  }
});

it('agents cannot approve themselves', async () => {
  const { access_token } = await loggedIn();
  const { user_code } = await (await LoggingIn.make()).ask();
  for (const token of [access_token, AGENT]) {
    const response = await post(`${API}/device/approve`, { user_code }, { token });
    expect(await codeOf(response)).toBe('E_FORBIDDEN');
  }
});
