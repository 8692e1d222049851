/** A host of the account, as `direct-agent login` makes it, for what only such a host can be or do. */
import { deviceFlow } from '../agent/device-flow.ts';
import { EdgeApi } from '../agent/edge-api.ts';
import type { Credentials, HostIdentity } from '../agent/store.ts';
import { OWNER_TOKEN, type Stack } from './stack.ts';

export interface HostLogin {
  host: string;
  token: string;
}

/** Logs the stack's host in; its owner approves at once. */
export async function logIn(stack: Stack): Promise<HostLogin> {
  const credentials = await logInAt(stack.edge.url, { keys: stack.hostKeys, hostKey: stack.hostKey });
  return { host: credentials.host_id, token: credentials.token };
}

/** Logs a host in at the edge of a test; its owner approves at once. */
export async function logInAt(edge: string, identity: HostIdentity): Promise<Credentials> {
  const signal = AbortSignal.timeout(30_000);
  const approved = Promise.withResolvers<void>();
  return await deviceFlow({
    api: new EdgeApi({ edge, fetch, signal }),
    edge,
    identity,
    hostName: 'studio',
    serves: [],
    now: () => performance.now(),
    sleep: () => approved.promise,
    signal,
    show: ({ userCode }) => {
      const body = JSON.stringify({ user_code: userCode });
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${OWNER_TOKEN}` };
      fetch(`${edge}/_direct/api/device/approve`, { method: 'POST', headers, body }).then(
        ({ ok, status }) => (ok ? approved.resolve() : approved.reject(new Error(`not approved: ${status}`))),
        approved.reject,
      );
    },
    trouble: () => {},
  });
}

/** The agent runs anew as the host that logged in, with `flags`, and its owner has switched its web UI on. */
export async function serveWebUi(stack: Stack, login: HostLogin, flags: Record<string, unknown>): Promise<void> {
  await stack.stopAgent();
  stack.log.splice(0);
  await stack.startAgent({ signalingUrl: `${stack.edge.url}/_direct/h/${login.host}`, token: login.token, ...flags });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${OWNER_TOKEN}` };
  const body = JSON.stringify({ web_ui: true });
  const { ok, status } = await fetch(`${stack.edge.url}/_direct/api/hosts/${login.host}`, {
    method: 'PATCH',
    headers,
    body,
  });
  if (!ok) throw new Error(`the web UI was not switched on: ${status}`);
}
