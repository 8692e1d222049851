import { expect, it } from 'vitest';
import { authenticate } from './auth.ts';

const settings = { ownerToken: 'owner-secret', agentToken: 'agent-secret' };
const who = (authorization: string | null) =>
  authenticate(authorization, {
    ...settings,
    openHosts: new Set(),
    defaultHost: 'home',
    iceServers: [],
    pollHoldMs: 0,
  });

it.each([
  [null, 'anonymous'],
  ['Bearer owner-secret', 'owner'],
  ['bearer  agent-secret ', 'agent'],
])('%s is %s', async (authorization, caller) => {
  expect(await who(authorization)).toBe(caller);
});

it.each([
  '',
  'Bearer',
  'Bearer ',
  'Bearer owner-secre',
  'Bearer owner-secret2',
  'Bearer OWNER-SECRET',
  'Basic b3duZXI6b3duZXItc2VjcmV0',
  'owner-secret',
  `Bearer ${'x'.repeat(513)}`,
])('%s is refused', async (authorization) => {
  const refusal = who(authorization);
  await expect(refusal).rejects.toMatchObject({ code: 'E_UNAUTHORIZED' });
  await expect(refusal).rejects.not.toThrow(/secret/);
});
