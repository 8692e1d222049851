import { evictDurableObject } from 'cloudflare:test';
import { expect, it } from 'vitest';
import { accountStub, inAccount } from '../test-edge.ts';
import { slug } from './hosts.ts';

it.each([
  ['Home', 'home'],
  ['Ada’s Büro', 'adas-buro'],
  ['  living room (2nd floor) ', 'living-room-2nd-floor'],
  ['書斎', 'host'],
  ['---', 'host'],
  ['x'.repeat(100), 'x'.repeat(40)],
])('%s gets the id %s', (name, id) => {
  expect(slug(name)).toBe(id);
});

it('accounts of before have a column for it, and no web UI switched on', async () => {
  const { id: host } = await inAccount((account) => account.hosts().register('a key', 'Home', 'Home'));
  await inAccount((_account, sql) => void sql.exec('ALTER TABLE hosts DROP COLUMN web_ui'));
  await evictDurableObject(accountStub());
  expect(await inAccount((account) => account.hosts().list())).toMatchObject([{ id: host, web_ui: false }]);
  expect(
    await inAccount((account) => account.hosts().change(host, { web_ui: true }, { actor: 'owner', address: null })),
  ).toMatchObject({ ok: true });
  await evictDurableObject(accountStub());
  expect(await inAccount((account) => account.hosts().withWebUi())).toEqual([host]);
});
