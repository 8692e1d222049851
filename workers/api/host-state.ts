/** What a host's object knows of it now: presence, and what its agent told. */
import type { HostInfo } from '../../shared/host-info.ts';
import type { EdgeContext } from '../caller.ts';

export interface HostState extends Pick<HostInfo, 'serves' | 'devices'> {
  online: boolean;
  /** When the agent's WebSocket was accepted, in milliseconds since 1970. */
  since: number | null;
  /** Whether the agent has said that there is a web UI. */
  serves_web_ui: boolean;
  /** Null before the agent told. */
  access: HostInfo['access'] | null;
}

export async function stateOf(c: EdgeContext, id: string): Promise<HostState> {
  const host = c.env.HOSTS.getByName(id);
  const [{ online, since = null }, info] = await Promise.all([host.presence(), host.info()]);
  const { serves = [], web_ui = false, access = null, devices = [] } = info ?? {};
  return { online, since, serves, serves_web_ui: web_ui, access, devices };
}
