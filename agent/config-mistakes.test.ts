/** What a person reads after each usual mistake in the configuration. A row each; the texts are in config-mistakes.txt. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CommandError } from './command-error.ts';
import { type ConfigSources, loadConfig } from './config.ts';
import { ConfigError } from './config-error.ts';
import { ENV_PREFIX } from './config-messages.ts';
import { chooseEngine } from './engine.ts';
import { checkUsable } from './local-addresses.ts';
import { portProblem } from './port-problem.ts';
import { EDGE, problemsOf, required, withFile } from './test-config.ts';
import { dockerHost, ec2, machine, raspberry } from './test-machines.ts';
import { NoPortError } from './udp-mux.ts';
import { WebRtc } from './webrtc.ts';

const FILE = '/etc/da/config.yaml';
/** A value that no message may show, in whatever way somebody puts it. */
const SECRET = 'hunter2';
const NOT_SHOWN = '';

/** A mistake and where the message has to say that it stands. */
interface Source {
  at: string;
  problems(): string | Promise<string>;
}

const source = (at: string, sources: ConfigSources): Source => ({ at, problems: () => problemsOf(sources) });
const file = (text: string, more: Parameters<typeof withFile>[1] = {}) => source(FILE, withFile(text, more));
const yaml = (lines: string) => file(required + lines);
const env = (name: string, value: string) =>
  source(ENV_PREFIX + name, withFile(required, { env: { [ENV_PREFIX + name]: value } }));
const flag = (name: string, value: unknown) => source('--', withFile(required, { flags: { [name]: value } }));
/** A file that is really there. */
const real = (at: string, flags: () => Record<string, unknown>): Source => ({
  at,
  problems: () => problemsOf({ env: {}, configFolder: folder, flags: { token: 't', signalingUrl: EDGE, ...flags() } }),
});
const network = (at: string, lines: string, interfaces: Parameters<typeof checkUsable>[1]): Source => ({
  at,
  problems: () => failureOf(async () => checkUsable(loadConfig(withFile(`${required}${lines}`)).network, interfaces)),
});

async function failureOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'none';
  } catch (error) {
    if (error instanceof ConfigError || error instanceof CommandError) return error.message;
    throw error;
  }
}

/**
 * What is wrong; the key; what the message shows of the value; where it stands.
 * A row more: add it here, run `npx vitest run --project unit agent/config-mistakes -u`, and read what it says.
 */
