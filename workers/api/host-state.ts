/** What a host's object knows of it now: presence, and what its agent told. */
import type { Served } from '../account/device-grants.ts';
import type { EdgeContext } from '../caller.ts';
import type { Outcome } from '../outcome.ts';

/** A paired device, as the agent reports it. */
interface Device {
  id: string;
  name: string;
  /** Milliseconds since 1970, both. */
  paired_at: number;
  last_used_at: number | null;
}

interface HostInfo {
  serves: Served[];
  /** Whom the agent lets in: whoever the edge does, or paired devices only. */
  access: 'edge' | 'paired' | null;
  devices: Device[];
}

export interface HostState extends HostInfo {
  online: boolean;
  /** When the agent's WebSocket was accepted, in milliseconds since 1970. */
  since: number | null;
}

/** HostObject's, as it is called here. */
interface Telling {
  info(): Promise<HostInfo | null>;
  forgetDevice(id: string): Promise<Outcome<null>>;
}

const hostObject = (c: EdgeContext, id: string) => c.env.HOSTS.getByName(id) as unknown as Telling;

export async function stateOf(c: EdgeContext, id: string): Promise<HostState> {
  const [{ online, since = null }, info] = await Promise.all([c.env.HOSTS.getByName(id).presence(), infoOf(c, id)]);
  const { serves = [], access = null, devices = [] } = info ?? {};
  return { online, since, serves, access, devices };
}

/** A host that fails must not keep the others from the list. */
async function infoOf(c: EdgeContext, id: string): Promise<HostInfo | null> {
  try {
    return await hostObject(c, id).info();
  } catch {
    return null;
  }
}

/** Tells the agent to forget a device. Refuses with `E_HOST_OFFLINE`. */
export function forgetDevice(c: EdgeContext, id: string, device: string): Promise<Outcome<null>> {
  return hostObject(c, id).forgetDevice(device);
}
