/** Which ICE servers a session gets; the first who names any decides (shared/PROTOCOL.md, section 2). */
import type { IceServer, IceSource } from '../shared/signal.ts';
import type { CachedTurn } from './account/turn-credentials.ts';
import { DEFAULT_ICE_SERVERS, stunOnly, withStun } from './ice-servers.ts';
import type { Settings } from './settings.ts';

export interface ResolvedIce {
  servers: IceServer[];
  source: IceSource;
  /** When the credentials in `servers` end, in milliseconds since 1970. */
  expiresAt?: number;
}

export interface IceAsked {
  settings: Pick<Settings, 'iceServers' | 'turn'>;
  /** The client's own, if it named any. */
  own: IceServer[] | undefined;
  isOwner: boolean;
  /** Has no credential, on an open host. */
  isAnonymous: boolean;
  /** A TURN provider's, if one serves. Asked only when it is needed. */
  turn(): Promise<CachedTurn | undefined>;
}

/**
 * What the client and the agent get. They differ only when somebody else than the owner brings servers of their own:
 * these must not make the agent open connections to addresses of their choice.
 */
export async function resolveIce(asked: IceAsked): Promise<{ client: ResolvedIce; agent: IceServer[] }> {
  const { own, isOwner } = asked;
  if (own === undefined) {
    const client = await byEdge(asked);
    return { client, agent: client.servers };
  }
  const agent = isOwner ? own : (await byEdge(asked)).servers;
  return { client: { servers: own, source: 'client' }, agent };
}

async function byEdge({ settings, isAnonymous, turn }: IceAsked): Promise<ResolvedIce> {
  const { iceServers, turn: variables } = settings;
  // TURN costs its owner money, or bandwidth.
  const mayTurn = !isAnonymous || variables.forOpenHosts;
  if (iceServers !== undefined) {
    return { servers: mayTurn ? iceServers : stunOnly(iceServers), source: 'configuration' };
  }
  const made = mayTurn ? await turn() : undefined;
  if (made === undefined) return { servers: [...DEFAULT_ICE_SERVERS], source: 'default' };
  const { servers, source, expiresAt } = made;
  return { servers: withStun(servers), source, ...(expiresAt === null ? {} : { expiresAt }) };
}
