import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/fingerprint.ts';
import { ConfigError } from '../config-error.ts';
import { startControl } from '../control.ts';
import { Screen } from '../live-screen.ts';
import type { Interactive } from '../live-terminal.ts';
import { dockerHost, offline, raspberry } from '../test-machines.ts';
import { EXAMPLE_NOW, EXAMPLE_REPORT } from '../test-report.ts';
import { TestTerminal } from '../test-terminal.ts';
import { expiryOf } from './grants.ts';
import { createKey, listKeys, revokeKey } from './key.ts';
import { login } from './login.ts';
import { logout } from './logout.ts';
import { status } from './status.ts';
import { FakeEdge, FakeProcess, type Reply, TOKEN } from './test-fake-edge.ts';
import { up } from './up.ts';

/** Nothing listens there, and nobody is asked. */
const upstream = ['http://127.0.0.1:2'];
const KEY = `dak_${'K'.repeat(43)}`;
const LOGOUT = 'POST /_direct/api/host/logout';
const noContent: Reply = { status: 204, json: null };

/** A process that is logged in. */
async function loggedIn(): Promise<{ edge: FakeEdge; shell: FakeProcess; hostKey: string }> {
  const edge = (await FakeEdge.start()).allowLogin();
  const shell = new FakeProcess();
  await login(shell.context, edge.url, { serve: false, upstream });
  for (const seen of [shell.stdout, shell.stderr, edge.calls]) seen.length = 0;
  const { public_key: hostKey } = JSON.parse(readFileSync(join(shell.folder, 'host-key.json'), 'utf8'));
  return { edge, shell, hostKey };
}

describe('logout', () => {
  test('gives the credential back, deletes it, and keeps the key', async () => {
    const { edge, shell } = await loggedIn();
    edge.on(LOGOUT, noContent);
    expect(await shell.run(logout(shell.context, {}))).toEqual([0]);
    expect(edge.calls).toMatchObject([{ method: 'POST', authorization: `Bearer ${TOKEN}` }]);
    expect(readdirSync(shell.folder)).toEqual(['host-key.json']);
    expect(await shell.run(logout(shell.context, {}))).toEqual([0]);
    expect(shell.stderr.at(-1)).toBe('This machine is not logged in; there is nothing to do.');
    expect(shell.printed).not.toContain(TOKEN);
  });

  test('deletes the credential also when the edge cannot be told, and says what is left to do', async () => {
    const { edge, shell } = await loggedIn();
    edge.on(LOGOUT, (response) => void response.destroy());
    const [code, message] = await shell.run(logout(shell.context, {}));
    expect(code).toBe(75);
    expect(message).toContain(`still valid there. Remove the host “Attic” at ${edge.url}/_direct/`);
    expect(readdirSync(shell.folder)).toEqual(['host-key.json']);
  });

  test('is content with a credential that is void already', async () => {
    const { edge, shell } = await loggedIn();
    edge.on(LOGOUT, 'E_UNAUTHORIZED');
    expect(await shell.run(logout(shell.context, {}))).toEqual([0]);
  });

  test('deletes the key only when it is told to, and warns', async () => {
    const { edge, shell } = await loggedIn();
    edge.on(LOGOUT, noContent);
    expect(await shell.run(logout(shell.context, { forgetKey: true }))).toEqual([0]);
    expect(readdirSync(shell.folder)).toEqual([]);
    expect(shell.printed).toContain('each device that knows the old one stops');
  });
});

