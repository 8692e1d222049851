import { beforeEach, describe, expect, it } from 'vitest';
import type { Passkey } from '../../shared/account-api.ts';
import { API, asOwner, audited, newAddress, setAccountClock } from '../test-account.ts';
import { Authenticator, type Ceremony } from '../test-authenticator.ts';
import { call, codeOf, post } from '../test-edge.ts';

const SITE = { origin: 'https://edge.example', rpID: 'edge.example' };
const MINUTE_MS = 60_000;

beforeEach(() => setAccountClock(0));

interface Options {
  challenge: string;
}
const registrationOptions = async () =>
  (await asOwner('/passkeys/options', { method: 'POST' })).json<Options & Record<string, unknown>>();
const tryToAdd = (response: unknown, name: unknown = 'Phone') =>
  asOwner('/passkeys', { method: 'POST', body: { name, response } });
/** An authenticator with a passkey that is registered. */
async function registered(name = 'Phone', more: Partial<Ceremony> = {}) {
  const authenticator = await Authenticator.make();
  const { challenge } = await registrationOptions();
  const response = await tryToAdd(await authenticator.create({ ...SITE, challenge, ...more }), name);
  if (response.status !== 201) throw new Error(await response.text());
  return { authenticator, ...(await response.json<Passkey>()) };
}
const signInOptions = async (address = newAddress()) => {
  const response = await post(`${API}/sign-in/passkey/options`, undefined, {
    headers: { 'CF-Connecting-IP': address },
  });
  return response.json<Options & Record<string, unknown>>();
};
const tryToSignIn = (response: unknown) => post(`${API}/sign-in/passkey`, { response });
async function signIn(authenticator: Authenticator, more: Partial<Ceremony> = {}): Promise<Response> {
  const { challenge } = await signInOptions();
  return tryToSignIn(await authenticator.get({ ...SITE, challenge, ...more }));
}
const listed = async () => (await (await asOwner('/passkeys')).json<{ passkeys: Passkey[] }>()).passkeys;
const me = async () => (await call(`${API}/me`)).json<{ passkeys: boolean }>();

it('nobody can sign in by passkey before there is one', async () => {
  expect(await me()).toMatchObject({ passkeys: false });
  expect(await codeOf(await post(`${API}/sign-in/passkey/options`))).toBe('E_NOT_FOUND');
});

