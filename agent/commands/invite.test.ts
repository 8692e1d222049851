import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createInvitation, listInvitations, revokeInvitation } from './invite.ts';
import { login } from './login.ts';
import { open } from './open.ts';
import { FakeEdge, FakeProcess, TOKEN } from './test-fake-edge.ts';

const SECRET = `dai_${'I'.repeat(43)}`;
const info = { id: 'i1', name: 'anna', hosts: ['attic'], expires_at: null, created_at: 1, uses: 0, last_used_at: null };

async function loggedIn() {
  const edge = (await FakeEdge.start()).allowLogin();
  const shell = new FakeProcess();
  await login(shell.context, edge.url, { serve: false, upstream: ['http://127.0.0.1:2'] });
  for (const seen of [shell.stdout, shell.stderr, edge.calls]) seen.length = 0;
  const { public_key: hostKey } = JSON.parse(readFileSync(join(shell.folder, 'host-key.json'), 'utf8'));
  return { edge, shell, hostKey: String(hostKey) };
}

test('invite prints the link alone on stdout, with the host’s key, and all else on stderr', async () => {
  const { edge, shell, hostKey } = await loggedIn();
  edge.on('POST /_direct/api/invitations', { status: 201, json: { ...info, secret: SECRET } });
  expect(await shell.run(createInvitation(shell.context, { name: 'anna', expires: '7d' }))).toEqual([0]);
  const link = `${edge.url}/_direct/invite#invite=${SECRET}&keys=attic:${hostKey}`;
  expect(shell.stdout).toEqual([link]);
  expect(shell.stderr.join('\n')).not.toContain(SECRET);
  expect(edge.calls[0]).toMatchObject({ authorization: `Bearer ${TOKEN}`, type: 'application/json' });
  expect(JSON.parse(edge.calls[0]?.body ?? '')).toEqual({
    name: 'anna',
    hosts: ['attic'],
    expires_at: shell.time + 7 * 86_400_000,
  });
  await createInvitation(shell.context, { name: 'anna', json: true });
  expect(JSON.parse(shell.stdout[1] ?? '')).toEqual({ ...info, link });
  expect(shell.printed).not.toContain(TOKEN);
});

test('invite says that a browser must be paired, too, where only paired ones get in', async () => {
  const { edge, shell } = await loggedIn();
  writeFileSync(join(shell.folder, 'config.yaml'), 'access: paired\n');
  edge.on('POST /_direct/api/invitations', { status: 201, json: { ...info, secret: SECRET } });
  await createInvitation(shell.context, { name: 'anna' });
  expect(shell.stderr.join('\n')).toContain('See: direct-agent pair --help');
});

test('invite list shows who is in, and what is over; revoke takes an id or a name', async () => {
  const { edge, shell } = await loggedIn();
  const old = { ...info, id: 'i2', name: 'b\x1b[2Job', uses: 3, last_used_at: 86_400_000, expires_at: 172_800_000 };
  edge.on('GET /_direct/api/invitations', { json: { invitations: [info, old] } });
  await listInvitations(shell.context, {});
  expect(shell.stdout.join('\n')).toMatchInlineSnapshot(`
    "ID  NAME    USES  LAST USED   GOOD
    i1  anna    0     never       until it is revoked
    i2  b[2Job  3     1970-01-02  ended 1970-01-03"
  `);
  await listInvitations(shell.context, { json: true });
  expect(JSON.parse(shell.stdout.at(-1) ?? '')).toEqual({ invitations: [info, old] });
  edge.on('DELETE /_direct/api/invitations/i1', { status: 204, json: null });
  expect(await shell.run(revokeInvitation(shell.context, 'anna', { json: true }))).toEqual([0]);
  expect(shell.stdout.at(-1)).toBe('{"revoked":"i1"}');
  const [code, message] = await shell.run(revokeInvitation(shell.context, 'eve', {}));
  expect([code, message]).toEqual([64, expect.stringContaining('no invitation with the id or name “eve”')]);
});

test('an edge from before says that it is older', async () => {
  const { edge, shell } = await loggedIn();
  edge.on('GET /_direct/api/invitations', 'E_FORBIDDEN');
  const [code, message] = await shell.run(listInvitations(shell.context, {}));
  expect([code, message]).toEqual([69, expect.stringContaining(`is older than this agent`)]);
});

test('open prints the address that status prints, and opens it unless it shall not', async () => {
  const { edge, shell, hostKey } = await loggedIn();
  const link = `${edge.url}/_direct/chat#host=attic&key=${hostKey}`;
  const opened: string[] = [];
  const launch = async (url: string) => void opened.push(url);
  expect(await shell.run(open(shell.context, { print: true }, launch))).toEqual([0]);
  expect([opened, shell.stdout]).toEqual([[], [link]]);
  expect(await shell.run(open(shell.context, {}, launch))).toEqual([0]);
  expect([opened, shell.stdout]).toEqual([[link], [link, link]]);
  expect(await shell.run(open(shell.context, {}, async () => 'you are here by SSH'))).toEqual([0]);
  expect(shell.stderr.at(-1)).toBe('No browser was opened: you are here by SSH. Open the address above on any device.');
});
