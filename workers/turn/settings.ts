/** The variables of the TURN providers. */
import { DirectError } from '../../shared/errors.ts';
import { isTurnUrl, MAX_ICE_SERVERS_LENGTH } from '../../shared/ice-url.ts';
import { withoutBlockedPorts } from '../ice-servers.ts';

export interface CloudflareTurn {
  readonly keyId: string;
  readonly token: string;
}
export interface MeteredTurn {
  readonly app: string;
  readonly apiKey: string;
  readonly region?: string;
}
export interface CoturnTurn {
  readonly urls: readonly string[];
  readonly secret: string;
}

export interface TurnSettings {
  readonly cloudflare?: CloudflareTurn;
  readonly metered?: MeteredTurn;
  readonly coturn?: CoturnTurn;
  /** Of a credential. */
  readonly ttlSeconds: number;
  /** Whether people without a credential get TURN on open hosts. */
  readonly forOpenHosts: boolean;
}

/** 48 hours: Cloudflare refuses more. */
export const MAX_TTL_SECONDS = 172_800;
/** Long enough for most visits, short enough for what was forgotten to be of no use soon. */
const DEFAULT_TTL_SECONDS = 3600;
/** An hour's work can find a shorter one: every credential shows the hash of a known text under it. */
const MIN_SECRET_LENGTH = 16;
const MAX_URLS = 16;

/** They become part of URLs and header fields. */
const KEY_ID = /^[A-Za-z0-9_-]{1,64}$/;
/** RFC 1123, section 2.1: one label, so that the key goes to Metered and nowhere else. */
const HOST_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const REGION = /^[a-z0-9_]{1,32}$/;
const PRINTABLE = /^[\x21-\x7e]{1,512}$/;

type Name =
  | 'CLOUDFLARE_TURN_KEY_ID'
  | 'CLOUDFLARE_TURN_KEY_TOKEN'
  | 'METERED_APP_NAME'
  | 'METERED_API_KEY'
  | 'METERED_REGION'
  | 'TURN_URLS'
  | 'TURN_SECRET'
  | 'TURN_TTL'
  | 'OPEN_HOSTS_TURN';

/** @throws DirectError `E_NOT_CONFIGURED` that names the variable, never its value. */
export function turnSettings(env: { readonly [N in Name]?: string }): TurnSettings {
  // `echo token | wrangler secret put` may leave a line break at the end.
  const values = (...names: Name[]) => names.map((name) => (env[name] ?? '').trim()) as string[];
  const cloudflare = cloudflareOf(
    ...(values('CLOUDFLARE_TURN_KEY_ID', 'CLOUDFLARE_TURN_KEY_TOKEN') as [string, string]),
  );
  const metered = meteredOf(
    ...(values('METERED_APP_NAME', 'METERED_API_KEY', 'METERED_REGION') as [string, string, string]),
  );
  const coturn = coturnOf(...(values('TURN_URLS', 'TURN_SECRET') as [string, string]));
  const [ttl = '', open = ''] = values('TURN_TTL', 'OPEN_HOSTS_TURN');
  return {
    ...(cloudflare === undefined ? {} : { cloudflare }),
    ...(metered === undefined ? {} : { metered }),
    ...(coturn === undefined ? {} : { coturn }),
    ttlSeconds: ttlOf(ttl),
    forOpenHosts: yesOf('OPEN_HOSTS_TURN', open),
  };
}

function cloudflareOf(keyId: string, token: string): CloudflareTurn | undefined {
  if (!isSet({ CLOUDFLARE_TURN_KEY_ID: keyId, CLOUDFLARE_TURN_KEY_TOKEN: token }, 'Cloudflare’s TURN'))
    return undefined;
  if (!KEY_ID.test(keyId)) fail('CLOUDFLARE_TURN_KEY_ID must be the id of a TURN key');
  if (!PRINTABLE.test(token)) fail('CLOUDFLARE_TURN_KEY_TOKEN must be one line of printable ASCII without spaces');
  return { keyId, token };
}

function meteredOf(name: string, apiKey: string, region: string): MeteredTurn | undefined {
  if (!isSet({ METERED_APP_NAME: name, METERED_API_KEY: apiKey }, 'Metered’s TURN')) {
    return region === '' ? undefined : fail('METERED_APP_NAME and METERED_API_KEY must be set too for Metered’s TURN');
  }
  const app = name.toLowerCase();
  if (!HOST_LABEL.test(app)) fail('METERED_APP_NAME must be the first part of {name}.metered.live alone');
  if (!PRINTABLE.test(apiKey)) fail('METERED_API_KEY must be one line of printable ASCII without spaces');
  if (region === '') return { app, apiKey };
  if (!REGION.test(region)) fail('METERED_REGION must be a region of Metered’s, such as europe');
  return { app, apiKey, region };
}

function coturnOf(list: string, secret: string): CoturnTurn | undefined {
  if (!isSet({ TURN_URLS: list, TURN_SECRET: secret }, 'a TURN server of your own')) return undefined;
  const named = list.split(',').map((url) => url.trim());
  const urls = named.filter((url) => url !== '');
  const fit = urls.length <= MAX_URLS && list.length <= MAX_ICE_SERVERS_LENGTH / 2;
  if (!fit) fail(`TURN_URLS must be at most ${MAX_URLS} URLs`);
  if (urls.length === 0 || !urls.every(isTurnUrl)) {
    fail('TURN_URLS must be a list of turn: and turns: URLs, such as turn:turn.example:3478?transport=udp');
  }
  if (withoutBlockedPorts([{ urls }])[0]?.urls.length !== urls.length) {
    fail('TURN_URLS must not use port 53, which browsers block');
  }
  if (secret.length < MIN_SECRET_LENGTH) fail(`TURN_SECRET has fewer than ${MIN_SECRET_LENGTH} characters`);
  return { urls, secret };
}

/** False when none is set. Half of them would let people believe that TURN works. */
function isSet(values: Record<string, string>, what: string): boolean {
  const missing = Object.keys(values).filter((name) => values[name] === '');
  if (missing.length === Object.keys(values).length) return false;
  return missing.length === 0 || fail(`${missing.join(' and ')} must be set too for ${what}`);
}

function ttlOf(value: string): number {
  if (value === '') return DEFAULT_TTL_SECONDS;
  const seconds = /^\d{1,6}$/.test(value) ? Number(value) : 0;
  if (seconds >= 1 && seconds <= MAX_TTL_SECONDS) return seconds;
  return fail(`TURN_TTL must be a whole number of seconds from 1 to ${MAX_TTL_SECONDS}`);
}

function yesOf(name: string, value: string): boolean {
  if (/^(yes|true|1)$/i.test(value)) return true;
  return value === '' || /^(no|false|0)$/i.test(value) ? false : fail(`${name} must be “yes” or “no”`);
}

function fail(detail: string): never {
  throw new DirectError('E_NOT_CONFIGURED', detail);
}