describe('up and the network', () => {
  /** Ends with 69 once it has come as far as the edge. */
  async function ready(): Promise<{ edge: FakeEdge; shell: FakeProcess }> {
    const { edge, shell } = await loggedIn();
    edge.on('UPGRADE', 'E_UNAUTHORIZED');
    return { edge, shell };
  }
  const flags = { upstream, portMapping: false };

  test('says which addresses it uses', async () => {
    const { shell } = await ready();
    shell.interfaces = dockerHost;
    expect((await shell.run(up(shell.context, { ...flags, interfaces: ['enp3s0', 'wlan0'] })))[0]).toBe(69);
    expect(shell.printed).toContain('network: direct connections at 192.168.1.73 (enp3s0), 2001:db8:a::73 (enp3s0)');
    expect(shell.printed).toContain(
      'interfaces (--interfaces): "wlan0" matches no interface that is up. This machine has enp3s0 ',
    );
  });

  test('starts on a machine that is offline', async () => {
    const { shell } = await ready();
    shell.interfaces = offline;
    expect((await shell.run(up(shell.context, flags)))[0]).toBe(69);
    expect(shell.printed).toContain('network: no address for direct connections');
  });

  test('does not start where the settings leave no address, nor does login; only a login without serving does', async () => {
    const { edge, shell } = await ready();
    shell.interfaces = raspberry;
    const settings = { ...flags, ipFamily: 'ipv4' };
    for (const command of [up(shell.context, settings), login(shell.context, edge.url, settings)]) {
      const failure = await command.catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(ConfigError);
      expect(String(failure)).toContain(
        'ip_family (--ip-family): no address of this machine is left to use (2001:db8:d::31 (wlan0)',
      );
    }
    expect(edge.calls).toEqual([]);
    edge.allowLogin();
    expect(await shell.run(login(shell.context, edge.url, { ...settings, serve: false }))).toEqual([0]);
  });
});

describe('status', () => {
  const base = 'GET /_direct/h/attic';

  test('shows what a person compares, and no secret', async () => {
    const { edge, shell, hostKey } = await loggedIn();
    edge.on(base, { json: { id: 'attic', online: false } });
    expect(await shell.run(status(shell.context, { upstream }))).toEqual([0]);
    const text = shell.stdout.join('\n');
    expect(text).toContain(`Fingerprint:  ${await fingerprint(hostKey)}`);
    expect(text).toContain('Attic (attic)');
    expect(text).toContain('no; start it with: direct-agent up');
    expect(shell.printed).not.toContain(TOKEN);
  });

  test('names the web UI, where one is served', async () => {
    const { edge, shell } = await loggedIn();
    edge.on(base, { json: { id: 'attic', online: true } });
    await status(shell.context, { upstream, webUi: 'http://127.0.0.1:3000/' });
    expect(shell.stdout).toContain('Web UI:       http://127.0.0.1:3000');
  });

  test('is JSON for programs', async () => {
    const { edge, shell, hostKey } = await loggedIn();
    edge.on(base, { json: { id: 'attic', online: true } });
    await status(shell.context, { upstream, json: true });
    expect(JSON.parse(shell.stdout.join('\n'))).toEqual({
      edge: edge.url,
      host_id: 'attic',
      host_name: 'Attic',
      host_key: hostKey,
      fingerprint: await fingerprint(hostKey),
      url: `${edge.url}/_direct/chat#host=attic&key=${hostKey}`,
      credential: 'accepted',
      online: true,
      problem: null,
      access: 'edge',
      paired_devices: 0,
      servers: [{ name: 'http://127.0.0.1:2', url: 'http://127.0.0.1:2', models: [] }],
      web_ui: null,
      agent: null,
    });
    expect(edge.calls).toMatchObject([{ path: '/_direct/h/attic', authorization: `Bearer ${TOKEN}` }]);
  });

  test('shows the agent that runs, to people and to programs', async () => {
    const { edge, shell } = await loggedIn();
    edge.on(base, { json: { id: 'attic', online: true } });
    const control = await startControl({ folder: shell.folder, report: () => EXAMPLE_REPORT, log: () => {} });
    await status(shell.context, { upstream, json: true });
    expect(JSON.parse(shell.stdout.splice(0).join('\n')).agent).toEqual(EXAMPLE_REPORT);
    await status(shell.context, { upstream });
    expect(shell.stdout).toContain('Upstreams  up   Ollama at http://127.0.0.1:11434, 2 models, 3 running, 1 waiting');
    expect(shell.stdout.join('\n')).toMatch(/k3Jx9QpL {2}owner’s browser {2}direct {3}4\.2 ms/);
    await control.close();
    shell.stdout.splice(0);
    await status(shell.context, { upstream });
    expect(shell.stdout.at(-1)).toBe('No agent runs here. Start it with: direct-agent up');
  });

  test('goes on to show the agent on a terminal until Ctrl+C, and prints once with --once', async () => {
    const { edge, shell } = await loggedIn();
    edge.on(base, { json: { id: 'attic', online: true } });
    const control = await startControl({ folder: shell.folder, report: () => EXAMPLE_REPORT, log: () => {} });
    const terminal = new TestTerminal(80, 30);
    const none = () => () => {};
    const out: Interactive = {
      screen: new Screen(terminal),
      colors: false,
      isForeground: () => true,
      onResize: none,
      onContinue: none,
      onKeys: none,
    };
    const context = { ...shell.context, now: () => EXAMPLE_NOW, terminals: { out, err: out } };
    await status(context, { upstream, once: true });
    expect(shell.stdout.splice(0).join('\n')).toContain('k3Jx9QpL');
    expect(terminal.written).toEqual([]);
    const ended = shell.run(status(context, { upstream }));
    await expect
      .poll(() => terminal.lines(), { timeout: 20_000 })
      .toContain('Edge       connected by WebSocket for 1 h 2 min');
    expect(shell.stdout.join('\n')).not.toContain('k3Jx9QpL');
    shell.interrupt.abort();
    expect(await ended).toEqual([0]);
    // What was shown last can still be read.
    expect((await terminal.lines()).join('\n')).toContain('k3Jx9QpL');
    await control.close();
  });

  const answers: [ErrorCode, number, string][] = [
    ['E_FORBIDDEN', 0, 'accepted'],
    ['E_UNAUTHORIZED', 69, 'refused'],
    ['E_NOT_CONFIGURED', 69, 'unknown'],
    ['E_INTERNAL', 75, 'unknown'],
  ];
  test.each(answers)('where the edge says %s, exits with %i: %s', async (code, exit, credential) => {
    const { edge, shell } = await loggedIn();
    edge.on(base, code);
    expect(await shell.run(status(shell.context, { upstream, json: true }))).toEqual([exit]);
    expect(JSON.parse(shell.stdout.join('\n'))).toMatchObject({ credential, online: null });
  });

  test('asks an edge below a path there', async () => {
    const edge = (await FakeEdge.start()).on('GET /below/_direct/h/x', { json: { id: 'x', online: true } });
    const shell = new FakeProcess();
    const env = {
      ...shell.context.env,
      DIRECT_AGENT_SIGNALING_URL: `${edge.url}/below/_direct/h/x`,
      DIRECT_AGENT_TOKEN: 'hunter2',
    };
    expect(await shell.run(status({ ...shell.context, env }, { upstream }))).toEqual([0]);
    expect(shell.printed).toContain(`Open:         ${edge.url}/below/_direct/chat#host=x&key=`);
    expect(shell.printed).not.toContain('hunter2');
  });

  test('says what to do before any login', async () => {
    const shell = new FakeProcess();
    const failure = await status(shell.context, {}).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConfigError);
    expect(String(failure)).toContain('Run: direct-agent login <edge>');
  });
});

