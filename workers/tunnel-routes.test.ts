import { beforeEach, describe, expect, it } from 'vitest';
import type { RequestHead } from '../shared/head.ts';
import { hashSecret, newSecret } from './secret.ts';
import { echoPath, TestAgent } from './test-agent.ts';
import {
  AGENT,
  agentSocket,
  answer,
  base,
  type Call,
  call,
  clientPoll,
  codeOf,
  inAccount,
  newHost,
  newSession,
  OWNER,
  openSocket,
  post,
  SDP,
  signedIn,
} from './test-edge.ts';

const BY = { actor: 'owner', address: null };

/** Registers a host with an id that nobody else has. */
async function register(): Promise<string> {
  const name = newHost();
  return (await inAccount((account) => account.hosts().register(crypto.randomUUID(), name, name))).id;
}

const forgetHosts = () => inAccount((_account, sql) => void sql.exec('DELETE FROM hosts'));

async function keyFor(hosts: string[] | null): Promise<string> {
  const scopes = { hosts, prefixes: null, models: null, expires_at: null, requests_per_minute: null };
  const made = await inAccount((account) => account.keys().create({ ...scopes, name: 'a key' }, BY));
  if (!made.ok) throw new Error(made.code);
  return made.value.key;
}

async function credentialOf(host: string): Promise<string> {
  const token = newSecret('dah_');
  const hash = await hashSecret(token);
  await inAccount((account) => account.hosts().credential(host, hash));
  return token;
}

beforeEach(forgetHosts);

describe('a request that names no host', () => {
  /** Which of these hosts a request reaches: each one’s agent answers with the host’s name. */
  async function reached(hosts: string[], options: Call): Promise<string> {
    for (const host of hosts) {
      await TestAgent.connect(host, async (exchange) => {
        await exchange.sendHead({ status: 200, statusText: '', headers: [] });
        await exchange.sendData(new TextEncoder().encode(host));
        exchange.finish();
      });
    }
    return (await call('/v1/models', options)).text();
  }

  it('goes to DEFAULT_HOST before any other, and the field before that', async () => {
    const [set, only, named] = [newHost(), await register(), newHost()];
    const env = { DEFAULT_HOST: set };
    const hosts = [set, only, named];
    expect(await reached(hosts, { token: OWNER, env })).toBe(set);
    expect(await reached(hosts, { token: OWNER, env, headers: { 'Direct-Host': named } })).toBe(named);
  });

  it('goes to the only host of its caller', async () => {
    const [mine, other] = [await register(), await register()];
    expect(await reached([mine, other], { token: await keyFor([mine]) })).toBe(mine);
    expect(await reached([mine, other], { headers: await signedIn([other]) })).toBe(other);
  });

  it('goes to the only host of the account', async () => {
    const only = await register();
    for (const token of [OWNER, await keyFor(null)]) expect(await reached([only], { token })).toBe(only);
    expect(await reached([only], { headers: await signedIn() })).toBe(only);
  });

  it('goes to “home” where there is none, or more than one', async () => {
    const more: string[] = [];
    for (let n = 0; n < 3; n++) {
      if (n > 0) more.push(await register());
      const expected = n === 1 ? more[0] : 'home';
      expect(await reached(['home', ...more], { token: OWNER })).toBe(expected);
    }
  });
});

describe('what reaches the host', () => {
  /** Heads of the requests that `host` gets, which sets a cookie. */
  async function heads(host: string): Promise<RequestHead[]> {
    const asked: RequestHead[] = [];
    await TestAgent.connect(host, async (exchange, head) => {
      asked.push(head);
      await exchange.sendHead({ status: 200, statusText: '', headers: [['set-cookie', 'login=evil; Path=/']] });
      await exchange.sendData(new TextEncoder().encode('body'));
      exchange.finish();
    });
    return asked;
  }

  it('has no cookie and no token of ours in it', async () => {
    const host = newHost();
    const asked = await heads(host);
    const { Cookie = '' } = await signedIn();
    await call('/v1/x', { token: OWNER, headers: { Cookie: `${Cookie}; theirs=1`, 'Direct-Host': host } });
    const text = JSON.stringify(asked[0]);
    expect(text).toContain('["cookie","theirs=1"]');
    for (const secret of [Cookie.split('=')[1], OWNER]) expect(text).not.toContain(secret);
  });

  it('takes no cookies from a browser, which has those of other hosts, nor sets any there', async () => {
    const host = newHost();
    const asked = await heads(host);
    const { Cookie = '', ...page } = await signedIn();
    const cookies = { Cookie: `${Cookie}; login=other-ui`, 'Direct-Host': host };
    const browsers = [
      { headers: { ...page, ...cookies } },
      { token: OWNER, headers: { ...cookies, 'Sec-Fetch-Site': 'same-origin' } },
    ];
    for (const options of browsers) {
      const response = await call('/v1/x', options);
      expect([response.status, response.headers.getSetCookie(), await response.text()]).toEqual([200, [], 'body']);
    }
    expect(asked.map(({ headers }) => headers.filter(([name]) => name === 'cookie'))).toEqual([[], []]);
  });

  it('comes back in a sandbox', async () => {
    const host = newHost();
    await TestAgent.connect(host, echoPath);
    const response = await call('/v1/page', { token: OWNER, headers: { 'Direct-Host': host } });
    expect(response.headers.get('Content-Security-Policy')).toBe('sandbox');
    expect(response.headers.get('X-Content-Type-Options')).toBe('nosniff');
    expect(await response.text()).toBe('/v1/page');
  });
});

