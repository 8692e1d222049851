import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { ConfigError, type ConfigSources, folderOf, loadConfig, loadSettings } from './config.ts';
import { KEYS } from './settings.ts';
import { PLAIN_NETWORK } from './test-network.ts';

const EDGE = 'https://edge.example/_direct/h/attic';
const required = `signaling_url: ${EDGE}\ntoken: s3cret\n`;

const NETWORK = { ...PLAIN_NETWORK, portMapping: true };

function withFile(
  yaml: string | undefined,
  more: ConfigSources & { files?: Record<string, string> } = {},
): ConfigSources {
  const files: Record<string, string | undefined> = { '/etc/da/config.yaml': yaml, ...more.files };
  return {
    env: {},
    cwd: '/work',
    configFolder: '/etc/da',
    fileMode: () => 0o100600,
    readFile(path) {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' });
      return text;
    },
    ...more,
  };
}

function problemsOf(sources: ConfigSources): string {
  try {
    loadConfig(sources);
    return 'none';
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

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
web_ui: http://127.0.0.1:3000/ui/
web_ui_https_paths:
  - /static/
access: paired
tunnel: no
log_level: debug
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
    expect(loadConfig(withFile(`${required}ip_family: ipv6\nudp_ports: 4000\n`, { flags })).network).toEqual({
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

test('the recipes of the documentation are valid', () => {
  const text = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8');
  const recipes = [...text.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, yaml = '']) => yaml);
  expect(recipes.length).toBeGreaterThanOrEqual(3);
  for (const yaml of recipes) expect(problemsOf(withFile(required + yaml))).toBe('none');
});

test('the documentation has every key', () => {
  const text = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8');
  expect(KEYS.filter((key) => !text.includes(`\n| \`${key}\` `))).toEqual([]);
});

/** What a person reads after each usual mistake. */
describe('mistakes', () => {
  const yaml = (lines: string) => withFile(required + lines);
  const env = (name: string, value: string) => withFile(required, { env: { [`DIRECT_AGENT_${name}`]: value } });
  const flag = (name: string, value: unknown) => withFile(required, { flags: { [name]: value } });

  it('are explained with key, place, value and fix', () => {
    const report = {
      nothing: problemsOf(withFile(undefined)),
      empty: problemsOf(withFile('# nothing yet\n')),
      plain: problemsOf(flag('signalingUrl', 'http://edge.example/_direct/h/attic')),
      pasted: problemsOf(flag('signalingUrl', 'https://edge.example/_direct/h/attic#hostkey')),
      noHost: problemsOf(env('SIGNALING_URL', 'https://edge.example')),
      slip: problemsOf(yaml('max_con: 3')),
      camel: problemsOf(yaml('stunUrls: x')),
      foreign: problemsOf(yaml('zzz: x')),
      slipInEnv: problemsOf(env('SIGNALLING_URL', 'x')),
      interfaceEmpty: problemsOf(yaml('interfaces: [eth0, ""]')),
      interfaceLong: problemsOf(flag('interfaces', ['x'.repeat(300)])),
      interfacePath: problemsOf(env('EXCLUDE_INTERFACES', '/dev/eth0')),
      interfaceType: problemsOf(yaml('interfaces: {eth0: yes}')),
      interfaceBoth: problemsOf(
        withFile(`${required}interfaces: [eth0, docker0]`, { env: { DIRECT_AGENT_EXCLUDE_INTERFACES: 'docker0' } }),
      ),
      natName: problemsOf(yaml('nat_1to1: [home.example]')),
      natNetwork: problemsOf(yaml('nat_1to1: 203.0.113.0/24')),
      natPort: problemsOf(flag('nat1to1', ['203.0.113.7:50000'])),
      natPort6: problemsOf(flag('nat1to1', ['[2001:db8::7]:50000'])),
      natThree: problemsOf(yaml('nat_1to1: [203.0.113.7/10.0.0.1/10.0.0.2]')),
      natFamilies: problemsOf(env('NAT_1TO1', '203.0.113.7/fd00::5')),
      natLoopback: problemsOf(env('NAT_1TO1', '203.0.113.7/127.0.0.1')),
      natLinkLocal: problemsOf(env('NAT_1TO1', '[fe80::1%eth0]')),
      natMulticast: problemsOf(env('NAT_1TO1', 'ff02::1')),
      natNowhere: problemsOf(env('NAT_1TO1', '0.0.0.0')),
      natBroadcast: problemsOf(env('NAT_1TO1', '255.255.255.255')),
      natMapped: problemsOf(env('NAT_1TO1', '::ffff:203.0.113.7')),
      natTwoBare: problemsOf(yaml('nat_1to1: [203.0.113.7, 203.0.113.8, "2001:db8::7"]')),
      natBareAndMapped: problemsOf(yaml('nat_1to1: [203.0.113.7, 203.0.113.8/10.0.0.2]')),
      natLocalTwice: problemsOf(env('NAT_1TO1', '2001:db8::7/fd00::5,2001:db8::8/fd00:0::5')),
      natExternalTwice: problemsOf(env('NAT_1TO1', '203.0.113.7/10.0.0.1,203.0.113.7/10.0.0.2')),
      natMany: problemsOf(
        flag(
          'nat1to1',
          Array.from({ length: 17 }, (_, i) => `203.0.113.${i}/10.0.0.${i}`),
        ),
      ),
      portWord: problemsOf(yaml('udp_ports: any')),
      portZero: problemsOf(flag('udpPorts', '0-100')),
      portHigh: problemsOf(yaml('udp_ports: 70000')),
      portOrder: problemsOf(env('UDP_PORTS', '50100-50000')),
      portColon: problemsOf(env('UDP_PORTS', '50000:50100')),
      portList: problemsOf(yaml('udp_ports: [50000, 50001]')),
      family: problemsOf(env('IP_FAMILY', 'v6')),
      relayOnly: problemsOf(env('RELAY_ONLY', 'always')),
      portMapping: problemsOf(yaml('port_mapping: upnp')),
      relayOnlyAndMore: problemsOf(
        withFile(`${required}relay_only: true\nnat_1to1: 203.0.113.7\nstun_urls: stun:a.example\n`, {
          flags: { portMapping: 'yes' },
        }),
      ),
      familyAndNat: problemsOf(yaml('ip_family: ipv4\nnat_1to1: [203.0.113.7, "2001:db8::7"]')),
      many: problemsOf(yaml('max_conns: 5000')),
      words: problemsOf(env('MAX_CONNS', 'ten')),
      none: problemsOf(flag('maxConns', '0')),
      type: problemsOf(yaml('max_conns: [1]')),
      size: problemsOf(env('MAX_BODY_BYTES', '10 megabytes')),
      hugeSize: problemsOf(yaml('max_body_bytes: 5000GB')),
      stun: problemsOf(env('STUN_URLS', 'stun:ok.example,stun://stun.example:3478')),
      stunPort: problemsOf(yaml('stun_urls: [stun:a.example:70000]')),
      turn: problemsOf(flag('stunUrls', ['turn:turn.example'])),
      upstream: problemsOf(yaml('upstream: [localhost:11434]')),
      upstreamSecret: problemsOf(yaml('upstream: http://me:hunter2@gpu.lan')),
      prefix: problemsOf(yaml('allowed_prefixes: [v1]')),
      prefixDots: problemsOf(yaml('allowed_prefixes: [/a, /../b]')),
      bool: problemsOf(env('ALLOW_MANAGEMENT', 'maybe')),
      level: problemsOf(env('LOG_LEVEL', 'verbose')),
      webUi: problemsOf(yaml('web_ui: localhost:3000')),
      webUiSecret: problemsOf(env('WEB_UI', 'http://me:hunter2@localhost:3000')),
      webUiQuery: problemsOf(flag('webUi', 'http://localhost:3000/?token=hunter2')),
      webUiSocket: problemsOf(yaml('web_ui: ws://localhost:3000')),
      webUiPath: problemsOf(yaml('web_ui: http://localhost:3000\nweb_ui_https_paths: [/a, static]')),
      webUiPathsAlone: problemsOf(env('WEB_UI_HTTPS_PATHS', '/static')),
      access: problemsOf(yaml('access: pared')),
      tunnel: problemsOf(env('TUNNEL', 'never')),
      spacedToken: problemsOf(env('TOKEN', 'Bearer hunter2')),
      numericToken: problemsOf(withFile(`signaling_url: ${EDGE}\ntoken: 123456\n`)),
      headerType: problemsOf(yaml('upstream_headers: {Authorization: [hunter2]}')),
      headerName: problemsOf(env('UPSTREAM_HEADERS', 'hunter2')),
      headerBreak: problemsOf(flag('upstreamHeaders', ['X-Key: hunter2\r\nHost: x'])),
      headerFraming: problemsOf(yaml('upstream_headers: {Content-Length: "5"}')),
      bothTokens: problemsOf(yaml('token_file: x')),
      noTokenFile: problemsOf(withFile(`signaling_url: ${EDGE}\ntoken_file: gone`)),
      emptyTokenFile: problemsOf(withFile(`signaling_url: ${EDGE}\ntoken_file: t`, { files: { '/etc/da/t': '\n' } })),
      noConfig: problemsOf(withFile(required, { flags: { config: 'gone.yaml' } })),
      broken: problemsOf(yaml('token2: "hunter2\nmax_conns: 3')),
      twice: problemsOf(yaml('max_conns: 3\nmax_conns: 4')),
      list: problemsOf(withFile('- a\n- b\n')),
      alias: problemsOf(yaml('upstream: *nowhere')),
    };
    expect(JSON.stringify(report)).not.toContain('hunter2');
    expect(JSON.stringify(report)).not.toContain('hostkey');
    expect(report).toMatchInlineSnapshot(`
      {
        "access": "access (/etc/da/config.yaml:3): "pared" is not valid. Write edge or paired.",
        "alias": "config (/etc/da/config.yaml): an alias (*name) has no anchor (&name) before it. Write the value itself.",
        "bool": "allow_management (DIRECT_AGENT_ALLOW_MANAGEMENT): "maybe" is neither yes nor no. Write true or false.",
        "bothTokens": "token and token_file (/etc/da/config.yaml:2, /etc/da/config.yaml:3) are both set. Remove one of them.",
        "broken": "config (/etc/da/config.yaml:4): not valid YAML: Missing closing "quote. Correct the line.",
        "camel": "stunUrls (/etc/da/config.yaml:3) is no known key. Did you mean stun_urls?",
        "empty": "The agent does not know its edge. Run: direct-agent login <edge>; or set signaling_url and token (docs/configuration.md).",
        "emptyTokenFile": "token_file (/etc/da/config.yaml:2): the file /etc/da/t is empty or contains spaces. Copy the whole token, nothing else.",
        "family": "ip_family (DIRECT_AGENT_IP_FAMILY): "v6" is not valid. Write any, ipv4 or ipv6.",
        "familyAndNat": "nat_1to1 (/etc/da/config.yaml:4): 2001:db8::7 has no effect, because ip_family (/etc/da/config.yaml:3) is ipv4. Remove it, or set ip_family to any.",
        "foreign": "zzz (/etc/da/config.yaml:3) is no known key. Known keys: signaling_url, token, token_file, upstream, interfaces, exclude_interfaces, nat_1to1, udp_ports, ip_family, relay_only, port_mapping, stun_urls, max_conns, max_body_bytes, allowed_prefixes, allow_management, upstream_headers, policy, concurrent_requests, queue, web_ui, web_ui_https_paths, access, tunnel, log_level",
        "headerBreak": "upstream_headers (--upstream-headers): the value (secret, not shown) has a control or non-ASCII character in X-Key. Remove it.",
        "headerFraming": "upstream_headers (/etc/da/config.yaml:3): the value (secret, not shown) sets Content-Length, which the agent sets itself. Remove that line.",
        "headerName": "upstream_headers (DIRECT_AGENT_UPSTREAM_HEADERS): the value (secret, not shown) has a line without a field name. Write a map, or lines of the form “Name: value”.",
        "headerType": "upstream_headers (/etc/da/config.yaml:3): the value (secret, not shown) is not valid. Write a map, or lines of the form “Name: value”.",
        "hugeSize": "max_body_bytes (/etc/da/config.yaml:3): "5000GB" is no size. Write a size such as 10MB, 512KiB or 1000000.",
        "interfaceBoth": "interfaces (/etc/da/config.yaml:3) and exclude_interfaces (DIRECT_AGENT_EXCLUDE_INTERFACES) both name "docker0". Remove one of them.",
        "interfaceEmpty": "interfaces[1] (/etc/da/config.yaml:3): "" is empty. Write a list of names such as eth0 or wl*.",
        "interfaceLong": "interfaces[0] (--interfaces): "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… is longer than any name (256 characters). Write it with wildcards.",
        "interfacePath": "exclude_interfaces[0] (DIRECT_AGENT_EXCLUDE_INTERFACES): "/dev/eth0" has a character that no name has. Write a list of names such as eth0 or wl*.",
        "interfaceType": "interfaces (/etc/da/config.yaml:3): {"eth0":"yes"} is not valid. Write a list of names such as eth0 or wl*.",
        "level": "log_level (DIRECT_AGENT_LOG_LEVEL): "verbose" is not valid. Write error, warn, info or debug.",
        "list": "config (/etc/da/config.yaml:1): a list or a single value. Write lines of the form “key: value”.",
        "many": "max_conns (/etc/da/config.yaml:3): 5000 is out of range. Write a whole number from 1 to 1000.",
        "natBareAndMapped": "nat_1to1 (/etc/da/config.yaml:3): ["203.0.113.7","203.0.113.8/10.0.0.2"] has 203.0.113.7 for all local IPv4 addresses, and other addresses for some of them. Write external/local for each.",
        "natBroadcast": "nat_1to1[0] (DIRECT_AGENT_NAT_1TO1): "255.255.255.255" has the reserved address 255.255.255.255, which no client can use. Write a list such as 203.0.113.7, or 203.0.113.7/192.168.1.5 for one local address.",
        "natExternalTwice": "nat_1to1 (DIRECT_AGENT_NAT_1TO1): "203.0.113.7/10.0.0.1,203.0.113.7/10.0.0.2" has 203.0.113.7 for two local addresses, and a NAT forwards a port of it to one. Keep that one.",
        "natFamilies": "nat_1to1[0] (DIRECT_AGENT_NAT_1TO1): "203.0.113.7/fd00::5" has an IPv4 and an IPv6 address; both must be of one family. Write a list such as 203.0.113.7, or 203.0.113.7/192.168.1.5 for one local address.",
        "natLinkLocal": "nat_1to1[0] (DIRECT_AGENT_NAT_1TO1): "[fe80::1%eth0]" has the link-local address fe80::1, which no client can use. Write a list such as 203.0.113.7, or 203.0.113.7/192.168.1.5 for one local address.",
        "natLocalTwice": "nat_1to1 (DIRECT_AGENT_NAT_1TO1): "2001:db8::7/fd00::5,2001:db8::8/fd00:0::5" has two addresses for the local fd00::5. Keep the one that the NAT forwards.",
        "natLoopback": "nat_1to1[0] (DIRECT_AGENT_NAT_1TO1): "203.0.113.7/127.0.0.1" has the loopback address 127.0.0.1, which no client can use. Write a list such as 203.0.113.7, or 203.0.113.7/192.168.1.5 for one local address.",
        "natMany": "nat_1to1 (--nat-1to1): ["203.0.113.0/10.0.0.0","203.0.113.1/10.0.0.1","203.0.113.2/10.0.0.2","203.0.113.3/10.0.0.3","203.0.… has 17 entries, and the agent uses 16 addresses at most. Remove some.",
        "natMapped": "nat_1to1[0] (DIRECT_AGENT_NAT_1TO1): "::ffff:203.0.113.7" has an IPv4 address in IPv6 form. Write it as 203.0.113.7.",
        "natMulticast": "nat_1to1[0] (DIRECT_AGENT_NAT_1TO1): "ff02::1" has the multicast address ff02::1, which no client can use. Write a list such as 203.0.113.7, or 203.0.113.7/192.168.1.5 for one local address.",
        "natName": "nat_1to1[0] (/etc/da/config.yaml:3): "home.example" has no IP address where “home.example” stands. Write a list such as 203.0.113.7, or 203.0.113.7/192.168.1.5 for one local address.",
        "natNetwork": "nat_1to1[0] (/etc/da/config.yaml:3): "203.0.113.0/24" looks like a network; after the slash comes the local address. Write a list such as 203.0.113.7, or 203.0.113.7/192.168.1.5 for one local address.",
        "natNowhere": "nat_1to1[0] (DIRECT_AGENT_NAT_1TO1): "0.0.0.0" has the unspecified address 0.0.0.0, which no client can use. Write a list such as 203.0.113.7, or 203.0.113.7/192.168.1.5 for one local address.",
        "natPort": "nat_1to1[0] (--nat-1to1): "203.0.113.7:50000" has a port. A NAT 1:1 keeps the port; set udp_ports to the one that it forwards.",
        "natPort6": "nat_1to1[0] (--nat-1to1): "[2001:db8::7]:50000" has a port. A NAT 1:1 keeps the port; set udp_ports to the one that it forwards.",
        "natThree": "nat_1to1[0] (/etc/da/config.yaml:3): "203.0.113.7/10.0.0.1/10.0.0.2" has more than two addresses. Write a list such as 203.0.113.7, or 203.0.113.7/192.168.1.5 for one local address.",
        "natTwoBare": "nat_1to1 (/etc/da/config.yaml:3): ["203.0.113.7","203.0.113.8","2001:db8::7"] has two IPv4 addresses without a local one (203.0.113.7, 203.0.113.8), and only one of them can stand for all local addresses. Write external/local for each.",
        "noConfig": "config: the file /work/gone.yaml cannot be read (ENOENT). Check its name and permissions.",
        "noHost": "signaling_url (DIRECT_AGENT_SIGNALING_URL): "https://edge.example" does not end in a host. Write https://EDGE/_direct/h/HOST, as the edge shows it.",
        "noTokenFile": "token_file (/etc/da/config.yaml:2): the file /etc/da/gone cannot be read (ENOENT). Check the name.",
        "none": "max_conns (--max-conns): "0" is out of range. Write a whole number from 1 to 1000.",
        "nothing": "The agent does not know its edge. Run: direct-agent login <edge>; or set signaling_url and token (docs/configuration.md).",
        "numericToken": "token (/etc/da/config.yaml:2): the value (secret, not shown) is not valid. Write the agent’s token, in quotes.",
        "pasted": "signaling_url (--signaling-url): "https://edge.example/_direct/h/attic#…" has a query or a fragment. Write https://EDGE/_direct/h/HOST, as the edge shows it.",
        "plain": "signaling_url (--signaling-url): "http://edge.example/_direct/h/attic" is not HTTPS, so others could read the token. Use https://; http:// is for localhost only.",
        "portColon": "udp_ports (DIRECT_AGENT_UDP_PORTS): "50000:50100" is neither a port nor a range. Write a port such as 50000, or a range such as 50000-50100.",
        "portHigh": "udp_ports (/etc/da/config.yaml:3): 70000 is not within 1 and 65535. Write a port such as 50000, or a range such as 50000-50100.",
        "portList": "udp_ports (/etc/da/config.yaml:3): [50000,50001] is not valid. Write a port such as 50000, or a range such as 50000-50100.",
        "portMapping": "port_mapping (/etc/da/config.yaml:3): "upnp" is neither yes nor no. Write true or false.",
        "portOrder": "udp_ports (DIRECT_AGENT_UDP_PORTS): "50100-50000" ends before it begins. Write 50000-50100.",
        "portWord": "udp_ports (/etc/da/config.yaml:3): "any" is neither a port nor a range. Write a port such as 50000, or a range such as 50000-50100.",
        "portZero": "udp_ports (--udp-ports): "0-100" is not within 1 and 65535. Write a port such as 50000, or a range such as 50000-50100.",
        "prefix": "allowed_prefixes[0] (/etc/da/config.yaml:3): "v1" is no path (not an absolute path). Write a path such as /custom.",
        "prefixDots": "allowed_prefixes[1] (/etc/da/config.yaml:3): "/../b" is no path (a dot segment). Write a path such as /custom.",
        "relayOnly": "relay_only (DIRECT_AGENT_RELAY_ONLY): "always" is neither yes nor no. Write true or false.",
        "relayOnlyAndMore": "nat_1to1 (/etc/da/config.yaml:4) has no effect beside relay_only (/etc/da/config.yaml:3): with that only addresses of TURN servers are told to clients. Remove one of them.
      stun_urls (/etc/da/config.yaml:5) has no effect beside relay_only (/etc/da/config.yaml:3): with that only addresses of TURN servers are told to clients. Remove one of them.
      port_mapping (--port-mapping) has no effect beside relay_only (/etc/da/config.yaml:3): with that only addresses of TURN servers are told to clients. Remove one of them.",
        "size": "max_body_bytes (DIRECT_AGENT_MAX_BODY_BYTES): "10 megabytes" is no size. Write a size such as 10MB, 512KiB or 1000000.",
        "slip": "max_con (/etc/da/config.yaml:3) is no known key. Did you mean max_conns?",
        "slipInEnv": "DIRECT_AGENT_SIGNALLING_URL (environment) is no known key. Did you mean DIRECT_AGENT_SIGNALING_URL?",
        "spacedToken": "token (DIRECT_AGENT_TOKEN): the value (secret, not shown) is empty or contains spaces. Copy the whole token, nothing else.",
        "stun": "stun_urls[1] (DIRECT_AGENT_STUN_URLS): "stun://stun.example:3478" is no STUN address. Write stun:HOST:PORT, such as stun:stun.cloudflare.com:3478.",
        "stunPort": "stun_urls[0] (/etc/da/config.yaml:3): "stun:a.example:70000" is no STUN address. Write stun:HOST:PORT, such as stun:stun.cloudflare.com:3478.",
        "tunnel": "tunnel (DIRECT_AGENT_TUNNEL): "never" is neither yes nor no. Write true or false.",
        "turn": "stun_urls[0] (--stun-urls): "turn:turn.example" is no STUN address. Write stun:HOST:PORT, such as stun:stun.cloudflare.com:3478.",
        "twice": "config (/etc/da/config.yaml:4): not valid YAML: Map keys must be unique. Correct the line.",
        "type": "max_conns (/etc/da/config.yaml:3): [1] is not valid. Write a whole number from 1 to 1000.",
        "upstream": "upstream[0] (/etc/da/config.yaml:3): "localhost:11434" is no http URL. Write the base URL of your LLM server, such as http://127.0.0.1:11434; secrets go to upstream_headers.",
        "upstreamSecret": "upstream[0] (/etc/da/config.yaml:3): "http://…@gpu.lan" contains a password. Write the base URL of your LLM server, such as http://127.0.0.1:11434; secrets go to upstream_headers.",
        "webUi": "web_ui (/etc/da/config.yaml:3): "localhost:3000" is no http URL. Write the base URL of a web UI, such as http://127.0.0.1:3000.",
        "webUiPath": "web_ui_https_paths[1] (/etc/da/config.yaml:4): "static" is no path (not an absolute path). Write a path such as /custom.",
        "webUiPathsAlone": "web_ui_https_paths (DIRECT_AGENT_WEB_UI_HTTPS_PATHS) is set, and web_ui is not. Set web_ui as well, or remove it.",
        "webUiQuery": "web_ui (--web-ui): "http://localhost:3000/?…" has a query or a fragment. Write the base URL of a web UI, such as http://127.0.0.1:3000.",
        "webUiSecret": "web_ui (DIRECT_AGENT_WEB_UI): "http://…@localhost:3000" contains a password. Write the base URL of a web UI, such as http://127.0.0.1:3000.",
        "webUiSocket": "web_ui (/etc/da/config.yaml:3): "ws://localhost:3000" is no http URL. Write the base URL of a web UI, such as http://127.0.0.1:3000.",
        "words": "max_conns (DIRECT_AGENT_MAX_CONNS): "ten" is out of range. Write a whole number from 1 to 1000.",
      }
    `);
  });

  it('are reported all at once', () => {
    const sources = withFile('max_conns: 0\nlog_lvl: debug\nudp_ports: x\n', { env: { DIRECT_AGENT_STUN_URLS: 'x' } });
    expect(problemsOf(sources).split('\n')).toHaveLength(5);
  });
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
