/**
 * What requests for the host's web UI need beside those for its models. Browsers add it to requests of their own: the
 * address at which people see the UI, their languages, and the page's cookies.
 */
import type { HeaderList, ResponseHead } from '../../shared/head.ts';
import { DIRECT_CREDENTIALS, DIRECT_WEB_UI } from '../../shared/web-ui.ts';
import { fieldBytes } from './field-bytes.ts';

/** The page's cookies, as far as scripts may see them; the others are with the host. */
export interface Cookies {
  /** For the field Cookie. */
  get(): string;
  /** One `Set-Cookie`. */
  set(line: string): void;
}

/** Those of the document; undefined where there is none. */
export function documentCookies(): Cookies | undefined {
  const { document } = globalThis;
  if (document === undefined) return undefined;
  return {
    get: () => document.cookie,
    set: (line) => {
      document.cookie = line;
    },
  };
}

export interface UiRequest {
  url: URL;
  credentials: RequestCredentials;
  /** Whether a browser would name the page's origin: with all methods but GET and HEAD, and for WebSockets. */
  hasOrigin: boolean;
}

/** Fields for the agent. */
export function uiRequestFields({ url, credentials, hasOrigin }: UiRequest, cookies: Cookies | undefined): HeaderList {
  const { navigator } = globalThis as { navigator?: Partial<Navigator> };
  const languages = navigator?.languages?.join(',') ?? '';
  const cookie = credentials === 'omit' ? '' : (cookies?.get() ?? '');
  const fields: HeaderList = [
    ['x-forwarded-host', url.host],
    ['x-forwarded-proto', url.protocol.slice(0, -1)],
    ['origin', hasOrigin ? url.origin : ''],
    ['accept-language', languages],
    ['user-agent', navigator?.userAgent ?? ''],
    ['cookie', fieldBytes(cookie)],
    [DIRECT_CREDENTIALS, credentials === 'omit' ? credentials : ''],
  ];
  return fields.filter(([, value]) => value !== '');
}

/** Applies what a response says to the page, and takes off what is not for it. */
export function uiResponse(head: ResponseHead, request: UiRequest, cookies: Cookies | undefined): ResponseHead {
  const headers = head.headers.filter(([name]) => name !== DIRECT_WEB_UI);
  if (request.credentials !== 'omit') {
    for (const [name, value] of headers) if (name === 'set-cookie') cookies?.set(withPath(utf8(value), request.url));
  }
  return { ...head, headers };
}

/**
 * A cookie without a path is for the folder of the address that set it (RFC 6265, section 5.1.4). A document would take
 * its own.
 */
function withPath(line: string, { pathname }: URL): string {
  if (/;\s*path\s*=\s*\//i.test(line)) return line;
  const folder = pathname.slice(0, Math.max(1, pathname.lastIndexOf('/')));
  return `${line.replace(/;\s*path\s*(?:=[^;]*)?(?=;|$)/gi, '')}; Path=${folder}`;
}

/** Documents show cookies as UTF-8. */
function utf8(text: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(text, (c) => c.charCodeAt(0)));
  } catch {
    return text;
  }
}
