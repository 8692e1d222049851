/** Where the host is and the token for it: from the link that the agent printed, then from this browser. */

export interface Access {
  host: string;
  token: string;
}

const STORAGE_KEY = 'direct-agent.access';

/** The access in `#host=…&token=…`; undefined where one of them is missing. */
export function accessFromFragment(fragment: string): Access | undefined {
  const fields = new URLSearchParams(fragment.replace(/^#/, ''));
  const host = fields.get('host') ?? '';
  const token = fields.get('token') ?? '';
  return host === '' || token === '' ? undefined : { host, token };
}

/** What a person pasted into the form: the whole link, or the token. */
export function accessFromInput(input: string, host: string): Access | undefined {
  const text = input.trim();
  const mark = text.indexOf('#');
  const fromLink = mark < 0 ? undefined : accessFromFragment(text.slice(mark));
  if (fromLink !== undefined) return fromLink;
  return text === '' || host.trim() === '' ? undefined : { host: host.trim(), token: text };
}

/** A browser may forbid storage; the page then works until it is closed. */
export function saveAccess(access: Access, storage: () => Storage): void {
  try {
    storage().setItem(STORAGE_KEY, JSON.stringify(access));
  } catch {
    // Nothing to do: the link works again.
  }
}

export function loadAccess(storage: () => Storage): Access | undefined {
  try {
    const { host, token } = JSON.parse(storage().getItem(STORAGE_KEY) ?? '{}') as Partial<Record<string, unknown>>;
    return typeof host === 'string' && typeof token === 'string' ? { host, token } : undefined;
  } catch {
    return undefined;
  }
}
