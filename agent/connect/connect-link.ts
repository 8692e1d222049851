/** What a person gives to `connect`: the address that the agent prints, or an edge and a host. */
import { parsePairingSecret } from '../../shared/device-identity.ts';
import { hostKeyFromText } from '../../shared/host-identity.ts';
import { isId } from '../../shared/signal.ts';
import { CommandError, EXIT } from '../command-error.ts';
import { parseEdge } from '../edge-address.ts';

export interface ConnectLink {
  /** The edge's origin. */
  edge: string;
  /** Undefined: the address names none. */
  host: string | undefined;
  /** Public, base64url. */
  hostKey: string | undefined;
  /** Secret. */
  token: string | undefined;
  /** Secret. */
  pairing: string | undefined;
}

/** Whether it is an address, and not the name of a connection. */
export function isLink(text: string): boolean {
  return /[:/#]/.test(text) || text.includes('.') || text === 'localhost';
}

/** @throws CommandError that never repeats what may be a secret. */
export function parseLink(text: string): ConnectLink {
  const [address = '', fragment = ''] = text.trim().split('#', 2);
  const edge = parseEdge(address);
  const fields = new URLSearchParams(fragment);
  const field = (name: string) => fields.get(name) || undefined;
  const host = field('host') ?? /\/_direct\/h\/([^/?]+)/.exec(address)?.[1];
  const hostKey = field('key');
  const pairing = field('pair');
  if (host !== undefined && !isId(host)) throw broken('host');
  if (hostKey !== undefined && !isKey(hostKey)) throw broken('key');
  if (pairing !== undefined && parsePairingSecret(pairing) === undefined) throw broken('pair');
  return { edge, host, hostKey, token: field('token'), pairing };
}

function isKey(text: string): boolean {
  try {
    hostKeyFromText(text);
    return true;
  } catch {
    return false;
  }
}

function broken(field: string): CommandError {
  return new CommandError(
    EXIT.usage,
    `The link is not complete: “${field}=” after its # is wrong. Copy all of it, in quotes: direct-agent connect 'https://…'`,
  );
}
