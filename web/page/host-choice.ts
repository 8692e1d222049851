/** Which host the page talks to: the link's, the one of the last visit, or whichever is there. */
import type { UsableHost } from '../../shared/account-api.ts';

const STORAGE_KEY = 'direct-agent.host';
/** From the time when the page kept the owner's token here. */
const OLD_STORAGE_KEY = 'direct-agent.access';

/**
 * The id; undefined when there is none. A link's host counts even if the edge did not name it: agents with a token of
 * their own serve hosts that nobody approved.
 */
export function chooseHost(
  hosts: readonly UsableHost[],
  fromLink: string | undefined,
  remembered: string | undefined,
): string | undefined {
  if (fromLink !== undefined) return fromLink;
  if (hosts.length === 0) return remembered;
  const known = hosts.find(({ id }) => id === remembered);
  return (known ?? hosts.find(({ online }) => online) ?? hosts[0])?.id;
}

export function rememberedHost(storage: () => Storage): string | undefined {
  try {
    return storage().getItem(STORAGE_KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

/** A browser may forbid storage; it then asks again at the next visit. */
export function rememberHost(host: string, storage: () => Storage): void {
  try {
    storage().setItem(STORAGE_KEY, host);
  } catch {
    // Nothing to do.
  }
}

/** What an older version of this page stored, which is then gone: a token has no place here any more. */
export function takeOldAccess(storage: () => Storage): { host?: string; token?: string } {
  try {
    const text = storage().getItem(OLD_STORAGE_KEY);
    if (text === null) return {};
    storage().removeItem(OLD_STORAGE_KEY);
    const { host, token } = JSON.parse(text) as Partial<Record<string, unknown>>;
    return {
      ...(typeof host === 'string' ? { host } : {}),
      ...(typeof token === 'string' ? { token } : {}),
    };
  } catch {
    return {};
  }
}
