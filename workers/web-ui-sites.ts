/** Host names of the owner's at which a web UI is served on an origin of its own (`WEB_UI_HOSTNAMES`). */
import { DirectError } from '../shared/errors.ts';
import { isId } from '../shared/signal.ts';

export interface WebUiSite {
  /** Host name, with the port unless it is the scheme's own. */
  readonly name: string;
  readonly origin: string;
  /** The host whose web UI it is. */
  readonly host: string;
}

export interface WebUiSites {
  /** Where people sign in. Undefined where there are no sites. */
  readonly edgeOrigin: string | undefined;
  readonly byName: ReadonlyMap<string, WebUiSite>;
}

const NONE: WebUiSites = { edgeOrigin: undefined, byName: new Map() };

/** @throws DirectError `E_NOT_CONFIGURED` that names the variable. */
export function webUiSites({ WEB_UI_HOSTNAMES, EDGE_ORIGIN }: Cloudflare.Env): WebUiSites {
  const json = (WEB_UI_HOSTNAMES ?? '').trim();
  if (json === '') return NONE;
  const edge = URL.parse((EDGE_ORIGIN ?? '').trim());
  if (edge === null || !/^https?:$/.test(edge.protocol) || edge.href !== `${edge.origin}/`) {
    return refuse(
      'EDGE_ORIGIN must be the address where people sign in, such as https://edge.example, as WEB_UI_HOSTNAMES is set',
    );
  }
  const sites = Object.entries(parse(json)).map(([name, host]): [string, WebUiSite] => {
    const { host: normal, origin } = URL.parse(`${edge.protocol}//${name}/`) ?? {};
    const valid = normal === name && origin !== undefined && !name.endsWith('.') && isId(host);
    // At the edge's own name there would be no edge any more.
    if (!valid || name === edge.host) return refuse(SHAPE);
    return [name, { name, origin, host }];
  });
  return { edgeOrigin: edge.origin, byName: new Map(sites) };
}

/** The site that the request is for. A name with a dot at its end is the same name (RFC 1034, section 3.1). */
export function siteAt(sites: WebUiSites, { hostname, port }: URL): WebUiSite | undefined {
  return sites.byName.get(hostname.replace(/\.$/, '') + (port === '' ? '' : `:${port}`));
}

const SHAPE =
  'WEB_UI_HOSTNAMES must be JSON such as {"chat.example.com": "studio"}, with host names in lower case other than that of EDGE_ORIGIN, and host ids';

function parse(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  return refuse(SHAPE);
}

function refuse(detail: string): never {
  throw new DirectError('E_NOT_CONFIGURED', detail);
}