describe('key', () => {
  const info = {
    id: 'k1',
    name: 'laptop',
    hint: 'KKKK',
    hosts: ['attic'],
    prefixes: null,
    models: null,
    expires_at: null,
    requests_per_minute: null,
    created_at: 1,
    last_used_at: null,
  };

  test('create prints the key alone on stdout, and all else on stderr', async () => {
    const { edge, shell } = await loggedIn();
    edge.on('POST /_direct/api/keys', { status: 201, json: { ...info, key: KEY } });
    const flags = { name: 'laptop', prefix: ['/v1/chat'], model: ['a', 'b'], expires: '30d', rpm: '60' };
    expect(await shell.run(createKey(shell.context, flags))).toEqual([0]);
    expect(shell.stdout).toEqual([KEY]);
    expect(shell.stderr.join('\n')).not.toContain(KEY);
    expect(shell.stderr.join('\n')).toContain(`Base URL for OpenAI clients: ${edge.url}/v1`);
    expect(shell.printed).not.toContain(TOKEN);
    expect(edge.calls[0]).toMatchObject({ authorization: `Bearer ${TOKEN}`, type: 'application/json' });
    expect(JSON.parse(edge.calls[0]?.body ?? '')).toEqual({
      name: 'laptop',
      hosts: ['attic'],
      prefixes: ['/v1/chat'],
      models: ['a', 'b'],
      expires_at: shell.time + 30 * 86_400_000,
      requests_per_minute: 60,
    });
  });

  test('create sends null for what is not limited, and is JSON for programs', async () => {
    const { edge, shell } = await loggedIn();
    edge.on('POST /_direct/api/keys', { status: 201, json: { ...info, key: KEY } });
    await createKey(shell.context, { name: 'x', json: true });
    expect(JSON.parse(edge.calls[0]?.body ?? '')).toMatchObject({ prefixes: null, models: null, expires_at: null });
    expect(JSON.parse(shell.stdout.join('\n'))).toEqual({ ...info, key: KEY });
  });

  test.each([
    { prefix: ['v1'] },
    { prefix: ['/../x'] },
    { expires: 'soon' },
    { expires: '0d' },
    { expires: '2020-01-01' },
    { rpm: '0' },
    { rpm: 'many' },
  ])('create refuses %o before it asks the edge', async (wrong) => {
    const { edge, shell } = await loggedIn();
    const [code, message] = await shell.run(createKey(shell.context, { name: 'x', ...wrong }));
    expect([code, message]).toEqual([64, expect.stringMatching(/^--(prefix|expires|rpm): /)]);
    expect(edge.calls).toEqual([]);
  });

  test('list shows what each key may do', async () => {
    const { edge, shell } = await loggedIn();
    const keys = [info, { ...info, id: 'k2', name: 'a\x1b[2J', models: ['m'], requests_per_minute: 60, expires_at: 0 }];
    edge.on('GET /_direct/api/keys', { json: { keys } });
    await listKeys(shell.context, {});
    expect(shell.stdout.join('\n')).toMatchInlineSnapshot(`
      "ID  NAME    KEY    LAST USED  LIMITS
      k1  laptop  …KKKK  never      no limits
      k2  a[2J    …KKKK  never      models m; 60 requests a minute; until 1970-01-01"
    `);
    await listKeys(shell.context, { json: true });
    expect(JSON.parse(shell.stdout.at(-1) ?? '')).toEqual({ keys });
  });

  test('revoke takes an id, or a name that one key has', async () => {
    const { edge, shell } = await loggedIn();
    const keys = [info, { ...info, id: 'k2', name: 'twin' }, { ...info, id: 'k3', name: 'twin' }];
    edge.on('GET /_direct/api/keys', { json: { keys } });
    for (const id of ['k1', 'k3']) edge.on(`DELETE /_direct/api/keys/${id}`, noContent);
    expect(await shell.run(revokeKey(shell.context, 'laptop', {}))).toEqual([0]);
    expect(await shell.run(revokeKey(shell.context, 'k3', {}))).toEqual([0]);
    const [code, message] = await shell.run(revokeKey(shell.context, 'twin', {}));
    expect([code, message]).toEqual([64, 'Several API keys are called “twin”. Revoke by id: k2, k3']);
    expect(await shell.run(revokeKey(shell.context, 'gone', {}))).toEqual([64, expect.stringContaining('“gone”')]);
    const deleted = edge.calls.filter(({ method }) => method === 'DELETE').map(({ path }) => path);
    expect(deleted).toEqual(['/_direct/api/keys/k1', '/_direct/api/keys/k3']);
  });

  test('needs a login; a configured token is no host’s', async () => {
    const edge = await FakeEdge.start();
    const shell = new FakeProcess();
    writeFileSync(join(shell.folder, 'config.yaml'), `signaling_url: ${edge.url}/_direct/h/x\ntoken: hunter2\n`, {
      mode: 0o600,
    });
    const [code, message] = await shell.run(listKeys(shell.context, {}));
    expect([code, message, edge.calls]).toEqual([78, expect.stringContaining('need a login'), []]);
  });

  test('a revoked login says so', async () => {
    const { edge, shell } = await loggedIn();
    edge.on('GET /_direct/api/keys', 'E_UNAUTHORIZED');
    const [code, message] = await shell.run(listKeys(shell.context, {}));
    expect([code, message]).toEqual([69, expect.stringContaining(`Run: direct-agent login ${edge.url}`)]);
    expect(existsSync(join(shell.folder, 'credentials.json'))).toBe(true);
  });

  test('expiry is a span or a day', () => {
    const now = Date.parse('2026-11-21T12:00:00Z');
    expect(new Date(expiryOf('12h', now)).toISOString()).toBe('2026-11-22T00:00:00.000Z');
    expect(new Date(expiryOf('1y', now)).toISOString()).toBe('2027-11-21T12:00:00.000Z');
    expect(new Date(expiryOf('2026-12-01', now)).toISOString()).toBe('2026-12-01T23:59:59.999Z');
  });
});
