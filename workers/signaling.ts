/** The signaling resource of one host, `/_direct/h/{host id}` (shared/PROTOCOL.md, section 2). */
import { Hono, type MiddlewareHandler } from 'hono';
import { DirectError, type ErrorBody } from '../shared/errors.ts';
import { parseHostInfo } from '../shared/host-info.ts';
import { MAX_BATCH_BYTES, MAX_SIGNAL_BYTES, PROTOCOL_VERSION } from '../shared/limits.ts';
import { newId } from '../shared/new-id.ts';
import {
  isId,
  parseAnnounce,
  parseSessionRequest,
  parseSignalJson,
  parseSignalList,
  type SessionReady,
} from '../shared/signal.ts';
import { identify, refuse } from './auth.ts';
import { bySession } from './batch.ts';
import { addressOf, count, type EdgeContext, type EdgeEnv, grantOf, mayServe, mayUse } from './caller.ts';
import { clientName } from './client-address.ts';
import { resolveIce } from './ice-resolution.ts';
import { parseUsableIceServers, singleServers } from './ice-servers.ts';
import { unwrap } from './outcome.ts';
import { readBytes, readText } from './request-body.ts';
import { errorResponse } from './responses.ts';
import { refusingSocket } from './socket.ts';
import { turnConfigurationsOf, turnFor } from './turn/for-subject.ts';

export const signaling = new Hono<EdgeEnv>();

function hostOf(c: EdgeContext): string {
  const id = c.req.param('host');
  if (!isId(id)) throw new DirectError('E_NOT_FOUND', 'not a host id');
  return id;
}

/** Refuses other methods; HEAD too, which would take messages that nobody sees. */
function allow(...methods: string[]): MiddlewareHandler<EdgeEnv> {
  return async (c, next) => {
    hostOf(c);
    if (methods.includes(c.req.raw.method)) return next();
    const response = errorResponse(new DirectError('E_METHOD'));
    response.headers.set('Allow', [...methods, 'OPTIONS'].join(', '));
    return response;
  };
}

/**
 * What the objects are asked for; they answer a poll or an upgrade, and see when the client goes away. `more` is added
 * to the query.
 */
function objectRequest(c: EdgeContext, host: string, more: Record<string, string> = {}): Request {
  const query = new URLSearchParams({ host, hold: String(c.get('settings').pollHoldMs), ...more });
  if (c.req.query('batch') === '1') query.set('batch', '1');
  const headers: HeadersInit = wantsSocket(c) ? { Upgrade: 'websocket' } : {};
  return new Request(`https://object/?${query}`, { headers, signal: c.req.raw.signal });
}

/** A number of polls or POSTs in the query. @throws DirectError `E_BAD_REQUEST` */
function countIn(c: EdgeContext, name: string): number {
  const value = c.req.query(name) ?? '';
  if (!/^\d{1,15}$/.test(value)) throw new DirectError('E_BAD_REQUEST', `${name} must be a number`);
  return Number(value);
}

/** The agent's name for its connection by polls. @throws DirectError `E_BAD_REQUEST` */
function connectionIn(c: EdgeContext): string {
  const id = c.req.query('channels');
  if (!isId(id)) throw new DirectError('E_BAD_REQUEST', 'channels must be 1 to 64 characters of base64url');
  return id;
}

/** Agents have no cookies. @throws DirectError `E_UNAUTHORIZED`, or `E_FORBIDDEN` for a client or another host's agent */
async function checkAgent(c: EdgeContext, host: string, detail: string): Promise<void> {
  const { caller } = await identify(c, { cookie: false });
  if (!mayServe(caller, host)) await refuse(c, caller, detail);
}

/**
 * Asks again once the agent is attached. A credential that became void since it was checked would else keep its place:
 * links are closed when credentials are revoked, and this one may not have been there yet. @throws DirectError
 */
async function stillAgent(c: EdgeContext, host: string, attached: Response): Promise<Response> {
  try {
    await checkAgent(c, host, 'the credential was revoked');
    return attached;
  } catch (error) {
    attached.webSocket?.accept();
    attached.webSocket?.close();
    throw error;
  }
}

/**
 * Whether signals come from the host's agent. Else they are a client's, whose session id is what admits it; a
 * credential beside it must be a right one all the same. @throws DirectError `E_UNAUTHORIZED`, `E_FORBIDDEN`
 */
async function isAgentOf(c: EdgeContext, host: string): Promise<boolean> {
  const { caller } = await identify(c, { cookie: false });
  if (mayServe(caller, host)) return true;
  if (caller.kind === 'anonymous' || mayUse(caller, host)) return false;
  return refuse(c, caller, 'this is another host’s');
}

function wantsSocket(c: EdgeContext): boolean {
  return c.req.header('Upgrade')?.toLowerCase() === 'websocket';
}

signaling.use('/', allow('GET'));
signaling.get('/', async (c) => {
  const id = hostOf(c);
  const { caller } = await identify(c, { host: id });
  const may = mayUse(caller, id) || mayServe(caller, id);
  if (!may) return refuse(c, caller, 'presence is for clients of this host and its agent');
  return c.json({ id, ...(await c.env.HOSTS.getByName(id).presence()) });
});

