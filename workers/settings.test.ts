import { env } from 'cloudflare:workers';
import { expect, it } from 'vitest';
import { readSettings } from './settings.ts';

const secrets = {
  ...env,
  OWNER_TOKEN: 'owner-of-twenty-chars',
  AGENT_TOKEN: 'agent-of-twenty-chars',
  OPEN_HOSTS: '',
  ICE_SERVERS: '',
  POLL_HOLD_MS: '',
};

const ORIGINS = 'ALLOWED_ORIGINS must be a list of origins, such as https://chat.example';

it.each([
  ['no owner token', { OWNER_TOKEN: '' }, 'OWNER_TOKEN is not set'],
  ['a blank owner token', { OWNER_TOKEN: ' \n' }, 'OWNER_TOKEN is not set'],
  // Not its length either, nor what is in it.
  [
    'an owner token that can be guessed',
    { OWNER_TOKEN: ` ${'x'.repeat(19)}\n` },
    'OWNER_TOKEN has fewer than 20 characters',
  ],
  ['an agent token that can be guessed', { AGENT_TOKEN: 'agent' }, 'AGENT_TOKEN has fewer than 20 characters'],
  ['one token for both', { AGENT_TOKEN: 'owner-of-twenty-chars\n' }, 'OWNER_TOKEN and AGENT_TOKEN must differ'],
  ['an origin that is none', { ALLOWED_ORIGINS: 'chat.example' }, ORIGINS],
  // Any sandboxed page has it.
  ['the opaque origin', { ALLOWED_ORIGINS: 'https://a.example,null' }, ORIGINS],
  // The reason must not quote the text, as the error of JSON.parse does: it may hold a credential.
  [
    'servers that are no JSON',
    { ICE_SERVERS: '[{"urls":"turn:x","credential":"hunter2' },
    'ICE_SERVERS must be a JSON list of RTCIceServer',
  ],
  [
    'servers that are no list',
    { ICE_SERVERS: '{"urls":"stun:x"}' },
    'ICE_SERVERS must be a JSON list of RTCIceServer: ice_servers must be a list of at most 16',
  ],
  [
    'a TURN server without its password',
    { ICE_SERVERS: '[{"urls":"turn:x","username":"hunter2"}]' },
    'ICE_SERVERS must be a JSON list of RTCIceServer: ice_servers: a TURN server needs username and credential',
  ],
  ['a default host that is none', { DEFAULT_HOST: 'my home' }, 'DEFAULT_HOST must be a host id'],
  ['servers that leave no room for an offer', { ICE_SERVERS: '[]'.padStart(8193) }, 'ICE_SERVERS is too long'],
])('fails closed with %s', (_name, vars, detail) => {
  expect(() => readSettings({ ...secrets, ...vars })).toThrow(
    expect.objectContaining({ code: 'E_NOT_CONFIGURED', detail }),
  );
});

it('tells no servers from those that were not named, and leaves out what browsers block', () => {
  expect(readSettings(secrets).iceServers).toBeUndefined();
  expect(readSettings({ ...secrets, ICE_SERVERS: '[]' }).iceServers).toEqual([]);
  const ICE_SERVERS = '[{"urls":["stun:s.example:53","stun:s.example"]},{"urls":"stun:t.example:53"}]';
  expect(readSettings({ ...secrets, ICE_SERVERS }).iceServers).toEqual([{ urls: ['stun:s.example'] }]);
});

it.each([
  [undefined, undefined],
  [' ', undefined],
  [' lab\n', 'lab'],
])('sends requests that name no host to DEFAULT_HOST=%j: %s', (value, id) => {
  const vars = value === undefined ? {} : { DEFAULT_HOST: value };
  expect(readSettings({ ...secrets, ...vars }).defaultHost).toBe(id);
});

it('trims what people pipe into secrets and lists', () => {
  const OWNER_TOKEN = `${secrets.OWNER_TOKEN}\n`;
  const settings = readSettings({ ...secrets, OWNER_TOKEN, OPEN_HOSTS: ' home, ,lab,no/id ' });
  expect(settings.ownerToken).toBe(secrets.OWNER_TOKEN);
  expect([...settings.openHosts]).toEqual(['home', 'lab']);
});

it('needs no agent token: agents log in', () => {
  for (const AGENT_TOKEN of ['', ' \n']) expect(readSettings({ ...secrets, AGENT_TOKEN }).agentToken).toBeUndefined();
});

it('takes origins as people write them, and those of apps', () => {
  const ALLOWED_ORIGINS = 'https://Chat.example/, http://localhost:3000,chrome-extension://abcdef,*';
  expect([...readSettings({ ...secrets, ALLOWED_ORIGINS }).allowedOrigins]).toEqual([
    'https://chat.example',
    'http://localhost:3000',
    'chrome-extension://abcdef',
    '*',
  ]);
});

it.each([
  ['50', 50],
  ['0', 0],
  ['-1', 10_000],
  ['60000', 10_000],
  ['soon', 10_000],
])('holds polls for POLL_HOLD_MS=%s: %i ms', (text, ms) => {
  expect(readSettings({ ...secrets, POLL_HOLD_MS: text }).pollHoldMs).toBe(ms);
});