describe('registration', () => {
  it('asks for a discoverable passkey that verifies its user, without attestation', async () => {
    expect(await registrationOptions()).toMatchObject({
      challenge: expect.stringMatching(/^[\w-]{43}$/),
      rp: { id: 'edge.example' },
      user: { id: 'b3duZXI', name: 'owner' },
      attestation: 'none',
      authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
    });
  });

  it('adds several, lists them, and tells authenticators which there are', async () => {
    const first = await registered('Phone');
    const second = await registered('Key ring');
    expect(first).toMatchObject({ name: 'Phone', created_at: expect.any(Number), last_used_at: null });
    expect((await listed()).map(({ id }) => id)).toEqual(expect.arrayContaining([first.id, second.id]));
    expect(await me()).toMatchObject({ passkeys: true });
    expect(await audited(1)).toEqual([{ action: 'passkey.add', detail: 'Key ring' }]);
    const { excludeCredentials } = (await registrationOptions()) as { excludeCredentials?: { id: string }[] };
    expect(excludeCredentials?.map(({ id }) => id)).toEqual(
      expect.arrayContaining([first.authenticator.id, second.authenticator.id]),
    );
  });

  it.each([
    ['a page of another origin', { origin: 'https://evil.example' }],
    ['another port', { origin: 'https://edge.example:8443' }],
    ['plain HTTP', { origin: 'http://edge.example' }],
    ['another site’s id', { rpID: 'example' }],
    ['a challenge that nobody made', { challenge: 'A'.repeat(43) }],
    ['the other ceremony', { type: 'webauthn.get' }],
    ['nobody present', { userPresent: false }],
    ['a user who is not verified', { userVerified: false }],
  ])('refuses %s', async (_name, more) => {
    const { challenge } = await registrationOptions();
    const response = await tryToAdd(await (await Authenticator.make()).create({ ...SITE, challenge, ...more }));
    expect([response.status, await codeOf(response)]).toEqual([400, 'E_BAD_REQUEST']);
  });

  it('takes a challenge once, even for a wrong answer', async () => {
    const { challenge } = await registrationOptions();
    const authenticator = await Authenticator.make();
    const wrong = await authenticator.create({ ...SITE, challenge, origin: 'https://evil.example' });
    expect((await tryToAdd(wrong)).status).toBe(400);
    expect((await tryToAdd(await authenticator.create({ ...SITE, challenge }))).status).toBe(400);
  });

  it('takes a challenge for five minutes', async () => {
    const { challenge } = await registrationOptions();
    await setAccountClock(5 * MINUTE_MS);
    expect((await tryToAdd(await (await Authenticator.make()).create({ ...SITE, challenge }))).status).toBe(400);
  });

  it('takes no challenge of a sign-in, which anybody gets', async () => {
    await registered();
    const { challenge } = await signInOptions();
    expect((await tryToAdd(await (await Authenticator.make()).create({ ...SITE, challenge }))).status).toBe(400);
  });

  it('adds none twice', async () => {
    const { authenticator } = await registered();
    const { challenge } = await registrationOptions();
    expect((await tryToAdd(await authenticator.create({ ...SITE, challenge }))).status).toBe(400);
  });

  it.each([undefined, null, 7, 'text', {}, { id: 'x', rawId: 'x', type: 'public-key', response: {} }])(
    'refuses what is no answer: %j',
    async (response) => {
      expect(await codeOf(await tryToAdd(response))).toBe('E_BAD_REQUEST');
    },
  );

  it('needs a name', async () => {
    const { challenge } = await registrationOptions();
    const response = await tryToAdd(await (await Authenticator.make()).create({ ...SITE, challenge }), ' ');
    expect(await codeOf(response)).toBe('E_BAD_REQUEST');
  });
});