signaling.use('/session', allow('POST'));
signaling.post('/session', async (c) => {
  const host = hostOf(c);
  const { openHosts, ownerToken } = c.get('settings');
  await count(c);
  const turn = await turnConfigurationsOf(c.get('settings'));
  const { caller, turn: cached, webUi = false } = await identify(c, { host, turn });
  const open = openHosts.has(host);
  if (!mayUse(caller, host) && !(caller.kind === 'anonymous' && open)) {
    return refuse(c, caller, 'a session needs a credential for this host');
  }
  const asked = parseSessionRequest(await readText(c.req.raw, MAX_SIGNAL_BYTES));
  const { offer = null, session_id: id = newId() } = asked;
  // At a host name of its own nothing else is there to be asked for.
  const grant = grantOf(caller, webUi || c.get('site') !== undefined);
  const { client, agent } = await resolveIce({
    settings: c.get('settings'),
    own: asked.ice_servers === undefined ? undefined : parseUsableIceServers(asked.ice_servers),
    isOwner: caller.kind === 'owner',
    isAnonymous: caller.kind === 'anonymous',
    turn: () => turnFor(c, grant.subject, turn, cached),
  });
  const from = await clientName(addressOf(c) ?? undefined, ownerToken);
  const creation = { id, host, iceServers: agent, offer, open, grant, from };
  const created = unwrap(await c.env.SESSIONS.getByName(id).create(creation));
  const ready: SessionReady = {
    session_id: id,
    expires_at: created.expiresAt,
    protocol_version: PROTOCOL_VERSION,
    ice_servers: client.servers,
    ice_source: client.source,
    ...(client.expiresAt === undefined ? {} : { ice_servers_expire_at: client.expiresAt }),
    ...singleServers(client.servers),
    host: created.host,
  };
  return c.json(ready, 201);
});

signaling.use('/signal', allow('GET', 'POST'));
signaling.post('/signal', async (c) => {
  const host = hostOf(c);
  const isAgent = await isAgentOf(c, host);
  const raw = parseSignalJson(await readText(c.req.raw, MAX_SIGNAL_BYTES));
  const announcement = isAgent ? parseAnnounce(raw) : undefined;
  if (announcement !== undefined) {
    await c.env.HOSTS.getByName(host).announce(announcement);
    return c.body(null, 204);
  }
  const info = isAgent ? parseHostInfo(raw) : undefined;
  if (info !== undefined) {
    await c.env.HOSTS.getByName(host).inform(info);
    return c.body(null, 204);
  }
  const parts = bySession(parseSignalList(raw));
  // A client has one session; more would let one request wake many objects.
  if (!isAgent && parts.size > 1) throw new DirectError('E_BAD_REQUEST', 'more than one session in a list');
  const outcomes = await Promise.all(
    [...parts].map(([id, signals]) => {
      const session = c.env.SESSIONS.getByName(id);
      return isAgent ? session.fromAgent(host, signals) : session.fromClient(host, signals);
    }),
  );
  for (const outcome of outcomes) {
    // The session id is the client's credential, so a wrong one counts like a wrong token.
    if (!outcome.ok && outcome.code === 'E_SESSION_UNKNOWN' && !isAgent) await count(c);
    unwrap(outcome);
  }
  return c.body(null, 204);
});

signaling.get('/signal', async (c) => {
  const host = hostOf(c);
  const session = c.req.query('session_id');
  if (session !== undefined) return attachClient(c, host, session);
  await checkAgent(c, host, 'without session_id this is for the host’s agent');
  const more: Record<string, string> =
    c.req.query('channels') === undefined ? {} : { channels: connectionIn(c), after: String(countIn(c, 'after')) };
  const response = await c.env.HOSTS.getByName(host).fetch(objectRequest(c, host, more));
  return response.webSocket === null ? response : stillAgent(c, host, response);
});

signaling.use('/channels', allow('POST'));
signaling.post('/channels', async (c) => {
  const host = hostOf(c);
  await checkAgent(c, host, 'channels are for the host’s agent');
  const [id, number] = [connectionIn(c), countIn(c, 'number')];
  const batch = await readBytes(c.req.raw, MAX_BATCH_BYTES);
  unwrap(await c.env.HOSTS.getByName(host).post(host, id, number, batch));
  return c.body(null, 204);
});

async function attachClient(c: EdgeContext, host: string, session: string): Promise<Response> {
  const unknown = new DirectError('E_SESSION_UNKNOWN');
  const isSocket = wantsSocket(c);
  // A socket may wait in the object for its session, which whoever guesses ids would have for nothing.
  if (isSocket) await count(c);
  const response = isId(session)
    ? await c.env.SESSIONS.getByName(session).fetch(objectRequest(c, host))
    : errorResponse(unknown);
  if (response.status !== unknown.entry.http) return response;
  if (isSocket) {
    // Unread, it would keep the object in memory until this request’s garbage is collected.
    await response.body?.cancel();
    return refusingSocket(unknown);
  }
  await count(c);
  return response;
}

signaling.use('/relay', allow('GET'));
signaling.get('/relay', async (c) => {
  const host = hostOf(c);
  const session = c.req.query('session_id');
  if (!wantsSocket(c)) throw new DirectError('E_BAD_REQUEST', 'the relay takes WebSockets only');
  const response = isId(session)
    ? await c.env.HOSTS.getByName(host).fetch(objectRequest(c, host, { relay: session }))
    : errorResponse(new DirectError('E_SESSION_UNKNOWN'));
  if (response.webSocket !== null) return response;
  const { code, message } = (await response.json<ErrorBody>()).error;
  if (code === 'E_SESSION_UNKNOWN' || code === 'E_UNAUTHORIZED') await count(c);
  return refusingSocket(new DirectError(code, message));
});
