/**
 * Every route, times every credential. The routes come from the router, so one without a decision below fails: whoever
 * adds a route says here who may call it.
 */
import { inspectRoutes } from 'hono/dev';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeBase64url } from '../shared/base64url.ts';
import type { NewWebSession } from './account/web-sessions.ts';
import { edge } from './edge.ts';
import { hashSecret, newSecret } from './secret.ts';
import { AGENT, asPage, type Call, call, forgetGuesses, inAccount, OWNER } from './test-edge.ts';

/** Two hosts that have logged in: the one that requests are for, and another one. */
const hosts = { own: '', other: '' };
const BY = { actor: 'owner', address: null };

// ---- credentials -----------------------------------------------------------------------------

const cookieOf = async (session: Omit<NewWebSession, 'name'>, revoke = false) => {
  const made = await inAccount(async (account) => {
    const made = await account.sessions().create({ ...session, name: 'a browser' });
    if (revoke) account.sessions().end(made.id, 'session.revoke', BY);
    return made;
  });
  return { headers: asPage(made.cookie) };
};
const guestOf = (host: string) => cookieOf({ kind: 'guest', invitation: 'an-invitation', hosts: [host] });

const keyOf = async (host: string, { expired = false, revoked = false } = {}) => {
  const scopes = { hosts: [host], prefixes: null, models: null, requests_per_minute: null };
  const asked = { ...scopes, name: 'a key', expires_at: expired ? Date.now() - 1 : null };
  return inAccount(async (account) => {
    const made = await account.keys().create(asked, BY);
    if (!made.ok) throw new Error(made.code);
    if (revoked) account.keys().revoke(made.value.id, BY);
    return { token: made.value.key };
  });
};

const agentOf = async (host: string, { void: isVoid = false } = {}) => {
  const token = newSecret('dah_');
  const hash = await hashSecret(token);
  await inAccount((account) => {
    account.hosts().credential(host, hash);
    if (isVoid) account.hosts().logout(host, BY);
  });
  return { token };
};

/** Made anew for each call: some calls end the credential that they are made with. */
const CREDENTIALS = {
  none: () => ({}),

  'a wrong token': () => ({ token: 'wrong' }),
  'the owner’s token, but for a letter': () => ({ token: `${OWNER.slice(0, -1)}_` }),
  'no bearer': () => ({ headers: { Authorization: `Basic ${btoa(`owner:${OWNER}`)}` } }),
  'a wrong API key': () => ({ token: newSecret('dak_') }),
  'a revoked API key': () => keyOf(hosts.own, { revoked: true }),
  'an expired API key': () => keyOf(hosts.own, { expired: true }),
  'a wrong host credential': () => ({ token: newSecret('dah_') }),
  'a void host credential': () => agentOf(hosts.own, { void: true }),

  'a wrong cookie': () => ({ headers: asPage(newSecret()) }),
  'an expired cookie': () => cookieOf({ kind: 'owner', expiresAt: Date.now() - 1 }),
  'a revoked cookie': () => cookieOf({ kind: 'owner' }, true),

  'the owner’s cookie, from a foreign page': async () => ({
    headers: { ...(await cookieOf({ kind: 'owner' })).headers, Origin: 'https://evil.example' },
  }),

  'the owner’s token': () => ({ token: OWNER }),
  'the owner’s cookie': () => cookieOf({ kind: 'owner' }),
  'a guest of the host': () => guestOf(hosts.own),
  'a guest of another host': () => guestOf(hosts.other),
  'a key for the host': () => keyOf(hosts.own),
  'a key for another host': () => keyOf(hosts.other),
  AGENT_TOKEN: () => ({ token: AGENT }),
  'the host’s credential': () => agentOf(hosts.own),
  'another host’s credential': () => agentOf(hosts.other),
} as const satisfies Record<string, () => Call | Promise<Call>>;

type Credential = keyof typeof CREDENTIALS;
const NAMES = Object.keys(CREDENTIALS) as Credential[];

const WRONG_BEARERS: readonly Credential[] = [
  'a wrong token',
  'the owner’s token, but for a letter',
  'no bearer',
  'a wrong API key',
  'a revoked API key',
  'an expired API key',
  'a wrong host credential',
  'a void host credential',
];
const WRONG_COOKIES: readonly Credential[] = ['a wrong cookie', 'an expired cookie', 'a revoked cookie'];
const FOREIGN_PAGE: Credential = 'the owner’s cookie, from a foreign page';
const COOKIES: readonly Credential[] = [
  ...WRONG_COOKIES,
  'the owner’s cookie',
  'a guest of the host',
  'a guest of another host',
];

// ---- decisions -------------------------------------------------------------------------------

/** What a call with a credential comes to: `let in` is any answer but 401 and 403. */
type Expected = 'let in' | 'E_UNAUTHORIZED' | 'E_FORBIDDEN' | 'E_ORIGIN';
type Decision = (credential: Credential) => Expected;

