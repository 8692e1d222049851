import { beforeEach, describe, expect, it } from 'vitest';
import { hashSecret } from '../secret.ts';
import { inAccount, passTime } from '../test-edge.ts';
import type { NewWebSession } from './web-sessions.ts';

const DAY_MS = 24 * 60 * 60_000;
const OWNER: NewWebSession = { kind: 'owner', name: 'Firefox on Linux' };
const BY = { actor: 'owner', address: '192.0.2.1' };

const create = (session: NewWebSession = OWNER) => inAccount((account) => account.sessions().create(session));
const who = async (cookie: string) => {
  const hash = await hashSecret(cookie);
  return inAccount((account) => account.sessions().authenticate(hash));
};
const list = () => inAccount((account) => account.sessions().list());

beforeEach(() => inAccount((_account, sql) => void sql.exec('DELETE FROM web_sessions')));

describe('a web session', () => {
  it('is known by its cookie, of which nothing is kept, and by nothing else', async () => {
    const { id, cookie } = await create();
    expect(cookie).toMatch(/^[\w-]{43}$/);
    expect(await who(cookie)).toEqual({ kind: 'owner', session: id });
    for (const other of [id, await hashSecret(cookie), cookie.toLowerCase(), ''])
      expect(await who(other)).toBeUndefined();
    const stored = await inAccount((_account, sql) => JSON.stringify(sql.exec('SELECT * FROM web_sessions').toArray()));
    expect(stored).not.toContain(cookie);
  });

  it('of a guest says which hosts, by which invitation', async () => {
    const { id, cookie } = await create({ ...OWNER, kind: 'guest', invitation: 'i', hosts: ['home', 'lab'] });
    expect(await who(cookie)).toEqual({ kind: 'guest', session: id, invitation: 'i', hosts: ['home', 'lab'] });
  });

  it('ends after 30 days, however busy it was', async () => {
    const { cookie, expiresAt } = await create();
    expect(expiresAt - (await inAccount((account) => account.now()))).toBeGreaterThan(30 * DAY_MS - 60_000);
    for (let day = 0; day < 29; day++) {
      await passTime(DAY_MS);
      expect(await who(cookie)).toBeDefined();
    }
    await passTime(DAY_MS);
    expect(await who(cookie)).toBeUndefined();
    expect(await list()).toEqual([]);
  });

  it('ends after 7 days without use', async () => {
    const { cookie } = await create();
    await passTime(7 * DAY_MS - 1000);
    expect(await who(cookie)).toBeDefined();
    await passTime(7 * DAY_MS);
    expect(await who(cookie)).toBeUndefined();
  });

  it('ends when it was told to, at the latest', async () => {
    const now = await inAccount((account) => account.now());
    const { cookie, expiresAt } = await create({ ...OWNER, expiresAt: now + DAY_MS });
    expect(expiresAt).toBe(now + DAY_MS);
    await passTime(DAY_MS);
    expect(await who(cookie)).toBeUndefined();
  });

  it('is ended by its id, which says where it was used', async () => {
    const [{ id, cookie }, other] = [await create(), await create()];
    await inAccount(async (account) => {
      for (const host of ['home', 'lab', 'home']) await account.sessions().uses(id, host);
    });
    const end = () => inAccount((account) => account.sessions().end(id, 'session.revoke', BY));
    expect(await end()).toEqual({ ok: true, value: ['home', 'lab'] });
    expect(await who(cookie)).toBeUndefined();
    expect(await who(other.cookie)).toBeDefined();
    expect(await end()).toMatchObject({ ok: false, code: 'E_NOT_FOUND' });
    const [event] = await inAccount((account) => account.audit().list(1));
    expect(event).toMatchObject({ ...BY, action: 'session.revoke', detail: OWNER.name });
  });

  it('that ends by itself is ended at the hosts that it used, once', async () => {
    const [{ id }, unused] = [await create(), await create()];
    const expired = (told: boolean) =>
      inAccount((account) => {
        const ends = account.sessions().expired(account.now());
        if (told) account.sessions().told(account.now());
        return ends;
      });
    await inAccount((account) => account.sessions().uses(id, 'home'));
    // The object is woken for it.
    const alarm = await inAccount((account, _sql, storage) => Promise.all([storage.getAlarm(), account.now()]));
    expect(alarm[0]).not.toBeNull();
    expect((alarm[0] ?? 0) - alarm[1]).toBeLessThanOrEqual(7 * DAY_MS);
    await passTime(7 * DAY_MS - 60_000);
    expect(await expired(true)).toEqual([]);
    await passTime(60_000);
    // Nor does anything else forget it before the hosts know.
    await create();
    for (const told of [false, true])
      expect(await expired(told)).toEqual([{ subject: `session:${id}`, hosts: ['home'] }]);
    expect(await expired(false)).toEqual([]);
    expect((await list()).map((session) => session.id)).not.toContain(unused.id);
  });

  it('of an invitation ends with it', async () => {
    const guest: NewWebSession = { ...OWNER, kind: 'guest', hosts: ['home'] };
    const [a, b, c] = [
      await create({ ...guest, invitation: 'a' }),
      await create({ ...guest, invitation: 'b' }),
      await create(),
    ];
    await inAccount((account) => account.sessions().endOf('a'));
    expect(await Promise.all([a, b, c].map(async ({ cookie }) => (await who(cookie)) !== undefined))).toEqual([
      false,
      true,
      true,
    ]);
  });

  it('makes room when there are 200: the one that was not seen for longest goes', async () => {
    const first = await create();
    await passTime(60 * 60_000);
    const second = await create();
    for (let n = 0; n < 199; n++) await create();
    expect([await who(first.cookie), (await list()).length]).toEqual([undefined, 200]);
    expect(await who(second.cookie)).toBeDefined();
  });

  it('writes a row when it is used, but not each time', async () => {
    const { cookie } = await create();
    const seen = async () => (await list())[0]?.last_seen_at ?? 0;
    const before = await seen();
    await passTime(60_000);
    await who(cookie);
    expect(await seen()).toBe(before);
    await passTime(5 * 60_000);
    await who(cookie);
    expect(await seen()).toBeGreaterThan(before);
  });
});