describe('sign-in', () => {
  it('needs no user name', async () => {
    await registered();
    const options = await signInOptions();
    expect(options).toMatchObject({ rpId: 'edge.example', userVerification: 'required' });
    expect(options.allowCredentials).toBeUndefined();
  });

  it('makes an owner of the browser', async () => {
    const { authenticator, id } = await registered('Tablet');
    const response = await signIn(authenticator);
    expect(response.status).toBe(204);
    const cookie = response.headers.get('Set-Cookie') ?? '';
    expect(cookie).toMatch(/^__Host-direct_agent=[\w-]{43};.*HttpOnly.*Secure.*SameSite=Strict/i);
    const headers = { Cookie: cookie.split(';')[0] ?? '', 'Sec-Fetch-Site': 'same-origin' };
    expect(await (await call(`${API}/me`, { headers })).json()).toMatchObject({ kind: 'owner' });
    expect((await listed()).find((one) => one.id === id)?.last_used_at).toEqual(expect.any(Number));
    expect(await audited(1)).toEqual([{ action: 'sign-in', detail: 'with passkey Tablet, a browser' }]);
  });

  it.each([
    ['a page of another origin', { origin: 'https://evil.example' }],
    ['another site’s id', { rpID: 'evil.example' }],
    ['a challenge that nobody made', { challenge: 'A'.repeat(43) }],
    ['the other ceremony', { type: 'webauthn.create' }],
    ['nobody present', { userPresent: false }],
    ['a user who is not verified', { userVerified: false }],
  ])('refuses %s', async (_name, more) => {
    const { authenticator } = await registered();
    const response = await signIn(authenticator, more);
    expect([response.status, await codeOf(response)]).toEqual([401, 'E_UNAUTHORIZED']);
    expect(response.headers.get('Set-Cookie')).toBeNull();
    expect((await signIn(authenticator)).status).toBe(204);
  });

  it('refuses an answer that was used', async () => {
    const { authenticator } = await registered();
    const { challenge } = await signInOptions();
    const answer = await authenticator.get({ ...SITE, challenge });
    expect((await tryToSignIn(answer)).status).toBe(204);
    expect((await tryToSignIn(answer)).status).toBe(401);
    // Nor does the challenge serve for another answer.
    expect((await tryToSignIn(await authenticator.get({ ...SITE, challenge }))).status).toBe(401);
  });

  it('takes one of two answers to a challenge that come at once', async () => {
    const { authenticator } = await registered();
    const { challenge } = await signInOptions();
    const answers = await Promise.all([1, 2].map(() => authenticator.get({ ...SITE, challenge })));
    const statuses = await Promise.all(answers.map(async (answer) => (await tryToSignIn(answer)).status));
    expect(statuses.sort()).toEqual([204, 401]);
  });

  it('refuses an answer after five minutes', async () => {
    const { authenticator } = await registered();
    const { challenge } = await signInOptions();
    await setAccountClock(5 * MINUTE_MS);
    expect((await tryToSignIn(await authenticator.get({ ...SITE, challenge }))).status).toBe(401);
  });

  it('refuses another key under a known id', async () => {
    const { authenticator } = await registered();
    const other = await Authenticator.make();
    const { challenge } = await signInOptions();
    const forged = { ...(await other.get({ ...SITE, challenge })), id: authenticator.id, rawId: authenticator.id };
    expect((await tryToSignIn(forged)).status).toBe(401);
  });

  it('refuses a counter that goes back or stands still: there is a copy', async () => {
    const { authenticator } = await registered('Key', { counter: 5 });
    expect((await signIn(authenticator, { counter: 7 })).status).toBe(204);
    expect((await signIn(authenticator, { counter: 7 })).status).toBe(401);
    expect((await signIn(authenticator, { counter: 6 })).status).toBe(401);
    expect((await signIn(authenticator, { counter: 0 })).status).toBe(401);
    expect((await signIn(authenticator, { counter: 8 })).status).toBe(204);
  });

  it('refuses a passkey that was removed; its sessions stay', async () => {
    const { authenticator, id } = await registered('Old phone');
    const signedIn = await signIn(authenticator);
    expect((await asOwner(`/passkeys/${id}`, { method: 'DELETE' })).status).toBe(204);
    expect(await audited(1)).toEqual([{ action: 'passkey.remove', detail: 'Old phone' }]);
    await registered();
    expect((await signIn(authenticator)).status).toBe(401);
    const cookie = signedIn.headers.get('Set-Cookie')?.split(';')[0] ?? '';
    const headers = { Cookie: cookie, 'Sec-Fetch-Site': 'same-origin' };
    expect(await (await call(`${API}/me`, { headers })).json()).toMatchObject({ kind: 'owner' });
    expect((await asOwner(`/passkeys/${id}`, { method: 'DELETE' })).status).toBe(404);
  });

  it('keeps ten challenges of an address: another’s flood ends nobody’s sign-in', async () => {
    const { authenticator } = await registered();
    const mine = await signInOptions();
    const flood = newAddress();
    const first = await signInOptions(flood);
    for (let i = 0; i < 10; i++) await signInOptions(flood);
    const answer = ({ challenge }: Options) => authenticator.get({ ...SITE, challenge });
    expect((await tryToSignIn(await answer(first))).status).toBe(401);
    expect((await tryToSignIn(await answer(mine))).status).toBe(204);
  });

  it.each([undefined, null, 7, 'text', [], {}, { id: 7 }, { id: 'x' }])(
    'refuses what is no answer: %j',
    async (response) => {
      expect(await codeOf(await tryToSignIn(response))).toBe('E_UNAUTHORIZED');
    },
  );
});