it('the agent hears whose offer it is', async () => {
  const host = await register();
  const agent = await agentSocket(host);
  const scopes = { hosts: [host], prefixes: ['/v1/'], models: ['a'], expires_at: null, requests_per_minute: 5 };
  const key = await inAccount((account) => account.keys().create({ ...scopes, name: 'a key' }, BY));
  if (!key.ok) throw new Error(key.code);
  const limits = { prefixes: ['/v1/'], models: ['a'], requests_per_minute: 5 };
  const callers: [Call, object][] = [
    [{ token: OWNER }, { subject: 'owner' }],
    [{ headers: await signedIn() }, { subject: expect.stringMatching(/^session:/) }],
    [{ headers: await signedIn([host]) }, { subject: 'invitation:invited', browser: expect.stringMatching(/./) }],
    [{ token: key.value.key }, { subject: `key:${key.value.id}`, ...limits }],
    [{ env: { OPEN_HOSTS: host } }, { subject: 'anonymous' }],
  ];
  for (const [options, grant] of callers) {
    await newSession(host, { offer: SDP }, options);
    expect(await agent.next()).toMatchObject({ type: 'offer', grant });
  }
});

it('the agent hears with each offer whether the owner has switched its web UI on', async () => {
  const host = await register();
  const agent = await agentSocket(host);
  const webUiOf = async () => {
    await newSession(host, { offer: SDP }, { headers: await signedIn([host]) });
    const { grant } = (await agent.next()) as { grant: { web_ui?: unknown } };
    return grant.web_ui;
  };
  expect(await webUiOf()).toBeUndefined();
  await inAccount((account) => account.hosts().change(host, { web_ui: true }, BY));
  expect(await webUiOf()).toBe(true);
  await inAccount((account) => account.hosts().change(host, { web_ui: false }, BY));
  expect(await webUiOf()).toBeUndefined();
});

describe('an agent that has logged in', () => {
  it('serves its own host and no other', async () => {
    const [mine, other] = [await register(), await register()];
    const token = await credentialOf(mine);
    const socket = await openSocket(`${base(mine)}/signal`, { token });
    expect(await socket.next()).toMatchObject({ type: 'ready', host: mine });
    for (const Upgrade of ['websocket', '']) {
      const response = await call(`${base(other)}/signal`, { token, headers: Upgrade === '' ? {} : { Upgrade } });
      expect([response.status, await codeOf(response)]).toEqual([403, 'E_FORBIDDEN']);
    }
    const presence = await call(base(other), { token: OWNER });
    expect(await presence.json()).toMatchObject({ online: false });
  });

  it('answers for its own host and no other', async () => {
    const [mine, other] = [await register(), await register()];
    await agentSocket(mine);
    const { session_id } = await newSession(mine, { offer: SDP });
    const foreign = await post(`${base(mine)}/signal`, answer(session_id), { token: await credentialOf(other) });
    expect([foreign.status, await codeOf(foreign)]).toEqual([403, 'E_FORBIDDEN']);
    const announced = { type: 'announce', announcement: {} };
    const announce = await post(`${base(mine)}/signal`, announced, { token: await credentialOf(other) });
    expect(announce.status).toBe(403);
    expect((await post(`${base(mine)}/signal`, answer(session_id), { token: await credentialOf(mine) })).status).toBe(
      204,
    );
    expect(await clientPoll(mine, session_id)).toEqual({ status: 200, body: answer(session_id) });
  });

  it('is not let in once its credential is replaced', async () => {
    const host = await register();
    const old = await credentialOf(host);
    await credentialOf(host);
    expect((await call(`${base(host)}/signal`, { token: old })).status).toBe(401);
    expect((await call(`${base(host)}/signal`, { token: AGENT })).status).toBe(204);
  });
});
