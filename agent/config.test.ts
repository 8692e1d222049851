import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { folderOf, loadConfig, loadSettings } from './config.ts';
import { ConfigError } from './config-error.ts';
import { EDGE, problemsOf, required, withFile } from './test-config.ts';
import { PLAIN_NETWORK } from './test-network.ts';

const NETWORK = { ...PLAIN_NETWORK, portMapping: true, engine: 'auto' };

describe('loadConfig', () => {
  it('fills in the defaults', () => {
    expect(loadConfig(withFile(required))).toEqual({
      signalingUrl: EDGE,
      hostId: 'attic',
      token: 's3cret',
      upstreams: [],
      network: NETWORK,
      maxConns: 10,
      maxBodyBytes: 10 * 1024 * 1024,
      allowedPrefixes: [],
      allowManagement: false,
      upstreamNames: {},
      upstreamHeaders: { any: {}, of: {} },
      policy: {},
      concurrentRequests: undefined,
      queue: { perClient: 128, total: 512 },
      webUi: undefined,
      access: 'edge',
      tunnel: true,
      logLevel: 'info',
      logFormat: 'text',
      metrics: undefined,
      file: '/etc/da/config.yaml',
      warnings: [],
    });
  });

  it('reads every key from the file', () => {
    const yaml = `
signaling_url: http://localhost:8787/_direct/h/attic/
token: s3cret
upstream:
  - http://127.0.0.1:11434/
  - https://gpu.lan:8000/base
interfaces: [eth0, "vEthernet (Lab, 2)"]
exclude_interfaces:
  - wlan*
nat_1to1: [203.0.113.7/192.168.1.5, "2001:DB8:0::7"]
udp_ports: 50000-50100
ip_family: any
relay_only: no
stun_urls: [stun:stun.example.org:3478, "stuns:[2001:db8::1]"]
port_mapping: no
max_conns: 20
max_body_bytes: 25MiB
allowed_prefixes: [/custom/, /sdapi]
allow_management: true
upstream_headers:
  Authorization: Bearer local
engine: werift
web_ui: http://127.0.0.1:3000/ui/
web_ui_https_paths:
  - /static/
access: paired
tunnel: no
log_level: debug
log_format: json
metrics: "[::1]:9464"
`;
    expect(loadConfig(withFile(yaml))).toMatchObject({
      signalingUrl: 'http://localhost:8787/_direct/h/attic',
      upstreams: ['http://127.0.0.1:11434', 'https://gpu.lan:8000/base'],
      network: {
        interfaces: ['eth0', 'vEthernet (Lab, 2)'],
        excludeInterfaces: ['wlan*'],
        nat1to1: [
          { external: '203.0.113.7', local: '192.168.1.5' },
          { external: '2001:db8::7', local: undefined },
        ],
        udpPorts: { min: 50_000, max: 50_100 },
        ipFamily: 'any',
        relayOnly: false,
        stunUrls: ['stun:stun.example.org:3478', 'stuns:[2001:db8::1]'],
        portMapping: false,
        engine: 'werift',
      },
      maxConns: 20,
      maxBodyBytes: 25 * 1024 * 1024,
      allowedPrefixes: ['/custom', '/sdapi'],
      allowManagement: true,
      upstreamHeaders: { any: { authorization: 'Bearer local' }, of: {} },
      webUi: { base: 'http://127.0.0.1:3000/ui', httpsPaths: ['/static'] },
      access: 'paired',
      tunnel: false,
      logLevel: 'debug',
      logFormat: 'json',
      metrics: { host: '::1', port: 9464 },
    });
  });

  it('reads every key from the environment, without any file', () => {
    const env = {
      DIRECT_AGENT_SIGNALING_URL: EDGE,
      DIRECT_AGENT_TOKEN: 'from-env',
      DIRECT_AGENT_UPSTREAM: 'http://127.0.0.1:1234, http://127.0.0.1:8000',
      DIRECT_AGENT_INTERFACES: 'Wi-Fi, vEthernet (External)',
      DIRECT_AGENT_EXCLUDE_INTERFACES: 'tailscale?',
      DIRECT_AGENT_NAT_1TO1: '[2001:db8::7]/[fd00::5], 203.0.113.7',
      DIRECT_AGENT_UDP_PORTS: '443',
      DIRECT_AGENT_IP_FAMILY: 'any',
      DIRECT_AGENT_RELAY_ONLY: 'no',
      DIRECT_AGENT_STUN_URLS: 'stun:a.example,stun:b.example:99',
      DIRECT_AGENT_PORT_MAPPING: 'off',
      DIRECT_AGENT_ENGINE: 'node-datachannel',
      DIRECT_AGENT_MAX_CONNS: '3',
      DIRECT_AGENT_MAX_BODY_BYTES: '1.5kB',
      DIRECT_AGENT_ALLOWED_PREFIXES: '/a,/b',
      DIRECT_AGENT_ALLOW_MANAGEMENT: 'yes',
      DIRECT_AGENT_UPSTREAM_HEADERS: 'X-One: 1\nX-Two: a:b, c',
      DIRECT_AGENT_WEB_UI: 'https://ui.lan',
      DIRECT_AGENT_WEB_UI_HTTPS_PATHS: '/a, /b/c',
      DIRECT_AGENT_ACCESS: 'paired',
      DIRECT_AGENT_TUNNEL: 'off',
      DIRECT_AGENT_LOG_LEVEL: 'warn',
      PATH: '/bin',
    };
    expect(loadConfig(withFile(undefined, { env }))).toMatchObject({
      token: 'from-env',
      upstreams: ['http://127.0.0.1:1234', 'http://127.0.0.1:8000'],
      network: {
        ...NETWORK,
        interfaces: ['Wi-Fi', 'vEthernet (External)'],
        excludeInterfaces: ['tailscale?'],
        nat1to1: [
          { external: '2001:db8::7', local: 'fd00::5' },
          { external: '203.0.113.7', local: undefined },
        ],
        udpPorts: { min: 443, max: 443 },
        stunUrls: ['stun:a.example', 'stun:b.example:99'],
        portMapping: false,
        engine: 'node-datachannel',
      },
      maxConns: 3,
      maxBodyBytes: 1500,
      allowedPrefixes: ['/a', '/b'],
      allowManagement: true,
      upstreamHeaders: { any: { 'x-one': '1', 'x-two': 'a:b, c' }, of: {} },
      webUi: { base: 'https://ui.lan', httpsPaths: ['/a', '/b/c'] },
      access: 'paired',
      tunnel: false,
      logLevel: 'warn',
      file: undefined,
    });
  });

  it('lets the environment win over the file and flags over both', () => {
    const sources = withFile(`${required}max_conns: 1\nlog_level: error\nallowed_prefixes: [/file]`, {
      env: { DIRECT_AGENT_MAX_CONNS: '2', DIRECT_AGENT_LOG_LEVEL: 'warn', DIRECT_AGENT_TOKEN: '' },
      flags: { maxConns: 3, allowManagement: undefined, open: true, allowedPrefixes: ['/flag'] },
    });
    expect(loadConfig(sources)).toMatchObject({
      maxConns: 3,
      logLevel: 'warn',
      token: 's3cret',
      allowManagement: false,
      allowedPrefixes: ['/flag'],
    });
  });

  it('reads every network key from flags, as commander names them', () => {
    const flags = {
      interfaces: ['eth0', 'eth1'],
      excludeInterfaces: ['docker0'],
      nat1to1: ['203.0.113.7/192.168.1.5', '203.0.113.8/192.168.1.6'],
      udpPorts: '50000',
      ipFamily: 'ipv4',
      portMapping: 'yes',
    };
    const { places, ...network } = loadConfig(
      withFile(`${required}ip_family: ipv6\nudp_ports: 4000\n`, { flags }),
    ).network;
    expect(places).toMatchObject({ interfaces: '--interfaces', udp_ports: '--udp-ports' });
    expect(network).toEqual({
      ...NETWORK,
      interfaces: ['eth0', 'eth1'],
      excludeInterfaces: ['docker0'],
      nat1to1: [
        { external: '203.0.113.7', local: '192.168.1.5' },
        { external: '203.0.113.8', local: '192.168.1.6' },
      ],
      udpPorts: { min: 50_000, max: 50_000 },
      ipFamily: 'ipv4',
    });
  });

  it('asks the router for no port where only TURN is used', () => {
    const { network } = loadConfig(withFile(required, { flags: { relayOnly: true } }));
    expect(network).toMatchObject({ relayOnly: true, portMapping: false });
  });

  it('reads a pinned port that YAML takes for a number', () => {
    expect(loadConfig(withFile(`${required}udp_ports: 50000`)).network.udpPorts).toEqual({ min: 50_000, max: 50_000 });
  });

  it('reads the file that --config or the environment names', () => {
    const files = { '/work/mine.yaml': `${required}max_conns: 7`, '/abs.yaml': `${required}max_conns: 8` };
    expect(loadConfig(withFile(required, { files, flags: { config: 'mine.yaml' } })).maxConns).toBe(7);
    expect(loadConfig(withFile(required, { files, env: { DIRECT_AGENT_CONFIG: '/abs.yaml' } })).maxConns).toBe(8);
  });

  it('reads the token from token_file, relative to the configuration file', () => {
    const files = { '/etc/da/token': ' from-file \n', '/work/token': 'from-cwd' };
    const yaml = `signaling_url: ${EDGE}\ntoken_file: token\n`;
    expect(loadConfig(withFile(yaml, { files })).token).toBe('from-file');
    expect(loadConfig(withFile(yaml, { files, flags: { tokenFile: 'token' } })).token).toBe('from-cwd');
    expect(loadConfig(withFile(yaml, { files, env: { DIRECT_AGENT_TOKEN: 'direct' } })).token).toBe('direct');
    expect(loadConfig(withFile(required, { files, flags: { tokenFile: 'token' } })).token).toBe('from-cwd');
  });

  it('warns about a secret that others may read', () => {
    const files = { '/etc/da/token': 'x' };
    const yaml = `signaling_url: ${EDGE}\ntoken_file: token\n`;
    const fileMode = () => 0o100644;
    expect(loadConfig(withFile(yaml, { files, fileMode })).warnings).toEqual([
      '/etc/da/token holds a secret and other users may read it (mode 644). Run: chmod 600 /etc/da/token',
    ]);
    expect(loadConfig(withFile(required, { fileMode })).warnings).toHaveLength(1);
    expect(
      loadConfig(withFile(`signaling_url: ${EDGE}`, { fileMode, env: { DIRECT_AGENT_TOKEN: 'x' } })).warnings,
    ).toEqual([]);
    expect(loadConfig(withFile(required, { fileMode: () => undefined })).warnings).toEqual([]);
  });

  it('drops /v1 from an upstream and warns about serving everything', () => {
    const config = loadConfig(withFile(`${required}upstream: http://localhost:1234/v1/\nallowed_prefixes: /\n`));
    expect(config.upstreams).toEqual(['http://localhost:1234']);
    expect(config.warnings).toMatchInlineSnapshot(`
      [
        "upstream: left out the /v1 at its end; requests bring it.",
        "allowed_prefixes: / lets clients reach every path of the upstream.",
      ]
    `);
  });

  it('warns about a web UI that no browser can open', () => {
    const warningsOf = (more: string) =>
      loadConfig(withFile(`${required}web_ui: http://localhost:3000\n${more}`)).warnings;
    expect(warningsOf('')).toEqual([]);
    expect([...warningsOf('tunnel: no'), ...warningsOf('access: paired')]).toMatchInlineSnapshot(`
      [
        "web_ui: browsers load pages by plain HTTPS, which this host does not take (tunnel), so they cannot open the web UI. Set tunnel to yes, or remove web_ui.",
        "web_ui: browsers load pages by plain HTTPS, which this host does not take (access), so they cannot open the web UI. Set access to edge, or remove web_ui.",
      ]
    `);
  });

  it.each([
    'http://127.0.0.1/_direct/h/x',
    'http://127.9.8.7:99/_direct/h/x',
    'http://127.1/_direct/h/x',
    'http://[::1]:8787/_direct/h/x/',
    'http://LOCALHOST:8787/_direct/h/x',
    'https://edge.example/prefix/_direct/h/x',
  ])('accepts the signaling URL %s', (url) => {
    expect(loadConfig(withFile(undefined, { flags: { signalingUrl: url, token: 't' } })).hostId).toBe('x');
  });

  it.each([
    'http://edge.example/_direct/h/x',
    'http://127.0.0.1.evil.example/_direct/h/x',
    'http://localhost.evil.example/_direct/h/x',
    'http://[::2]/_direct/h/x',
    'http://10.0.0.1/_direct/h/x',
    'ws://localhost/_direct/h/x',
    'wss://edge.example/_direct/h/x',
    'https://edge.example/_direct/h/',
    'https://edge.example/_direct/h/a/b',
    'https://edge.example/_direct/h/a%20b',
    `https://edge.example/_direct/h/${'a'.repeat(65)}`,
    'https://user:pass@edge.example/_direct/h/x',
    'https://edge.example/_direct/h/x?token=1',
    'https://edge.example/_direct/h/x#key',
    'edge.example/_direct/h/x',
    '',
  ])('refuses the signaling URL %j', (url) => {
    expect(problemsOf(withFile(undefined, { flags: { signalingUrl: url, token: 't' } }))).toMatch(/^signaling_url /);
  });

  it('works with real files and permissions', () => {
    const folder = mkdtempSync(join(tmpdir(), 'config-'));
    try {
      writeFileSync(join(folder, 'config.yaml'), required, { mode: 0o640 });
      const config = loadConfig({ env: {}, configFolder: folder });
      expect(config.token).toBe('s3cret');
      expect(config.warnings).toHaveLength(process.platform === 'win32' ? 0 : 1);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test('all mistakes are reported at once', () => {
  const sources = withFile('max_conns: 0\nlog_lvl: debug\nudp_ports: x\n', { env: { DIRECT_AGENT_STUN_URLS: 'x' } });
  expect(problemsOf(sources).split('\n')).toHaveLength(5);
});

describe('a login', () => {
  const login = { signalingUrl: 'https://other.example/_direct/h/home', hostId: 'home', token: 'dah_x' };

  it('gives edge and token where neither is set', () => {
    expect(loadConfig(withFile('max_conns: 3', { login }))).toMatchObject({ ...login, maxConns: 3 });
  });

  it('does not count where both are set', () => {
    expect(loadConfig(withFile(required, { login }))).toMatchObject({ signalingUrl: EDGE, token: 's3cret' });
  });

  it('fills in the token for its own edge and host alone', () => {
    const own = withFile(`signaling_url: ${login.signalingUrl}/`, { login });
    expect(loadConfig(own).token).toBe('dah_x');
    const strange = problemsOf(withFile(`signaling_url: ${EDGE}`, { login }));
    expect(strange).toContain('token is missing');
    expect(strange).toContain('The login of this machine is for https://other.example/_direct/h/home.');
    expect(strange).not.toContain('dah_x');
  });

  it('takes no token that is meant for another edge', () => {
    const problem = problemsOf(withFile('token: s3cret', { login }));
    expect(problem).toContain('signaling_url is missing');
    expect(problem).toContain('remove the token (/etc/da/config.yaml:1)');
  });

  it('is not begun where a connection is set, or half of one', () => {
    for (const yaml of [required, `signaling_url: ${EDGE}`, 'token: s3cret', 'token_file: /etc/da/config.yaml']) {
      expect(() => loadSettings(withFile(yaml))).toThrow(ConfigError);
    }
    expect(loadSettings(withFile('max_conns: 3')).maxConns).toBe(3);
  });
});

describe('the folder', () => {
  it('is what --folder names, or the environment', () => {
    const env = { DIRECT_AGENT_FOLDER: 'mine' };
    expect(folderOf({ env, cwd: '/work' })).toBe('/work/mine');
    expect(folderOf({ env, cwd: '/work', flags: { folder: '/other' } })).toBe('/other');
    expect(folderOf({ env: {} })).toContain('direct-agent');
    const files = { '/work/mine/config.yaml': `${required}max_conns: 9` };
    const { configFolder: _, ...sources } = withFile(undefined, { files, env });
    expect(loadConfig(sources).maxConns).toBe(9);
  });
});