const MISTAKES: readonly (readonly [what: string, key: string, shown: string, source: Source])[] = [
  // The edge and the token.
  [
    'http, which others can read',
    'signaling_url',
    'http://edge.',
    flag('signalingUrl', 'http://edge.example/_direct/h/attic'),
  ],
  [
    'a link with a key',
    'signaling_url',
    '/attic#…',
    flag('signalingUrl', `https://edge.example/_direct/h/attic#${SECRET}`),
  ],
  ['an edge without a host', 'signaling_url', 'https://edge.example', env('SIGNALING_URL', 'https://edge.example')],
  ['a token with its scheme', 'token', NOT_SHOWN, env('TOKEN', `Bearer ${SECRET}`)],
  ['a token that YAML takes for a number', 'token', NOT_SHOWN, file(`signaling_url: ${EDGE}\ntoken: 123456\n`)],
  ['token and token_file', 'token', NOT_SHOWN, yaml('token_file: x')],
  ['a token file that is missing', 'token_file', '/etc/da/gone', file(`signaling_url: ${EDGE}\ntoken_file: gone`)],
  [
    'a token file that is empty',
    'token_file',
    '/etc/da/t',
    file(`signaling_url: ${EDGE}\ntoken_file: t`, { files: { '/etc/da/t': '\n' } }),
  ],
  [
    'a folder as token file',
    'token_file',
    'secrets',
    real('--token-file', () => ({ token: undefined, tokenFile: join(folder, 'secrets') })),
  ],

  // The file.
  [
    'a configuration file that is missing',
    'config',
    '/work/gone.yaml',
    source('--config', withFile(required, { flags: { config: 'gone.yaml' } })),
  ],
  [
    'the same, named in the environment',
    'config',
    '/work/gone.yaml',
    source('DIRECT_AGENT_CONFIG', withFile(required, { env: { DIRECT_AGENT_CONFIG: 'gone.yaml' } })),
  ],
  [
    'a folder as configuration file',
    'config',
    'secrets',
    real('--config', () => ({ config: join(folder, 'secrets') })),
  ],
  ['a file in a file', 'config', 'utf16.yaml/x', real('--config', () => ({ config: join(folder, 'utf16.yaml/x') }))],
  ['UTF-16', 'config', 'utf16.yaml', real('--config', () => ({ config: join(folder, 'utf16.yaml') }))],
  [
    'a file of another user',
    'config',
    FILE,
    source(
      FILE,
      withFile(required, {
        readFile: () => {
          throw Object.assign(new Error('denied'), { code: 'EACCES' });
        },
      }),
    ),
  ],
  ['a list instead of keys', 'config', 'a list', file('- a\n- b\n')],
  ['a quote that does not end', 'config', NOT_SHOWN, yaml(`web_ui: "${SECRET}\nmax_conns: 3`)],
  ['a tab', 'config', 'a tab', yaml('upstream:\n\t- http://127.0.0.1:1234')],
  ['a key twice', 'config', 'max_conns', yaml('max_conns: 3\nmax_conns: 4')],
  ['no space after the colon', 'config', NOT_SHOWN, yaml('max_conns:3\nlog_level: info')],
  ['a wrong indent', 'config', NOT_SHOWN, yaml('max_conns: 3\n  log_level: info')],
  ['two documents', 'config', '---', yaml('max_conns: 3\n---\nlog_level: info\n')],
  ['an alias of nothing', 'config', '*name', yaml('upstream: *nowhere')],
  ['a key that is a slip', 'max_con', NOT_SHOWN, yaml('max_con: 3')],
  ['a key in camel case', 'stunUrls', NOT_SHOWN, yaml('stunUrls: x')],
  ['a key with hyphens', 'max-conns', NOT_SHOWN, yaml('max-conns: 3')],
  ['a key of something else', 'zzz', NOT_SHOWN, yaml(`zzz: ${SECRET}`)],
  [
    'a slip in the environment',
    'DIRECT_AGENT_SIGNALLING_URL',
    NOT_SHOWN,
    source('environment', withFile(required, { env: { DIRECT_AGENT_SIGNALLING_URL: SECRET } })),
  ],

  // LLM servers.
  ['an upstream without http://', 'upstream[0]', 'localhost:11434', yaml('upstream: [localhost:11434]')],
  ['an upstream that is a socket', 'upstream[0]', 'ws://localhost:1', yaml('upstream: ws://localhost:1')],
  ['a password in a URL', 'upstream[0]', '//…@gpu.lan', yaml(`upstream: http://me:${SECRET}@gpu.lan`)],
  ['a key in a URL', 'upstream[0]', 'http://gpu.lan/?…', env('UPSTREAM', `http://gpu.lan/?key=${SECRET}`)],
  ['a map as upstream', 'upstream', '{"url":', yaml('upstream: {url: "http://127.0.0.1:1"}')],
  ['an empty item', 'upstream[1]', 'the item is empty', yaml('upstream:\n  - http://127.0.0.1:1\n  -')],
  ['a header that is a list', 'upstream_headers', NOT_SHOWN, yaml(`upstream_headers: {Authorization: [${SECRET}]}`)],
  ['a header without a name', 'upstream_headers', NOT_SHOWN, env('UPSTREAM_HEADERS', SECRET)],
  [
    'a header with a line break',
    'upstream_headers',
    NOT_SHOWN,
    source('--', withFile(required, { flags: { upstreamHeaders: [`X-Key: ${SECRET}\r\nHost: x`] } })),
  ],
  ['a header that frames', 'upstream_headers', 'Content-Length', yaml('upstream_headers: {Content-Length: "5"}')],
  ['a relative prefix', 'allowed_prefixes[0]', '"v1"', yaml('allowed_prefixes: [v1]')],
  ['a prefix that climbs', 'allowed_prefixes[1]', '"/../b"', yaml('allowed_prefixes: [/a, /../b]')],
  ['a boolean that is none', 'allow_management', '"maybe"', env('ALLOW_MANAGEMENT', 'maybe')],
  ['a unit in words', 'max_body_bytes', '"10 megabytes"', env('MAX_BODY_BYTES', '10 megabytes')],
  ['a unit too large', 'max_body_bytes', '"5000GB"', yaml('max_body_bytes: 5000GB')],

  // Who gets in.
  ['a number too high', 'max_conns', '5000', yaml('max_conns: 5000')],
  ['a number in words', 'max_conns', '"ten"', env('MAX_CONNS', 'ten')],
  ['zero', 'max_conns', '"0"', flag('maxConns', '0')],
  ['a list as number', 'max_conns', '[1]', yaml('max_conns: [1]')],
  ['a boolean as number', 'max_conns', 'true', yaml('max_conns: true')],
  ['a choice that is a slip', 'access', '"pared"', yaml('access: pared')],
  ['an unknown choice', 'log_level', '"verbose"', env('LOG_LEVEL', 'verbose')],
  ['a log format that is none', 'log_format', '"xml"', env('LOG_FORMAT', 'xml')],
  ['metrics at no port', 'metrics', '"on"', yaml('metrics: "on"')],
  ['metrics at a URL', 'metrics', 'http://', flag('metrics', 'http://127.0.0.1:9464')],
  ['a scope that is a slip', 'policy', 'guest', yaml('policy: {guest: {models: [a]}}')],
  ['a rule that is a slip', 'policy.guests', 'model', yaml('policy: {guests: {model: a}}')],
  [
    'a rate in words',
    'policy.guests.requests_per_minute',
    '"many"',
    yaml('policy: {guests: {requests_per_minute: many}}'),
  ],
  ['no requests at all', 'concurrent_requests', '0', yaml('concurrent_requests: 0')],
  ['a queue as number', 'queue', '5', yaml('queue: 5')],
  ['a port out of range', 'metrics', '"127.0.0.1:99999"', env('METRICS', '127.0.0.1:99999')],
  ['never, for no', 'tunnel', '"never"', env('TUNNEL', 'never')],

  // The web UI.
  ['a web UI without http://', 'web_ui', 'localhost:3000', yaml('web_ui: localhost:3000')],
  ['a web UI with a password', 'web_ui', '//…@localhost', env('WEB_UI', `http://me:${SECRET}@localhost:3000`)],
  ['a web UI with a query', 'web_ui', 'localhost:3000/?…', flag('webUi', `http://localhost:3000/?token=${SECRET}`)],
  ['a web UI that is a socket', 'web_ui', 'ws://', yaml('web_ui: ws://localhost:3000')],
  [
    'a relative path',
    'web_ui_https_paths[1]',
    '"static"',
    yaml('web_ui: http://localhost:3000\nweb_ui_https_paths: [/a, static]'),
  ],
  ['paths of no web UI', 'web_ui_https_paths', NOT_SHOWN, env('WEB_UI_HTTPS_PATHS', '/static')],

  // The network: each value.
  ['an empty name', 'interfaces[1]', '""', yaml('interfaces: [eth0, ""]')],
  ['a name that is too long', 'interfaces[0]', 'xxx…', flag('interfaces', ['x'.repeat(300)])],
  ['a device file', 'exclude_interfaces[0]', '/dev/eth0', env('EXCLUDE_INTERFACES', '/dev/eth0')],
  ['a map as list', 'interfaces', '{"eth0":"yes"}', yaml('interfaces: {eth0: yes}')],
  ['a host name for an address', 'nat_1to1[0]', 'home.example', yaml('nat_1to1: [home.example]')],
  ['an address that is none', 'nat_1to1[0]', '203.0.113.700', yaml('nat_1to1: 203.0.113.700')],
  ['a network for an address', 'nat_1to1[0]', '203.0.113.0/24', yaml('nat_1to1: 203.0.113.0/24')],
  ['an address with a port', 'nat_1to1[0]', ':50000', flag('nat1to1', ['203.0.113.7:50000'])],
  ['an IPv6 address with a port', 'nat_1to1[0]', ']:50000', flag('nat1to1', ['[2001:db8::7]:50000'])],
  ['three addresses', 'nat_1to1[0]', '/10.0.0.2', yaml('nat_1to1: [203.0.113.7/10.0.0.1/10.0.0.2]')],
  ['two families', 'nat_1to1[0]', 'fd00::5', env('NAT_1TO1', '203.0.113.7/fd00::5')],
  ['loopback', 'nat_1to1[0]', '127.0.0.1', env('NAT_1TO1', '203.0.113.7/127.0.0.1')],
  ['link-local', 'nat_1to1[0]', 'fe80::1', env('NAT_1TO1', '[fe80::1%eth0]')],
  ['multicast', 'nat_1to1[0]', 'ff02::1', env('NAT_1TO1', 'ff02::1')],
  ['no address at all', 'nat_1to1[0]', '0.0.0.0', env('NAT_1TO1', '0.0.0.0')],
  ['broadcast', 'nat_1to1[0]', '255.255.255.255', env('NAT_1TO1', '255.255.255.255')],
  ['IPv4 in IPv6', 'nat_1to1[0]', '::ffff:', env('NAT_1TO1', '::ffff:203.0.113.7')],
  ['two for all', 'nat_1to1', '203.0.113.8', yaml('nat_1to1: [203.0.113.7, 203.0.113.8, "2001:db8::7"]')],
  ['one for all and one for one', 'nat_1to1', '203.0.113.8', yaml('nat_1to1: [203.0.113.7, 203.0.113.8/10.0.0.2]')],
  ['two for one', 'nat_1to1', 'fd00::5', env('NAT_1TO1', '2001:db8::7/fd00::5,2001:db8::8/fd00:0::5')],
  ['one for two', 'nat_1to1', '203.0.113.7', env('NAT_1TO1', '203.0.113.7/10.0.0.1,203.0.113.7/10.0.0.2')],
  [
    'more than there can be',
    'nat_1to1',
    '17 entries',
    flag(
      'nat1to1',
      Array.from({ length: 17 }, (_, i) => `203.0.113.${i}/10.0.0.${i}`),
    ),
  ],
  ['a word for a port', 'udp_ports', '"any"', yaml('udp_ports: any')],
  ['port 0', 'udp_ports', '"0-100"', flag('udpPorts', '0-100')],
  ['a port too high', 'udp_ports', '70000', yaml('udp_ports: 70000')],
  ['ports the wrong way round', 'udp_ports', '"50100-50000"', env('UDP_PORTS', '50100-50000')],
  ['ports with a colon', 'udp_ports', '"50000:50100"', env('UDP_PORTS', '50000:50100')],
  ['ports as a list', 'udp_ports', '[50000,50001]', yaml('udp_ports: [50000, 50001]')],
  ['a family by another name', 'ip_family', '"v6"', env('IP_FAMILY', 'v6')],
  ['always, for yes', 'relay_only', '"always"', env('RELAY_ONLY', 'always')],
  ['a protocol for yes', 'port_mapping', '"upnp"', yaml('port_mapping: upnp')],
  ['a STUN server as URL', 'stun_urls[1]', 'stun://', env('STUN_URLS', 'stun:ok.example,stun://stun.example:3478')],
  ['a STUN server with a bad port', 'stun_urls[0]', ':70000', yaml('stun_urls: [stun:a.example:70000]')],
  ['a TURN server', 'stun_urls[0]', 'turn:turn.example', flag('stunUrls', ['turn:turn.example'])],

  // The network: what contradicts, and what this machine has not.
  [
    'used and not used',
    'interfaces',
    '"docker0"',
    source(
      'DIRECT_AGENT_EXCLUDE_INTERFACES',
      withFile(`${required}interfaces: [eth0, docker0]`, { env: { DIRECT_AGENT_EXCLUDE_INTERFACES: 'docker0' } }),
    ),
  ],
  [
    'only TURN, and what is for direct paths',
    'relay_only',
    'stun_urls',
    source(
      '--port-mapping',
      withFile(`${required}relay_only: true\nnat_1to1: 203.0.113.7\nstun_urls: stun:a.example\n`, {
        flags: { portMapping: 'yes' },
      }),
    ),
  ],
  [
    'an address of the other family',
    'nat_1to1',
    '2001:db8::7',
    yaml('ip_family: ipv4\nnat_1to1: [203.0.113.7, "2001:db8::7"]'),
  ],
  ['an engine that there is not', 'engine', '"wrtc"', yaml('engine: wrtc')],
  [
    'relay_only beside an engine that cannot keep it',
    'relay_only',
    'node-datachannel',
    yaml('relay_only: yes\nengine: node-datachannel'),
  ],
  [
    'an engine that is not installed',
    'engine',
    'npm install node-datachannel',
    {
      at: FILE,
      problems: () =>
        failureOf(async () => {
          const { network: settings } = loadConfig(withFile(`${required}engine: node-datachannel`));
          chooseEngine(settings, { problem: 'node-datachannel is not installed' });
        }),
    },
  ],
  ['an interface that is not here', 'interfaces', '"enp3s1"', network(FILE, 'interfaces: enp3s1', dockerHost)],
  ['an address that is not here', 'nat_1to1', '10.0.12.35', network(FILE, 'nat_1to1: 203.0.113.7/10.0.12.35', ec2)],
  ['a family that is not here', 'ip_family', '2001:db8:d::31', network(FILE, 'ip_family: ipv4', raspberry)],
  [
    'all that is here excluded',
    'exclude_interfaces',
    '192.168.1.5',
    network(FILE, 'exclude_interfaces: "*"', machine({ eth0: ['192.168.1.5/24'] })),
  ],
  [
    'a UDP port that is in use',
    'udp_ports',
    'in use at 127.0.0.1',
    {
      at: FILE,
      async problems() {
        const { port } = taken.address();
        const { network: settings } = loadConfig(
          withFile(`${required}udp_ports: ${port}\ninterfaces: lo\nip_family: ipv4`),
        );
        const text = await failureOf(async () => {
          const webRtc = await WebRtc.open(settings, { log: () => {}, interfaces: () => loopback });
          await webRtc.close();
        });
        // Which program has it, only some systems say: the next row, and port-problem.test.ts.
        return text.replaceAll(`${port}`, '50000').replace(/ by \S+ \(process \d+\)/, '');
      },
    },
  ],
  [
    'the same, where the system says by whom',
    'udp_ports',
    'node (process 123)',
    {
      at: FILE,
      problems: () =>
        portProblem(
          new NoPortError({ min: 50_000, max: 50_000 }, '192.168.1.5', false),
          loadConfig(withFile(`${required}udp_ports: 50000`)).network,
          () => 'node (process 123)',
        ),
    },
  ],
  [
    'UDP ports that are all in use',
    'udp_ports',
    '50000-50001',
    {
      at: FILE,
      problems: () =>
        portProblem(
          new NoPortError({ min: 50_000, max: 50_001 }, '192.168.1.5', false),
          loadConfig(withFile(`${required}udp_ports: 50000-50001`)).network,
        ),
    },
  ],
  [
    'a UDP port that only root may have',
    'udp_ports',
    '443',
    {
      at: FILE,
      problems: () =>
        portProblem(
          new NoPortError({ min: 443, max: 443 }, '192.168.1.5', true),
          loadConfig(withFile(`${required}udp_ports: 443`)).network,
        ),
    },
  ],

  // What is missing.
  ['nothing at all', 'signaling_url', 'direct-agent login', source('', withFile(undefined))],
  ['an empty file', 'signaling_url', 'direct-agent login', source('', withFile('# nothing yet\n'))],
  ['a host without a token', 'token', NOT_SHOWN, file(`signaling_url: ${EDGE}\n`)],
  ['a token without a host', 'signaling_url', NOT_SHOWN, file(`token: ${SECRET}\n`)],
];

