import { expect, it } from 'vitest';
import { turnConfigurations, turnUser } from './providers.ts';
import { type TurnSettings, turnSettings } from './settings.ts';
import { API_KEY, CLOUDFLARE, COTURN, KEY_ID, METERED, SECRET, SECRETS, TOKEN } from './test-turn-api.ts';

const NONE: TurnSettings = { ttlSeconds: 3600, forOpenHosts: false };

it('has no provider unless one is set up', () => {
  expect(turnSettings({})).toEqual(NONE);
  expect(turnSettings({ TURN_URLS: ' ', METERED_APP_NAME: '\n', TURN_TTL: '' })).toEqual(NONE);
});

it('takes all of them, as people paste them', () => {
  const coturn = { TURN_URLS: ' turn:a.example , turns:b.example:443?transport=tcp,', TURN_SECRET: `${SECRET}\n` };
  const metered = { METERED_APP_NAME: 'My-App', METERED_API_KEY: `${API_KEY}\n`, METERED_REGION: 'us_west' };
  const more = { TURN_TTL: '5', OPEN_HOSTS_TURN: 'Yes' };
  expect(turnSettings({ ...CLOUDFLARE, ...metered, ...coturn, ...more })).toEqual({
    cloudflare: { keyId: KEY_ID, token: TOKEN },
    metered: { app: 'my-app', apiKey: API_KEY, region: 'us_west' },
    coturn: { urls: ['turn:a.example', 'turns:b.example:443?transport=tcp'], secret: SECRET },
    ttlSeconds: 5,
    forOpenHosts: true,
  });
});

it.each<[string, Parameters<typeof turnSettings>[0], RegExp]>([
  ['a token alone', { CLOUDFLARE_TURN_KEY_TOKEN: TOKEN }, /^CLOUDFLARE_TURN_KEY_ID must be set too/],
  ['an id alone', { CLOUDFLARE_TURN_KEY_ID: KEY_ID }, /^CLOUDFLARE_TURN_KEY_TOKEN must be set too/],
  ['an id that leads elsewhere', { ...CLOUDFLARE, CLOUDFLARE_TURN_KEY_ID: '../x' }, /^CLOUDFLARE_TURN_KEY_ID must be/],
  ['a token of two lines', { ...CLOUDFLARE, CLOUDFLARE_TURN_KEY_TOKEN: `a\n${TOKEN}` }, /^CLOUDFLARE_TURN_KEY_TOKEN m/],
  ['an app alone', { METERED_APP_NAME: 'my-app' }, /^METERED_API_KEY must be set too/],
  ['an API key alone', { METERED_API_KEY: API_KEY }, /^METERED_APP_NAME must be set too/],
  ['a region alone', { METERED_REGION: 'europe' }, /^METERED_APP_NAME and METERED_API_KEY must be set too/],
  ...['evil.example/', 'a.b', 'a@b', 'a/b', 'a?b', 'a#b', '-a', 'a-', 'a:b', 'a%2fb', 'a'.repeat(64)].map(
    (METERED_APP_NAME) =>
      [`the app ${METERED_APP_NAME}`, { ...METERED, METERED_APP_NAME }, /^METERED_APP_NAME must be/] as [
        string,
        Parameters<typeof turnSettings>[0],
        RegExp,
      ],
  ),
  ['a region that is none', { ...METERED, METERED_REGION: 'eu&x=1' }, /^METERED_REGION must be/],
  ['TURN servers without a secret', { TURN_URLS: 'turn:t.example' }, /^TURN_SECRET must be set too/],
  ['a secret without servers', { TURN_SECRET: SECRET }, /^TURN_URLS must be set too/],
  ['a STUN server among them', { ...COTURN, TURN_URLS: 'turn:t.example,stun:t.example' }, /^TURN_URLS must be/],
  ['what is no URL', { ...COTURN, TURN_URLS: 't.example' }, /^TURN_URLS must be/],
  ['commas alone', { ...COTURN, TURN_URLS: ', ,' }, /^TURN_URLS must be/],
  ['port 53', { ...COTURN, TURN_URLS: 'turn:t.example,turn:t.example:53?transport=udp' }, /^TURN_URLS must not use/],
  ['17 servers', { ...COTURN, TURN_URLS: Array(17).fill('turn:t.example').join() }, /^TURN_URLS must be at most 16/],
  ['a secret that can be guessed', { ...COTURN, TURN_SECRET: 'x'.repeat(15) }, /^TURN_SECRET has fewer than 16/],
  ...['0', '172801', '-1', '1.5', '1h', '1e3'].map(
    (TURN_TTL) =>
      [`a life of ${TURN_TTL}`, { TURN_TTL }, /^TURN_TTL must be a whole number of seconds from 1 to 172800/] as [
        string,
        Parameters<typeof turnSettings>[0],
        RegExp,
      ],
  ),
  ['a maybe', { OPEN_HOSTS_TURN: 'maybe' }, /^OPEN_HOSTS_TURN must be “yes” or “no”/],
])('fails closed with %s, and names no value', (_name, env, detail) => {
  let thrown: unknown;
  try {
    turnSettings(env);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: 'E_NOT_CONFIGURED', detail: expect.stringMatching(detail) });
  for (const secret of [...SECRETS, 'evil']) expect(JSON.stringify(thrown)).not.toContain(secret);
});

it('tells configurations apart by every variable, and shows none of them', async () => {
  const idsOf = async (env: Parameters<typeof turnSettings>[0], ownerToken = 'owner') =>
    (await turnConfigurations(turnSettings(env), ownerToken)).map(({ id }) => id);
  const all = { ...CLOUDFLARE, ...METERED, ...COTURN };
  const ids = await idsOf(all);
  expect(await idsOf(all)).toEqual(ids);
  expect(new Set(ids).size).toBe(3);
  const changes = [
    { CLOUDFLARE_TURN_KEY_ID: 'another' },
    { CLOUDFLARE_TURN_KEY_TOKEN: 'another-token' },
    { METERED_APP_NAME: 'another' },
    { METERED_API_KEY: 'another' },
    { METERED_REGION: 'europe' },
    { TURN_URLS: 'turn:another.example' },
    { TURN_SECRET: 'another-secret-of-coturn' },
  ];
  for (const change of changes) {
    const changed = await idsOf({ ...all, ...change });
    expect(changed.filter((id) => ids.includes(id))).toHaveLength(2);
  }
  for (const others of [await idsOf({ ...all, TURN_TTL: '60' }), await idsOf(all, 'another owner')]) {
    expect(others.filter((id) => ids.includes(id))).toEqual([]);
  }
  for (const id of ids) expect(id).toMatch(/^[\w-]{16}$/);
});

it('names users in a way that leads back to nobody', async () => {
  const [owner, key, again, elsewhere] = await Promise.all([
    turnUser('owner', 'token'),
    turnUser('key:abc', 'token'),
    turnUser('owner', 'token'),
    turnUser('owner', 'another token'),
  ]);
  expect(owner).toMatch(/^[\w-]{16}$/);
  expect(again).toBe(owner);
  expect(new Set([owner, key, elsewhere]).size).toBe(3);
});
