/**
 * What each setting means, for people: docs/reference/configuration.md is made of it (`npm run docs`). What to write is
 * in EXPECTED (settings.ts), which messages quote as well.
 */
import type { Key } from './settings.ts';

export const SECTIONS = {
  edge: 'Edge',
  upstreams: 'LLM servers',
  network: 'Network',
  web_ui: 'Web UI',
  access: 'Who gets in',
  running: 'Running',
} as const;

export interface Meaning {
  readonly section: keyof typeof SECTIONS;
  /** Markdown; sentences. */
  readonly text: string;
  /** In words, where nothing is set. */
  readonly default: string;
  /** What may stand in config.yaml, the key included. It is tested. */
  readonly example: string;
  /** What may stand below it, where it is a map: name and meaning. */
  readonly inner?: Readonly<Record<string, string>>;
}

export const MEANINGS: Readonly<Record<Key, Meaning>> = {
  signaling_url: {
    section: 'edge',
    text: 'Where this host is at the edge, for agents that are set up without a person. Set, it counts in place of a login, so `login` refuses to run beside it. `http://` is for loopback only.',
    default: 'from the login',
    example: 'signaling_url: https://edge.example/_direct/h/home',
  },
  token: {
    section: 'edge',
    text: 'The edge’s `AGENT_TOKEN`. It has no flag, because other users of the machine see command lines.',
    default: 'from the login',
    example: 'token: "as-it-was-set-at-the-edge"',
  },
  token_file: {
    section: 'edge',
    text: 'A file that holds the token, instead of it, such as a secret that a container gets. A name that is relative starts where it is set: at the configuration file, or at the folder that the agent was started in.',
    default: 'none',
    example: 'token_file: /run/secrets/agent-token',
  },
  upstream: {
    section: 'upstreams',
    text: 'Base URLs of [LLM servers](../llm-servers.md), in place of looking for them. A `/v1` at the end is left out, since requests bring it.',
    default: 'the agent asks the known ports of this machine',
    example: 'upstream:\n  - http://127.0.0.1:11434\n  - http://gpu.lan:8000',
  },
  upstream_headers: {
    section: 'upstreams',
    text: 'Header fields for the LLM servers, such as their API key. Clients never see them. In the environment: lines of the form `Name: value`. There is no flag, because other users of the machine see command lines.',
    default: 'none',
    example: 'upstream_headers:\n  Authorization: Bearer local-key',
  },
  allowed_prefixes: {
    section: 'upstreams',
    text: 'Paths to serve besides `/v1/` and the inference routes of the known servers, with all below them.',
    default: 'none',
    example: 'allowed_prefixes: [/sdapi, /custom]',
  },
  allow_management: {
    section: 'upstreams',
    text: 'Serve the routes that pull, load, change or delete models, too.',
    default: '`false`',
    example: 'allow_management: true',
  },
  max_body_bytes: {
    section: 'upstreams',
    text: 'The largest request body. `10MB` and `10MiB` are understood; the edge itself takes up to 100 MB by the tunnel.',
    default: '10 MiB',
    example: 'max_body_bytes: 50MB',
  },
  interfaces: {
    section: 'network',
    text: 'Network interfaces to use, by name. `*` and `?` are wildcards (in YAML, quote what begins with one); upper and lower case are the same.',
    default: 'all but [virtual ones](../network.md#what-is-left-out-by-default)',
    example: 'interfaces: [eth0, "wl*"]',
  },
  exclude_interfaces: {
    section: 'network',
    text: 'Interfaces not to use, likewise. It wins over `interfaces`.',
    default: 'none',
    example: 'exclude_interfaces: ["tailscale*", docker0]',
  },
  nat_1to1: {
    section: 'network',
    text: 'Addresses that clients are told in place of local ones: `external` for all of its family, or `external/local` for one. IPv4 or IPv6. The external port must be the same as the local one.',
    default: 'none',
    example: 'nat_1to1: 203.0.113.7',
  },
  udp_ports: {
    section: 'network',
    text: 'The UDP port to listen at, or the ports to choose from. One is enough for all connections. Below 1024 your system may ask for a privilege.',
    default: 'any',
    example: 'udp_ports: 50000-50100',
  },
  ip_family: {
    section: 'network',
    text: 'Which addresses to use.',
    default: '`any`',
    example: 'ip_family: ipv6',
  },
  relay_only: {
    section: 'network',
    text: 'Connect through TURN servers only, so that clients never learn an address of yours. It takes a [TURN server at the edge](../edge.md#turn).',
    default: '`false`',
    example: 'relay_only: true',
  },
  stun_urls: {
    section: 'network',
    text: 'STUN servers (RFC 7064), in place of those that the edge names.',
    default: 'the edge’s',
    example: 'stun_urls: [stun:stun.example.org:3478]',
  },
  port_mapping: {
    section: 'network',
    text: 'Ask the router for a port, by UPnP-IGD, NAT-PMP or PCP, and give it back at the end.',
    default: '`true`',
    example: 'port_mapping: no',
  },
  engine: {
    section: 'network',
    text: 'The library that makes direct connections: `werift`, which is part of the agent, or `node-datachannel`, which you [install beside it](../network.md#a-native-engine). `auto` takes node-datachannel where it is installed and serves your other settings as well as werift.',
    default: '`auto`',
    example: 'engine: werift',
  },
  max_conns: {
    section: 'access',
    text: 'How many clients may be connected at the same time.',
    default: '10',
    example: 'max_conns: 20',
  },
  web_ui: {
    section: 'web_ui',
    text: 'The base URL of [a web UI of this machine](../configuration.md#a-web-ui-of-this-machine), to be opened at the edge.',
    default: 'none',
    example: 'web_ui: http://127.0.0.1:3000',
  },
  web_ui_https_paths: {
    section: 'web_ui',
    text: 'Its paths that stay on plain HTTPS through the edge, with all below them.',
    default: 'none',
    example: 'web_ui: http://127.0.0.1:3000\nweb_ui_https_paths: [/login]',
  },
  access: {
    section: 'access',
    text: '`edge`: whoever the edge lets in. `paired`: of these, [devices that this host knows](../configuration.md#paired-devices).',
    default: '`edge`',
    example: 'access: paired',
  },
  tunnel: {
    section: 'access',
    text: 'Take plain HTTPS requests by way of the edge, which can read them; curl and SDKs use it.',
    default: '`true`',
    example: 'tunnel: no',
  },
  log_level: {
    section: 'running',
    text: 'How much the agent writes to stderr.',
    default: '`info`',
    example: 'log_level: debug',
  },
  policy: {
    section: 'access',
    text: 'What each kind of client may do at most, besides what the edge grants it ([policy](../configuration.md#policy)): `owner` (the owner’s token and signed-in browsers), `keys` (API keys), `guests` (invitations), `anonymous` (no credential, where the edge allows it).',
    default: 'no limits but those of the edge’s grant',
    example: 'policy:\n  guests:\n    models: [llama3]\n    requests_per_minute: 30\n    concurrent_requests: 2',
    inner: {
      prefixes: 'only these paths, such as `/v1/chat`',
      models: 'only these models',
      requests_per_minute: 'of each client',
      concurrent_requests: 'of each client; more wait for their turn',
      allow_management: 'in place of the host’s [`allow_management`](#allow_management)',
    },
  },
  concurrent_requests: {
    section: 'upstreams',
    text: 'How many requests an LLM server runs at a time; the rest wait, one client after the other in turn: [taking turns](../llm-servers.md#taking-turns). One number for each server, or a map by the server’s name.',
    default: 'no limit',
    example: 'concurrent_requests: {ollama: 2, vllm: 16}',
  },
  queue: {
    section: 'upstreams',
    text: 'How many requests may wait. Beyond that they are refused with `E_RATE_LIMITED`. See [taking turns](../llm-servers.md#taking-turns).',
    default: 'per client 128, in all 512',
    example: 'queue: {per_client: 16, total: 64}',
    inner: { per_client: 'of one client', total: 'of all' },
  },
  log_format: {
    section: 'running',
    text: '`json`: each line of [the log](../status.md#the-log) is a JSON object, for programs.',
    default: '`text`',
    example: 'log_format: json',
  },
  metrics: {
    section: 'running',
    text: 'Shows metrics in Prometheus’s text format at `/metrics` of this port: of this machine only, unless an address says otherwise. See [Running it](../status.md#metrics).',
    default: 'off',
    example: 'metrics: 9464',
  },
};