/** Nobody but these. */
const only =
  (...admitted: Credential[]): Decision =>
  (credential) => {
    if (admitted.includes(credential)) return 'let in';
    if (credential === FOREIGN_PAGE) return 'E_ORIGIN';
    const isNobody = credential === 'none' || WRONG_BEARERS.includes(credential) || WRONG_COOKIES.includes(credential);
    return isNobody ? 'E_UNAUTHORIZED' : 'E_FORBIDDEN';
  };

/** A cookie is not looked at: whoever comes with one is treated as if without. */
const withoutCookies =
  (decision: Decision): Decision =>
  (credential) =>
    decision(COOKIES.includes(credential) || credential === FOREIGN_PAGE ? 'none' : credential);

/** No credential is looked at. */
const anybody: Decision = () => 'let in';
/** Likewise, but there are no foreign pages that have a use for it. */
const anybodyOfApi: Decision = (credential) => (credential === FOREIGN_PAGE ? 'E_ORIGIN' : 'let in');

const OWNER_ONLY: Credential[] = ['the owner’s token', 'the owner’s cookie'];
const GUESTS: Credential[] = ['a guest of the host', 'a guest of another host'];
const LOGGED_IN: Credential[] = ['the host’s credential', 'another host’s credential'];

const owner = only(...OWNER_ONLY);
const ownerOrGuest = only(...OWNER_ONLY, ...GUESTS);
/** Each sees and makes keys and invitations for itself alone, which api/keys.test.ts and api/invitations.test.ts show. */
const ownerOrHost = only(...OWNER_ONLY, ...LOGGED_IN);
const loggedInHost = only(...LOGGED_IN);
const webSession = only('the owner’s cookie', ...GUESTS);
const client = only(...OWNER_ONLY, 'a guest of the host', 'a key for the host');
const clientOrAgent = only(
  ...OWNER_ONLY,
  'a guest of the host',
  'a key for the host',
  'AGENT_TOKEN',
  'the host’s credential',
);
const agent = withoutCookies(only('AGENT_TOKEN', 'the host’s credential'));
/** The session's id is the credential; who shows another one beside it must be its agent, or might be its client. */
const agentOrSession = withoutCookies(
  only('none', ...OWNER_ONLY, 'a key for the host', 'AGENT_TOKEN', 'the host’s credential'),
);
/** What it is sent must prove who is there, as nothing here does; no other credential helps. */
const proof: Decision = (credential) => (credential === FOREIGN_PAGE ? 'E_ORIGIN' : 'E_UNAUTHORIZED');
/** Says who it is. */
const introduction: Decision = (credential) =>
  WRONG_BEARERS.includes(credential) ? 'E_UNAUTHORIZED' : anybodyOfApi(credential);

const DECISIONS: Readonly<Record<string, Decision>> = {
  'GET /': anybody,
  'GET /_direct/': anybody,
  'GET /_direct/chat': anybody,
  'GET /_direct/approve': anybody,
  'GET /_direct/invite': anybody,
  'GET /_direct/ui/enter': anybody,

  'POST /_direct/api/sign-in': anybodyOfApi,
  'POST /_direct/api/sign-in/passkey/options': anybodyOfApi,
  'POST /_direct/api/sign-in/passkey': proof,
  'POST /_direct/api/invitations/accept': anybodyOfApi,
  'GET /_direct/api/me': introduction,
  'POST /_direct/api/sign-out': webSession,
  'GET /_direct/api/sessions': owner,
  'DELETE /_direct/api/sessions/:id': owner,
  'GET /_direct/api/audit': owner,
  'POST /_direct/api/device/code': anybodyOfApi,
  'POST /_direct/api/device/token': anybodyOfApi,
  'POST /_direct/api/device/lookup': owner,
  'POST /_direct/api/device/approve': owner,
  'POST /_direct/api/device/deny': owner,
  'GET /_direct/api/hosts': ownerOrGuest,
  'PATCH /_direct/api/hosts/:id': owner,
  'DELETE /_direct/api/hosts/:id': owner,
  'GET /_direct/api/hosts/:id/devices': owner,
  'GET /_direct/api/hosts/:id/report': owner,
  'DELETE /_direct/api/hosts/:id/devices/:device': owner,
  'POST /_direct/api/host/logout': loggedInHost,
  // What the edge has, not whose it is: for `doctor` on the host as well.
  'GET /_direct/api/ice': ownerOrHost,
  'GET /_direct/api/keys': ownerOrHost,
  'POST /_direct/api/keys': ownerOrHost,
  'DELETE /_direct/api/keys/:id': ownerOrHost,
  'GET /_direct/api/invitations': ownerOrHost,
  'POST /_direct/api/invitations': ownerOrHost,
  'DELETE /_direct/api/invitations/:id': ownerOrHost,
  'GET /_direct/api/passkeys': owner,
  'POST /_direct/api/passkeys/options': owner,
  'POST /_direct/api/passkeys': owner,
  'DELETE /_direct/api/passkeys/:id': owner,
  'POST /_direct/api/ui/host': ownerOrGuest,
  'POST /_direct/api/ui/code': webSession,
  // There is nothing here.
  'ALL /_direct/api/*': anybodyOfApi,
  'ALL /_direct/*': anybody,

  'GET /_direct/h/:host': clientOrAgent,
  'POST /_direct/h/:host/session': client,
  'GET /_direct/h/:host/signal': agent,
  'GET /_direct/h/:host/signal?session_id=an-id': anybody,
  'POST /_direct/h/:host/signal': agentOrSession,
  'POST /_direct/h/:host/channels': agent,
  // By the session's id.
  'GET /_direct/h/:host/relay': anybody,
  // What is no WebSocket is told so; one is decided about as a request of the tunnel (named-socket.test.ts).
  'GET /_direct/h/:host/socket': anybody,

  // The tunnel.
  'ALL /*': client,
};