const loopback = {
  lo: [{ address: '127.0.0.1', netmask: '255.0.0.0', family: 'IPv4' as const, mac: '', internal: true, cidr: null }],
  // Where there is nothing but loopback, no setting is to blame.
  eth0: [
    { address: '192.0.2.5', netmask: '255.255.255.0', family: 'IPv4' as const, mac: '', internal: false, cidr: null },
  ],
};
const folder = mkdtempSync(join(tmpdir(), 'mistakes-'));
let taken: Socket;
beforeAll(async () => {
  mkdirSync(join(folder, 'secrets'));
  writeFileSync(join(folder, 'utf16.yaml'), Buffer.from('\ufeffmax_conns: 3\n', 'utf16le'));
  taken = createSocket('udp4').bind(0, '127.0.0.1');
  await once(taken, 'listening');
});
afterAll(() => {
  taken.close();
  rmSync(folder, { recursive: true });
});

test('there are more than thirty', () => {
  expect(MISTAKES.length).toBeGreaterThan(30);
  expect(new Set(MISTAKES.map(([what]) => what)).size).toBe(MISTAKES.length);
});

test.each(MISTAKES)('%s', async (_what, key, shown, { at, problems }) => {
  const text = await problems();
  expect(text).toContain(key);
  expect(text).toContain(shown);
  expect(text).toContain(at);
  expect(text).not.toContain(SECRET);
  // Every sentence that says what to do begins with one of these; Known keys: is a list of what could be meant.
  const fix = /(Write|Set|Remove|Correct|Name|Change|Keep|Copy|Use|Run|Indent|Save|Begin|Did you mean|Known keys)\b/;
  for (const line of text.split('\n')) expect(line).toMatch(fix);
});

test('what each says', async () => {
  const texts = await Promise.all(
    MISTAKES.map(async ([what, , , { problems }]) => {
      const lines = (await problems()).replaceAll(folder, '/home/me').split('\n');
      return `${what}\n${lines.map((line) => `  ${line}\n`).join('')}`;
    }),
  );
  await expect(texts.join('\n')).toMatchFileSnapshot('config-mistakes.txt');
});
