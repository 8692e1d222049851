/** What a host's object knows of it now: presence, and what its agent told. */
import type { HostInfo } from '../../shared/host-info.ts';
import type { EdgeContext } from '../caller.ts';

export interface HostState extends Pick<HostInfo, 'serves' | 'devices'> {
  online: boolean;
  /** When the agent's WebSocket was accepted, in milliseconds since 1970. */
  since: number | null;
  /** Null before the agent told. */
  access: HostInfo['access'] | null;
}

export async function stateOf(c: EdgeContext, id: string): Promise<HostState> {
  const host = c.env.HOSTS.getByName(id);
  const [{ online, since = null }, info] = await Promise.all([host.presence(), host.info()]);
  const { serves = [], access = null, devices = [] } = info ?? {};
  return { online, since, serves, access, devices };
}
