/** Links that carry keys and secrets, in their fragment: browsers keep it to themselves. */
import { decodeBase64url } from '../../shared/base64url.ts';

/** `/_direct/chat#host=…&key=…`: where the chat is, and how the host is known. */
export interface ChatLink {
  host?: string;
  /** The host's key. */
  key?: string;
  /** The owner's token, to sign in at once: links of `npm start`. */
  token?: string;
  /** A pairing secret. */
  pair?: string;
}

/** `/_direct/approve#code=…&key=…`, as the agent prints it. */
export interface ApprovalLink {
  code?: string;
  key?: string;
}

/** `/_direct/invite#invite=…&keys=…` */
export interface InvitationLink {
  secret: string;
  /** Host id → key. */
  keys: Map<string, string>;
}

export function isHostKey(text: string): boolean {
  return decodeBase64url(text)?.length === 32;
}

export function parseChatLink(fragment: string): ChatLink {
  const { host, key, token, pair } = fields(fragment);
  return {
    ...(host === undefined ? {} : { host }),
    ...(key === undefined || !isHostKey(key) ? {} : { key }),
    ...(token === undefined ? {} : { token }),
    ...(pair === undefined ? {} : { pair }),
  };
}

/** What a person pasted: the whole link, or the token alone. */
export function parseTokenInput(input: string): ChatLink {
  const text = input.trim();
  const mark = text.indexOf('#');
  const link = mark < 0 ? {} : parseChatLink(text.slice(mark));
  return link.token === undefined ? { token: text } : link;
}

/** The key stays as it is, even malformed: it will not be the host's, and that must show. */
export function parseApprovalLink(fragment: string): ApprovalLink {
  const { code, key } = fields(fragment);
  return {
    ...(code === undefined ? {} : { code: normalCode(code) }),
    ...(key === undefined ? {} : { key }),
  };
}

export function parseInvitationLink(fragment: string): InvitationLink | undefined {
  const { invite, keys = '' } = fields(fragment);
  if (invite === undefined) return undefined;
  const pairs = keys.split(',').map((pair) => pair.split(':', 2));
  const known = pairs.filter((pair): pair is [string, string] => pair[0] !== '' && isHostKey(pair[1] ?? ''));
  return { secret: invite, keys: new Map(known) };
}

export function chatUrl(origin: string, host: string, key: string | undefined): string {
  const fragment = new URLSearchParams({ host, ...(key === undefined ? {} : { key }) });
  // Not at the root, where a host's web UI may be: what a link says is for the chat alone.
  return `${origin}/_direct/chat#${fragment}`;
}

export function invitationUrl(origin: string, secret: string, keys: ReadonlyMap<string, string>): string {
  // Host ids are slugs and keys base64url, so that nothing here needs to be escaped.
  const list = [...keys].map(([host, key]) => `${host}:${key}`).join(',');
  return `${origin}/_direct/invite#invite=${secret}${list === '' ? '' : `&keys=${list}`}`;
}

/** A user code as the edge writes it, whatever a person made of it: `wdjb mjht` is `WDJB-MJHT`. */
export function normalCode(text: string): string {
  const letters = text.toUpperCase().replace(/[^A-Z0-9]/g, '');
  return letters.length > 4 ? `${letters.slice(0, 4)}-${letters.slice(4, 8)}` : letters;
}

/** The fields that are not empty. */
function fields(fragment: string): Partial<Record<string, string>> {
  const all = new URLSearchParams(fragment.replace(/^#/, ''));
  return Object.fromEntries([...all].filter(([, value]) => value !== ''));
}
