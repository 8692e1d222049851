/** The hosts: who they are, whether they are there, and what they serve. */
import { Hono } from 'hono';
import { DirectError } from '../../shared/errors.ts';
import { isId } from '../../shared/signal.ts';
import { DEFAULT_HOST } from '../account/callers.ts';
import type { Host, HostChange } from '../account/hosts.ts';
import { accountOf } from '../account-stub.ts';
import { type Caller, type EdgeContext, type EdgeEnv, mayUse } from '../caller.ts';
import { unwrap } from '../outcome.ts';
import { byOf } from './by.ts';
import { malformed, nameField } from './fields.ts';
import { host, owner, ownerOrGuest } from './guards.ts';
import { type HostState, stateOf } from './host-state.ts';
import { jsonBody } from './json-body.ts';

export const hosts = new Hono<EdgeEnv>();

hosts.get('/hosts', ownerOrGuest(), async (c) => {
  const usable = await usableHosts(c, c.get('caller'));
  return c.json({ hosts: await Promise.all(usable.map((host) => describe(c, host))) });
});

hosts.patch('/hosts/:id', owner(), async (c) => {
  const change = parseHostChange(await jsonBody(c));
  const changed = await accountOf(c).hosts().change(c.req.param('id'), change, byOf(c));
  return c.json(await describe(c, unwrap(changed)));
});

hosts.delete('/hosts/:id', owner(), async (c) => {
  const id = c.req.param('id');
  unwrap(await accountOf(c).hosts().remove(id, byOf(c)));
  await c.env.HOSTS.getByName(id).forget();
  return c.body(null, 204);
});

/** Of the agent, asked now: null where it does not answer. */
hosts.get('/hosts/:id/report', owner(), async (c) => {
  const id = await knownId(c);
  return c.json({ report: await c.env.HOSTS.getByName(id).report() });
});

hosts.get('/hosts/:id/devices', owner(), async (c) => {
  const id = await knownId(c);
  return c.json({ devices: (await stateOf(c, id)).devices });
});

hosts.delete('/hosts/:id/devices/:device', owner(), async (c) => {
  const id = await knownId(c);
  const device = c.req.param('device');
  if (!isId(device)) throw new DirectError('E_NOT_FOUND', 'no such device');
  unwrap(await c.env.HOSTS.getByName(id).forgetDevice(device));
  const detail = `${id}: ${device}`;
  await accountOf(c)
    .audit()
    .record({ ...byOf(c), action: 'device.remove', detail });
  return c.body(null, 204);
});

hosts.post('/host/logout', host(), async (c) => {
  const caller = c.get('caller');
  const id = caller.kind === 'agent' ? (caller.host ?? '') : '';
  await accountOf(c).hosts().logout(id, byOf(c));
  await c.env.HOSTS.getByName(id).forget();
  return c.body(null, 204);
});

/**
 * The hosts that `caller` may use as a client. Agents with AGENT_TOKEN may serve any id, of which the default one can be
 * known; it has never logged in.
 */
export async function usableHosts(c: EdgeContext, caller: Caller): Promise<Host[]> {
  const known = await accountOf(c).hosts().list();
  const { agentToken, defaultHost = DEFAULT_HOST } = c.get('settings');
  if (agentToken !== undefined && known.every(({ id }) => id !== defaultHost)) {
    known.push({
      id: defaultHost,
      name: defaultHost,
      host_key: null,
      created_at: 0,
      last_login_at: null,
      web_ui: false,
    });
  }
  return known.filter(({ id }) => mayUse(caller, id));
}

/** Ids of all hosts, for scopes. */
export async function hostIds(c: EdgeContext): Promise<string[]> {
  return (await usableHosts(c, { kind: 'owner' })).map(({ id }) => id);
}

/** @throws DirectError `E_NOT_FOUND`: an object would be made for whatever name is asked for. */
async function knownId(c: EdgeContext): Promise<string> {
  const id = c.req.param('id') ?? '';
  if (!(await hostIds(c)).includes(id)) throw new DirectError('E_NOT_FOUND', 'no such host');
  return id;
}

/** @throws DirectError `E_BAD_REQUEST` that names the field. */
function parseHostChange({ name, web_ui }: Record<string, unknown>): HostChange {
  if (web_ui === undefined) return { name: nameField(name) };
  if (typeof web_ui !== 'boolean') malformed('web_ui must be true or false');
  return name === undefined ? { web_ui } : { web_ui, name: nameField(name) };
}

type Described = Omit<Host, 'last_login_at'> & Omit<HostState, 'devices'>;

async function describe(c: EdgeContext, { id, name, host_key, created_at, web_ui }: Host): Promise<Described> {
  const { devices: _, ...state } = await stateOf(c, id);
  return { id, name, host_key, created_at, web_ui, ...state };
}
