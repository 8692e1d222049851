import { describe, expect, it } from 'vitest';
import type { CachedTurn } from './account/turn-credentials.ts';
import { type IceAsked, resolveIce } from './ice-resolution.ts';

const STUN = { urls: ['stun:s.example'] };
const TURN = { urls: ['turn:t.example'], username: 'u', credential: 'c' };
const DEFAULT = { urls: ['stun:stun.cloudflare.com:3478'] };
const MADE: CachedTurn = { source: 'metered', servers: [TURN], expiresAt: 99 };
const OWN = [{ urls: ['turn:192.168.0.1:22'], username: 'own', credential: 'own' }];

/** Resolves, and says how often a provider was asked. */
async function resolve(
  more: Partial<Omit<IceAsked, 'settings' | 'turn'>> & Partial<IceAsked['settings']> = {},
  made?: CachedTurn,
) {
  let asked = 0;
  const { iceServers, turn = { ttlSeconds: 60, forOpenHosts: false }, ...caller } = more;
  const resolved = await resolveIce({
    settings: { iceServers, turn },
    own: undefined,
    isOwner: false,
    isAnonymous: false,
    turn: async () => {
      asked++;
      return made;
    },
    ...caller,
  });
  return { ...resolved, asked };
}

const forOpenHosts = { turn: { ttlSeconds: 60, forOpenHosts: true } };

describe('the order', () => {
  it('the client’s own, before all', async () => {
    const { client, asked } = await resolve({ own: OWN, isOwner: true, iceServers: [STUN] }, MADE);
    expect(client).toEqual({ servers: OWN, source: 'client' });
    expect(asked).toBe(0);
  });

  it('the configuration, which keeps providers unasked', async () => {
    for (const iceServers of [[STUN, TURN], [STUN], []]) {
      expect(await resolve({ iceServers }, MADE)).toEqual({
        client: { servers: iceServers, source: 'configuration' },
        agent: iceServers,
        asked: 0,
      });
    }
  });

  it('a TURN provider, with a STUN server in any case', async () => {
    const servers = [DEFAULT, TURN];
    expect(await resolve({}, MADE)).toEqual({
      client: { servers, source: 'metered', expiresAt: 99 },
      agent: servers,
      asked: 1,
    });
    const ofProvider = await resolve({}, { source: 'cloudflare', servers: [STUN, TURN], expiresAt: null });
    expect(ofProvider.client).toEqual({ servers: [STUN, TURN], source: 'cloudflare' });
  });

  it('the default', async () => {
    expect((await resolve()).client).toEqual({ servers: [DEFAULT], source: 'default' });
  });
});

describe('who has no credential', () => {
  it('gets STUN alone, and nothing is made for them', async () => {
    const { client, agent, asked } = await resolve({ isAnonymous: true }, MADE);
    expect([client, agent, asked]).toEqual([{ servers: [DEFAULT], source: 'default' }, [DEFAULT], 0]);
    const configured = await resolve({
      isAnonymous: true,
      iceServers: [{ ...TURN, urls: [...STUN.urls, ...TURN.urls] }],
    });
    expect(configured.client).toEqual({ servers: [STUN], source: 'configuration' });
    expect(configured.agent).toEqual([STUN]);
  });

  it('gets what all get if the owner says so', async () => {
    const { client } = await resolve({ isAnonymous: true, ...forOpenHosts }, MADE);
    expect(client.source).toBe('metered');
    const configured = await resolve({ isAnonymous: true, iceServers: [TURN], ...forOpenHosts });
    expect(configured.client.servers).toEqual([TURN]);
  });
});

describe('the agent', () => {
  it('uses servers that the owner’s client brings', async () => {
    expect((await resolve({ own: OWN, isOwner: true })).agent).toEqual(OWN);
    expect((await resolve({ own: [], isOwner: true })).agent).toEqual([]);
  });

  it('uses those of nobody else, but what it would have got', async () => {
    expect(await resolve({ own: OWN }, MADE)).toMatchObject({ client: { servers: OWN }, agent: [DEFAULT, TURN] });
    expect((await resolve({ own: OWN, iceServers: [STUN] })).agent).toEqual([STUN]);
    const anonymous = await resolve({ own: OWN, isAnonymous: true }, MADE);
    expect([anonymous.agent, anonymous.asked]).toEqual([[DEFAULT], 0]);
  });
});
