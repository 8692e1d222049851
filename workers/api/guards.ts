/** Who may call an address of the API. A guard leaves the caller in `c.var.caller`. */
import type { MiddlewareHandler } from 'hono';
import { identify, refuse } from '../auth.ts';
import type { Caller, EdgeContext, EdgeEnv } from '../caller.ts';

function guard(admits: (caller: Caller) => boolean, detail: string): MiddlewareHandler<EdgeEnv> {
  return async (c, next) => {
    const { caller } = await identify(c);
    if (!admits(caller)) return refuse(c, caller, detail);
    c.set('caller', caller);
    await next();
  };
}

const isOwner = ({ kind }: Caller) => kind === 'owner';
/** With the credential that its login gave it: AGENT_TOKEN is no host's. */
const isHost = (caller: Caller) => caller.kind === 'agent' && caller.host !== null;

export const owner = () => guard(isOwner, 'this is for the owner');

export const ownerOrGuest = () =>
  guard((caller) => isOwner(caller) || caller.kind === 'guest', 'this is for the owner and for guests');

export const host = () => guard(isHost, 'this is for agents that have logged in');

export const ownerOrHost = () =>
  guard((caller) => isOwner(caller) || isHost(caller), 'this is for the owner and for agents that have logged in');

/** Behind `ownerOrHost`: the caller's own host, if it is an agent. */
export function ownHost(c: EdgeContext): string | undefined {
  const caller = c.get('caller');
  return caller.kind === 'agent' ? (caller.host ?? undefined) : undefined;
}

/** Owner or guest by cookie. */
export const signedIn = () =>
  guard((caller) => 'session' in caller && caller.session !== undefined, 'this is for browsers that have signed in');

/** Tells who it is, and refuses wrong bearers only. */
export const anybody = () => guard(() => true, '');