/** With these a call that is let in gets no 401 for another reason. */
const BODIES: Readonly<Record<string, unknown>> = {
  'POST /_direct/h/:host/session': undefined,
  'POST /_direct/h/:host/signal': { session_id: 'an-id', type: 'candidate', candidate: null },
};

/** Those of the router; middleware is none. */
const ROUTES = inspectRoutes(edge)
  .filter(({ isMiddleware }) => !isMiddleware)
  .map(({ method, path }) => `${method} ${path}`);

function request(route: string): { path: string; methods: string[]; body: unknown } {
  const [method = '', pattern = ''] = route.split(' ');
  const path = pattern
    .replace(':host', hosts.own)
    .replace(/:\w+/g, 'nothing')
    .replace(/^\/\*$/, '/v1/models')
    .replace('*', 'nothing');
  const methods = method === 'ALL' ? ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] : [method];
  return { path, methods, body: Object.hasOwn(BODIES, route) ? BODIES[route] : {} };
}

async function make(route: string, method: string, { headers, ...options }: Call): Promise<Response> {
  const { path, body } = request(route);
  return call(path, {
    method,
    headers: { 'Direct-Host': hosts.own, ...headers },
    ...(method === 'GET' || method === 'HEAD' ? {} : { body }),
    ...options,
  });
}

const CODE = /"code":"(\w+)"/;

beforeAll(async () => {
  for (const name of ['own', 'other'] as const) {
    const key = encodeBase64url(crypto.getRandomValues(new Uint8Array(32)));
    hosts[name] = (await inAccount((account) => account.hosts().register(key, name, name))).id;
  }
});
beforeEach(forgetGuesses);

it('has a decision for each route, and none for what is no route', () => {
  const decided = Object.keys(DECISIONS).map((route) => route.replace(/\?.*/, ''));
  expect(ROUTES.filter((route) => !decided.includes(route))).toEqual([]);
  expect(decided.filter((route) => !ROUTES.includes(route))).toEqual([]);
});

describe.each(Object.keys(DECISIONS))('%s', (route) => {
  const decision = DECISIONS[route] ?? anybody;

  it('lets in whom it should, and says to all others why not', async () => {
    const got: Partial<Record<string, string>> = {};
    const wanted: Partial<Record<string, string>> = {};
    for (const name of NAMES) {
      for (const method of request(route).methods) {
        const options: Call = await CREDENTIALS[name]();
        const response = await make(route, method, options);
        const text = await response.text();
        const key = `${method} with ${name}`;
        const expected = decision(name);
        wanted[key] = expected;
        const isRefused = response.status === 401 || response.status === 403;
        // HEAD has no body to name the code.
        const code = method === 'HEAD' ? expected : CODE.exec(text)?.[1];
        got[key] = isRefused ? code : 'let in';
        if (isRefused) expect(response.status).toBe(expected === 'E_UNAUTHORIZED' ? 401 : 403);
        for (const secret of [options.token, options.headers?.Cookie?.split('=')[1], OWNER, AGENT]) {
          if (secret !== undefined && secret.length > 20) expect(text).not.toContain(secret);
        }
      }
    }
    expect(got).toEqual(wanted);
  });

  it('opens no WebSocket for a foreign page, whoever its visitor is', async () => {
    for (const name of ['none', 'the owner’s token', 'AGENT_TOKEN', 'a guest of the host'] as const) {
      const { headers, ...options }: Call = await CREDENTIALS[name]();
      const foreign = { ...headers, Upgrade: 'websocket', Origin: 'https://evil.example' };
      const response = await make(route, 'GET', { ...options, headers: foreign });
      expect([response.status, CODE.exec(await response.text())?.[1]]).toEqual([403, 'E_ORIGIN']);
      expect(response.webSocket).toBeNull();
    }
  });

  it('refuses everything while the edge has no secret', async () => {
    for (const name of ['none', 'the owner’s token', 'the owner’s cookie'] as const) {
      for (const method of request(route).methods) {
        const response = await make(route, method, { ...(await CREDENTIALS[name]()), env: { OWNER_TOKEN: undefined } });
        expect(response.status).toBe(503);
        if (method !== 'HEAD') expect(await response.text()).toMatch(/E_NOT_CONFIGURED|OWNER_TOKEN is not set/);
      }
    }
  });
});
