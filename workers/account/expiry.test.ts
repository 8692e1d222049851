import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { beforeAll, expect, it } from 'vitest';
import { asOwner, loggedIn, notingHosts, setAccountClock } from '../test-account.ts';
import { accountStub, base, call } from '../test-edge.ts';

const HOUR_MS = 3_600_000;

let home: string;
let lab: string;
beforeAll(async () => {
  home = (await loggedIn('Home')).host_id;
  lab = (await loggedIn('Lab')).host_id;
});

const made = async (path: string, body: object) =>
  (await asOwner(path, { method: 'POST', body: { name: 'x', ...body } })).json<{ id: string; key: string }>();
const make = async (path: string, body: object) => (await made(path, body)).id;
const alarmAt = () => runInDurableObject(accountStub(), (_object, { storage }) => storage.getAlarm());

/** Rings the alarm; what is revoked by it. */
async function ring() {
  const { revoked, env } = notingHosts();
  await runInDurableObject(accountStub(), (object) => {
    Object.defineProperty(object, 'env', { value: env, configurable: true });
  });
  await runDurableObjectAlarm(accountStub());
  return revoked;
}

it('of a key or an invitation ends what it began, at its hosts, once', async () => {
  expect(await alarmAt()).toBeNull();
  const now = Date.now();
  await make('/keys', { hosts: [home] });
  expect(await alarmAt()).toBeNull();
  const late = await made('/keys', { expires_at: now + 3 * HOUR_MS });
  for (const host of [home, lab]) await call(base(host), { token: late.key });
  const invitation = await make('/invitations', { hosts: [lab], expires_at: now + HOUR_MS });
  const key = await make('/keys', { hosts: [home], expires_at: now + 2 * HOUR_MS });
  expect(await alarmAt()).toBe(now + HOUR_MS);

  await setAccountClock(2 * HOUR_MS);
  expect(await ring()).toEqual([
    { host: home, subject: `key:${key}` },
    { host: lab, subject: `invitation:${invitation}` },
  ]);
  expect(await alarmAt()).toBe(now + 3 * HOUR_MS);
  expect(await ring()).toEqual([]);

  await setAccountClock(3 * HOUR_MS);
  const subject = `key:${late.id}`;
  expect(await ring()).toEqual([
    { host: home, subject },
    { host: lab, subject },
  ]);
  expect(await alarmAt()).toBeNull();
});
