/** An account as people may have it, for tests and pictures of the dashboard. */
import type { Host } from '../shared/account-api.ts';
import type { FakeEdge } from './fake-edge.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Any 32 bytes have a fingerprint. */
export const HOST_KEYS = {
  home: `${'h'.repeat(42)}A`,
  attic: `${'a'.repeat(42)}A`,
  studio: `${'s'.repeat(42)}A`,
  other: `${'x'.repeat(42)}A`,
};

export function fillAccount(edge: FakeEdge): void {
  const now = Date.now();
  const home: Host = {
    id: 'home',
    name: 'Home server',
    host_key: HOST_KEYS.home,
    online: true,
    since: now - 3 * HOUR,
    serves: [
      {
        name: 'Ollama',
        models: [
          'llama3.2:3b',
          'qwen3:8b',
          'gemma3:12b',
          'mistral-small:24b',
          'phi4',
          'deepseek-r1:14b',
          'qwen3-coder:30b',
          'nomic-embed-text',
        ],
      },
      { name: 'llama.cpp', models: ['gpt-oss-20b'] },
    ],
    access: 'paired',
    web_ui: true,
    serves_web_ui: true,
    created_at: now - 40 * DAY,
  };
  const attic: Host = {
    id: 'attic',
    name: 'attic',
    host_key: HOST_KEYS.attic,
    online: false,
    since: null,
    serves: [{ name: 'LM Studio', models: ['qwen3:8b'] }],
    access: 'edge',
    web_ui: false,
    serves_web_ui: true,
    created_at: now - 9 * DAY,
  };
  edge.hosts = [home, attic];
  edge.reports.set('home', {
    version: '0.1.0',
    started_at: now - 3 * HOUR,
    sessions: { direct: 2, turn: 0, relay: 1, tunnel: 0, none: 0 },
    requests: { running: 2, finished: 148, failed: 1 },
    tokens_per_second: 53.8,
    upstreams: [
      { name: 'Ollama', state: 'up', running: 2, waiting: 1 },
      { name: 'llama.cpp', state: 'down', running: 0, waiting: 0 },
    ],
  });
  edge.devices.set('home', [
    { id: 'phone', name: 'Safari on iPhone', paired_at: now - 30 * DAY, last_used_at: now - 2 * HOUR },
    { id: 'laptop', name: 'Firefox on Linux', paired_at: now - 3 * DAY, last_used_at: null },
  ]);
  const everything = { hosts: null, prefixes: null, models: null, requests_per_minute: null };
  edge.keys = [
    {
      ...everything,
      id: 'key-1',
      name: 'Editor on the laptop',
      hint: 'x3Fq',
      expires_at: now + 71 * DAY,
      created_at: now - 19 * DAY,
      last_used_at: now - 12 * MINUTE,
    },
    {
      id: 'key-2',
      name: 'Home automation',
      hint: '9_aB',
      hosts: ['home'],
      prefixes: ['/v1/chat/'],
      models: ['llama3.2:3b'],
      requests_per_minute: 20,
      expires_at: null,
      created_at: now - 30 * DAY,
      last_used_at: now - 5 * DAY,
    },
    {
      ...everything,
      id: 'key-3',
      name: 'A try',
      hint: 'Qq0-',
      expires_at: now - 2 * DAY,
      created_at: now - 3 * DAY,
      last_used_at: null,
    },
  ];
  edge.invitations = [
    {
      id: 'invitation-1',
      name: 'Grandma',
      hosts: ['home'],
      expires_at: now + 5 * DAY,
      created_at: now - 2 * DAY,
      uses: 2,
      last_used_at: now - 4 * HOUR,
    },
    {
      id: 'invitation-2',
      name: 'Study group',
      hosts: ['home', 'attic'],
      expires_at: null,
      created_at: now - HOUR,
      uses: 0,
      last_used_at: null,
    },
  ];
  edge.passkeys = [
    { id: 'passkey-1', name: 'iPhone', created_at: now - 20 * DAY, last_used_at: now - 2 * HOUR },
    { id: 'passkey-2', name: 'YubiKey', created_at: now - 20 * DAY, last_used_at: null },
  ];
  const session = { created_at: now - 2 * DAY, last_seen_at: now - MINUTE / 2, expires_at: now + 28 * DAY };
  edge.sessions = [
    { ...session, id: 'session-1', kind: 'owner', name: 'Chrome on Linux', current: true },
    {
      ...session,
      id: 'session-2',
      kind: 'owner',
      name: 'Safari on iPhone',
      current: false,
      last_seen_at: now - 2 * HOUR,
    },
    {
      ...session,
      id: 'session-3',
      kind: 'guest',
      name: 'Firefox on Windows',
      current: false,
      last_seen_at: now - 4 * HOUR,
    },
  ];
  edge.events = Array.from({ length: 130 }, (_, index) => ({
    id: 130 - index,
    at: now - index * 47 * MINUTE,
    ...(KINDS[index % KINDS.length] as (typeof KINDS)[number]),
  }));
  const login = {
    host_name: 'studio-pc',
    host_key: HOST_KEYS.studio,
    serves: [{ name: 'Ollama', models: ['llama3.2:3b', 'qwen3:8b'] }],
    address: '203.0.113.7',
    created_at: now - MINUTE,
    expires_at: now + 9 * MINUTE,
    known_host: null,
  };
  edge.logins.set('WDJB-MJHT', { ...login, user_code: 'WDJB-MJHT' });
  edge.logins.set('KNWN-HOST', {
    ...login,
    user_code: 'KNWN-HOST',
    host_name: 'attic',
    host_key: HOST_KEYS.attic,
    known_host: { id: 'attic', name: 'attic' },
  });
}

const KINDS = [
  { actor: 'session:1', action: 'key.create', detail: 'Editor on the laptop', address: '198.51.100.23' },
  { actor: 'owner', action: 'sign-in', detail: 'by passkey', address: '198.51.100.23' },
  { actor: 'invitation:1', action: 'invitation.accept', detail: 'Grandma', address: '2001:db8::17' },
  { actor: 'anonymous', action: 'lock', detail: 'owner token', address: '203.0.113.99' },
  { actor: 'host:home', action: 'host.login', detail: 'Home server', address: null },
];
