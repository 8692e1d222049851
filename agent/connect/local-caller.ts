/**
 * Who may use a local port. Every page that a browser on this machine shows can send requests to it: what the browser
 * says about such a request tells it from one of a program. Ollama has the same rules.
 */
import { isIP } from 'node:net';
import { DirectError } from '../../shared/errors.ts';
import { isLoopback } from '../edge-address.ts';
import { unbracketed } from '../ip-address.ts';

export interface CallerRules {
  /** Names and addresses that this port has besides those of loopback. */
  hosts: readonly string[];
  /** Other machines may use it: they name it by any of its addresses. */
  remote: boolean;
  /** Origins of pages that may use it; `*`: all. */
  origins: readonly string[];
}

/** What a request says of where it comes from. */
export interface CallerFields {
  host: string | undefined;
  origin: string | undefined;
  /** `Sec-Fetch-Site` (Fetch Metadata): browsers send it also where there is no Origin, as for an image. */
  site: string | undefined;
}

/** Programs with a browser inside, such as editors, and no page of the web can have these. */
const PROGRAM_SCHEMES = ['app:', 'tauri:', 'vscode-webview:', 'vscode-file:', 'file:'];

/**
 * Lets a request in, or not. Returns its origin if the browser has to be told that the page may read the answer.
 * @throws DirectError `E_ORIGIN`
 */
export function admitCaller({ host, origin, site }: CallerFields, rules: CallerRules): string | undefined {
  // A page of another name that its owner lets point here (DNS rebinding) is of the same origin to the browser.
  if (!isOurs(host, rules)) {
    throw new DirectError(
      'E_ORIGIN',
      `“${shown(host)}” is no name of this port: use 127.0.0.1, or give it to --allow-host`,
    );
  }
  if (origin === undefined) {
    if (site === 'cross-site' && !rules.origins.includes('*'))
      throw new DirectError('E_ORIGIN', 'a page of the web may not use this port');
    return undefined;
  }
  if (!isAllowed(origin, rules.origins)) {
    throw new DirectError('E_ORIGIN', `pages of ${shown(origin)} may not use this port: give that to --allow-origin`);
  }
  return origin;
}

function isOurs(field: string | undefined, { hosts, remote }: CallerRules): boolean {
  const name = hostnameOf(field);
  if (name === undefined) return false;
  if (isLoopback(name) || name.endsWith('.localhost') || hosts.includes(name)) return true;
  // An address is not a name that somebody could point elsewhere.
  return remote && isIP(unbracketed(name)) !== 0;
}

/** Without its port: tunnels such as `ssh -L` have another one. */
function hostnameOf(field: string | undefined): string | undefined {
  if (field === undefined || !/^[\w.:[\]-]+$/.test(field)) return undefined;
  return URL.parse(`http://${field}`)?.hostname.replace(/\.$/, '') || undefined;
}

function isAllowed(origin: string, origins: readonly string[]): boolean {
  if (origins.includes('*') || origins.includes(origin)) return true;
  const url = URL.parse(origin);
  if (url === null) return false;
  if (PROGRAM_SCHEMES.includes(url.protocol)) return true;
  // Of this machine, whose programs can use the port anyway.
  return /^https?:$/.test(url.protocol) && (isLoopback(url.hostname) || url.hostname.endsWith('.localhost'));
}

function shown(text: string | undefined): string {
  return (text ?? 'nothing').replaceAll(/[^\x21-\x7e]/g, '�').slice(0, 100);
}

/** What the browser wants to know before it shows a page the answer (Fetch, section 3.3). */
export function corsFields(origin: string, asked: { headers?: string | undefined } = {}): Record<string, string> {
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': '*',
    'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
    'access-control-max-age': '600',
    vary: 'Origin',
    ...(asked.headers !== undefined && { 'access-control-allow-headers': asked.headers }),
  };
}
