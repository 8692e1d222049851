import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { decodeBase64url } from '../../shared/base64url.ts';
import { fingerprint } from '../../shared/fingerprint.ts';
import { transcript } from '../../shared/transcript.ts';
import { ConfigError } from '../config-error.ts';
import { login } from './login.ts';
import {
  codeAnswer,
  DEVICE_CODE,
  FakeEdge,
  FakeProcess,
  oauth,
  type Reply,
  TOKEN,
  USER_CODE,
} from './test-fake-edge.ts';

const CODE = '/_direct/api/device/code';
const POLL = '/_direct/api/device/token';
const pending = oauth('authorization_pending');
/** Nothing listens there, and nobody is asked. */
const flags = { serve: false, upstream: ['http://127.0.0.1:1'] };
const breaks: Reply = (response) => void response.destroy();
const html =
  (status: number): Reply =>
  (response) =>
    void response.writeHead(status, { 'content-type': 'text/html' }).end('<html>Welcome</html>');

function keyOf({ folder }: FakeProcess): { public_key: string; private_key: string } {
  return JSON.parse(readFileSync(join(folder, 'host-key.json'), 'utf8'));
}

describe('login', () => {
  test('shows a link of its own making, waits for the approval, and prints the address to open last', async () => {
    const edge = (await FakeEdge.start()).allowLogin(pending, pending);
    const shell = new FakeProcess();
    expect(await shell.run(login(shell.context, `${edge.url}/_direct/`, flags))).toEqual([0]);
    const { public_key: host_key, private_key } = keyOf(shell);
    expect(shell.stdout).toEqual([`${edge.url}/_direct/chat#host=attic&key=${host_key}`]);
    expect(shell.printed).toContain(`${edge.url}/_direct/approve#code=${USER_CODE}&key=${host_key}`);
    expect(shell.printed).toContain(await fingerprint(host_key));
    expect(shell.sleeps).toEqual([5_000, 5_000, 5_000]);
    for (const secret of [TOKEN, DEVICE_CODE, private_key]) expect(shell.printed).not.toContain(secret);
    expect(JSON.parse(readFileSync(join(shell.folder, 'credentials.json'), 'utf8'))).toEqual({
      edge: edge.url,
      host_id: 'attic',
      host_name: 'Attic',
      token: TOKEN,
    });
  });

  test('says who asks, and proves that it holds the key', async () => {
    const edge = (await FakeEdge.start()).allowLogin();
    const shell = new FakeProcess();
    await login(shell.context, edge.url, { ...flags, name: 'My box' });
    const { public_key: host_key } = keyOf(shell);
    expect(Object.fromEntries(new URLSearchParams(edge.to(CODE)[0]?.body))).toEqual({
      client_id: 'direct-agent',
      host_key,
      host_name: 'My box',
      serves: JSON.stringify([{ name: 'http://127.0.0.1:1', models: [] }]),
    });
    const { host_signature = '', ...form } = Object.fromEntries(new URLSearchParams(edge.to(POLL)[0]?.body));
    expect(form).toEqual({
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: DEVICE_CODE,
      client_id: 'direct-agent',
    });
    const bytes = (text: string) => decodeBase64url(text) ?? new Uint8Array();
    const key = await crypto.subtle.importKey('raw', bytes(host_key), 'Ed25519', false, ['verify']);
    const texts = [edge.url, DEVICE_CODE].map((text) => new TextEncoder().encode(text));
    const signed = transcript('direct-agent login v1', bytes(host_key), ...texts);
    expect(await crypto.subtle.verify('Ed25519', key, bytes(host_signature), Buffer.from(signed))).toBe(true);
    expect(edge.calls.map(({ authorization }) => authorization)).toEqual([undefined, undefined]);
    expect(edge.calls.map(({ type }) => type?.split(';')[0])).toEqual(
      Array(2).fill('application/x-www-form-urlencoded'),
    );
  });

  test('sends no name that is longer than an edge takes, and none that misleads', async () => {
    const edge = (await FakeEdge.start()).allowLogin();
    const shell = new FakeProcess();
    const upstream = [`http://127.0.0.1:2/${'x'.repeat(100)}`];
    await login(shell.context, edge.url, { ...flags, upstream, name: ` a\u202eb${'c'.repeat(100)}` });
    const { host_name, serves = '' } = Object.fromEntries(new URLSearchParams(edge.to(CODE)[0]?.body));
    expect([host_name, JSON.parse(serves)[0].name.length]).toEqual([`ab${'c'.repeat(62)}`, 64]);
  });

  test.skipIf(process.platform === 'win32')('keeps its files to its user, and leaves no others', async () => {
    const edge = (await FakeEdge.start()).allowLogin();
    const shell = new FakeProcess();
    const folder = join(shell.folder, 'new', 'folder');
    await login(shell.context, edge.url, { ...flags, folder });
    const modes = readdirSync(folder).map((name) => [name, statSync(join(folder, name)).mode & 0o777]);
    expect(modes).toEqual([
      ['credentials.json', 0o600],
      ['host-key.json', 0o600],
    ]);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  test('shows a QR code to a person, as wide as a terminal at most', async () => {
    const edge = (await FakeEdge.start()).allowLogin();
    const shell = new FakeProcess();
    await login({ ...shell.context, columns: 80 }, edge.url, flags);
    const lines = shell.stderr.filter((line) => line.startsWith('\x1b['));
    expect(lines.length).toBeGreaterThan(40);
    for (const line of lines) expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(80);
    const narrow = new FakeProcess();
    await login({ ...narrow.context, columns: 30 }, edge.url, flags);
    expect(narrow.stderr.filter((line) => line.startsWith('\x1b['))).toEqual([]);
  });

  test('polls more slowly each time when it is told to', async () => {
    const edge = (await FakeEdge.start()).allowLogin(oauth('slow_down'), pending, oauth('slow_down'));
    const shell = new FakeProcess();
    expect(await shell.run(login(shell.context, edge.url, flags))).toEqual([0]);
    expect(shell.sleeps).toEqual([5_000, 10_000, 10_000, 15_000]);
  });

  test('survives a network that fails in between, with growing pauses, and says so once', async () => {
    const edge = (await FakeEdge.start()).allowLogin(
      pending,
      breaks,
      html(502),
      'E_INTERNAL',
      pending,
      'E_RATE_LIMITED',
    );
    const shell = new FakeProcess();
    expect(await shell.run(login(shell.context, edge.url, flags))).toEqual([0]);
    expect(shell.sleeps).toEqual([5_000, 5_000, 10_000, 20_000, 40_000, 5_000, 10_000]);
    expect(shell.stderr.filter((line) => line.includes('Trying again'))).toHaveLength(2);
    expect(shell.stderr.filter((line) => line === 'The edge answers again.')).toHaveLength(2);
  });

  test('ends when the code expires, by its own clock or by the edge’s word', async () => {
    const edge = (await FakeEdge.start()).allowLogin().on(`POST ${POLL}`, pending);
    const shell = new FakeProcess();
    const [code, message] = await shell.run(login(shell.context, edge.url, flags));
    expect([code, edge.to(POLL).length]).toEqual([75, 119]);
    expect(message).toMatch(/WDJB-MJHT has expired.*Run the same command again/);
    edge.on(`POST ${POLL}`, oauth('expired_token'));
    expect(await shell.run(login(shell.context, edge.url, flags))).toEqual([75, message]);
    expect(readdirSync(shell.folder)).toEqual(['host-key.json']);
  });

  test('ends when the owner refuses', async () => {
    const edge = (await FakeEdge.start()).allowLogin(pending, oauth('access_denied'));
    const shell = new FakeProcess();
    const [code, message] = await shell.run(login(shell.context, edge.url, flags));
    expect([code, message]).toEqual([77, 'The owner of the edge refused this login; nothing has changed.']);
    expect([edge.to(POLL).length, readdirSync(shell.folder)]).toEqual([2, ['host-key.json']]);
  });

  test('ends with Ctrl+C while it waits, and while it asks', async () => {
    const edge = (await FakeEdge.start()).allowLogin().on(`POST ${POLL}`, pending);
    const shell = new FakeProcess();
    shell.slept = () => {
      if (shell.sleeps.length === 2) shell.interrupt.abort();
    };
    const given = [130, 'The login was given up; nothing has changed.'];
    expect(await shell.run(login(shell.context, edge.url, flags))).toEqual(given);
    expect(edge.to(POLL)).toHaveLength(1);
    const other = new FakeProcess();
    edge.on(`POST ${POLL}`, () => other.interrupt.abort());
    expect(await other.run(login(other.context, edge.url, flags))).toEqual(given);
  });
});

describe('wrong answers', () => {
  const start: [what: string, reply: Reply, code: number, message: RegExp][] = [
    ['a page', html(200), 76, /not as an edge of direct-agent does \(status 200, text\/html\)/],
    ['a page that is not there', html(404), 76, /status 404/],
    ['JSON of another program', { status: 404, json: { detail: 'Not Found' } }, 76, /not as an edge/],
    ['an edge without this call', 'E_NOT_FOUND', 69, /older than this agent/],
    ['an edge without secrets', 'E_NOT_CONFIGURED', 69, /wrangler secret put OWNER_TOKEN/],
    ['too many logins', 'E_RATE_LIMITED', 75, /too many requests\. Try again in a few minutes/],
    ['a field that it refuses', 'E_BAD_REQUEST', 69, /refused the request/],
    ['no connection', breaks, 75, /cannot be reached/],
    ['no code', { json: { user_code: USER_CODE } }, 76, /does not understand \(field device_code\)/],
    ['a code that writes to the terminal', { json: codeAnswer({ user_code: 'A\x1b[2J' }) }, 76, /user_code/],
    ['a code that never ends', { json: codeAnswer({ expires_in: 1e9 }) }, 76, /expires_in/],
    ['a refusal', oauth('invalid_request'), 76, /refused the login \(invalid_request\)/],
    [
      'another site',
      (r) => void r.writeHead(301, { location: 'https://x.example/a?b' }).end(),
      76,
      /redirects to https:\/\/x\.example\./,
    ],
    [
      'Cloudflare Access',
      (r) => void r.writeHead(302, { location: 'https://team.cloudflareaccess.com/cdn-cgi/access/login?x=y' }).end(),
      76,
      /Cloudflare Access stands before/,
    ],
    ['endless text', (r) => void r.writeHead(200).end(`"${'x'.repeat(2_000_000)}"`), 75, /too long/],
    [
      'a link for another host',
      {
        json: codeAnswer({
          verification_uri_complete: `https://e.example/_direct/approve#code=${USER_CODE}&key=other`,
        }),
      },
      76,
      /another host than this one/,
    ],
  ];
  test.each(start)('to the first call: %s', async (_, reply, code, message) => {
    const edge = (await FakeEdge.start()).allowLogin().on(`POST ${CODE}`, reply);
    const shell = new FakeProcess();
    const [exit, said] = await shell.run(login(shell.context, edge.url, flags));
    expect([exit, said]).toEqual([code, expect.stringMatching(message)]);
    expect([edge.to(POLL), shell.stdout]).toEqual([[], []]);
  });

  const token = { access_token: TOKEN, token_type: 'Bearer', host_id: 'attic', host_name: 'x' };
  const polls: [what: string, reply: Reply, message: RegExp][] = [
    ['a page', html(200), /not as an edge/],
    ['a code that is unknown', oauth('invalid_grant'), /no longer knows the code/],
    ['no token', { json: { ...token, access_token: undefined } }, /field access_token/],
    [
      'a token that would break a header',
      { json: { ...token, access_token: `${TOKEN}\r\nX: y` } },
      /field access_token/,
    ],
    ['a host that would break the address', { json: { ...token, host_id: 'a/../b' } }, /field host_id/],
    ['another kind of token', { json: { ...token, token_type: 'mac' } }, /field token_type/],
  ];
  test.each(polls)('to a poll: %s', async (_, reply, message) => {
    const edge = (await FakeEdge.start()).allowLogin(reply);
    const shell = new FakeProcess();
    const [exit, said] = await shell.run(login(shell.context, edge.url, flags));
    expect([exit, said]).toEqual([76, expect.stringMatching(message)]);
    expect(readdirSync(shell.folder)).toEqual(['host-key.json']);
    expect(shell.printed).not.toContain(TOKEN);
  });

  test('an edge that is not there', async () => {
    const shell = new FakeProcess();
    const [exit, said] = await shell.run(login(shell.context, 'http://127.0.0.1:2', flags));
    expect([exit, said]).toEqual([75, expect.stringContaining('cannot be reached (ECONNREFUSED)')]);
  });
});

describe('a second login', () => {
  test('to the same edge keeps the key and replaces the credential', async () => {
    const edge = (await FakeEdge.start()).allowLogin();
    const shell = new FakeProcess();
    await login(shell.context, edge.url, flags);
    const before = keyOf(shell);
    await login(shell.context, edge.url, flags);
    expect(keyOf(shell)).toEqual(before);
    expect(shell.printed).toContain(`This machine is logged in to ${edge.url} as “Attic” already.`);
    expect(edge.to('/_direct/api/host/logout')).toEqual([]);
  });

  test('to another edge gives the old credential back, once the new one is there', async () => {
    const old = (await FakeEdge.start()).allowLogin().on('POST /_direct/api/host/logout', { status: 204, json: null });
    const shell = new FakeProcess();
    await login(shell.context, old.url, flags);
    const next = (await FakeEdge.start()).allowLogin(oauth('access_denied'));
    await shell.run(login(shell.context, next.url, flags));
    expect(old.to('/_direct/api/host/logout')).toEqual([]);
    expect(shell.printed).toContain(`A login to ${next.url} replaces that`);
    next.allowLogin();
    await login(shell.context, next.url, flags);
    expect(old.to('/_direct/api/host/logout').map(({ authorization }) => authorization)).toEqual([`Bearer ${TOKEN}`]);
    expect(shell.printed).toContain(`Logged out of ${old.url}.`);
  });

  test('is refused before anything happens where a configured token would win over it', async () => {
    const edge = (await FakeEdge.start()).allowLogin();
    const shell = new FakeProcess();
    mkdirSync(shell.folder, { recursive: true });
    writeFileSync(join(shell.folder, 'config.yaml'), 'token: hunter2\n', { mode: 0o600 });
    const failure = await login(shell.context, edge.url, flags).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConfigError);
    expect(String(failure)).toMatch(/token \(.*config\.yaml:1\): set there, so it would win over a login/);
    expect([String(failure).includes('hunter2'), edge.calls]).toEqual([false, []]);
  });
});
