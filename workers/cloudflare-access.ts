/**
 * Cloudflare Access (developers.cloudflare.com/cloudflare-one, “Validate JWTs”) before the edge: whom it let through, as
 * a signed token. Access can be configured wrong, or be passed by on another host name, so the token is checked here.
 */
import { parse } from 'hono/utils/cookie';
import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { DirectError } from '../shared/errors.ts';

export interface AccessSettings {
  /** `https://{team}.cloudflareaccess.com`: who signs. */
  readonly issuer: string;
  /** The application's AUD tag. */
  readonly audience: string;
  /** `required`: besides our own sign-in. `instead`: whoever Access lets through is the owner. */
  readonly mode: 'required' | 'instead';
  /** Lower case; null: whoever Access lets through. */
  readonly emails: ReadonlySet<string> | null;
}

/** Browsers bring the token by themselves, in this cookie, to addresses that Access does not guard as well. */
const COOKIE = 'CF_Authorization';
const FIELD = 'Cf-Access-Jwt-Assertion';

/** The settings, or undefined without any. @throws DirectError `E_NOT_CONFIGURED` that names what is missing. */
export function accessSettings(env: Cloudflare.Env): AccessSettings | undefined {
  const { ACCESS_TEAM_DOMAIN, ACCESS_AUD, ACCESS_MODE, ACCESS_EMAILS } = env;
  const [team, audience, mode, emails] = [ACCESS_TEAM_DOMAIN, ACCESS_AUD, ACCESS_MODE, ACCESS_EMAILS].map((value) =>
    (value ?? '').trim(),
  ) as [string, string, string, string];
  const required = { ACCESS_TEAM_DOMAIN: team, ACCESS_AUD: audience, ACCESS_MODE: mode };
  if (Object.values({ ...required, emails }).every((value) => value === '')) return undefined;
  // Half of it would let people believe that Access guards the edge.
  const missing = Object.entries(required).filter(([, value]) => value === '');
  if (missing.length > 0) fail(`${missing.map(([name]) => name).join(' and ')} must be set too for Cloudflare Access`);
  if (mode !== 'required' && mode !== 'instead') fail('ACCESS_MODE must be “required” or “instead”');
  return {
    issuer: `https://${teamDomain(team)}`,
    audience,
    mode,
    emails: emails === '' ? null : emailsOf(emails),
  };
}

function emailsOf(list: string): Set<string> {
  const emails = list.split(',').map((email) => email.trim().toLowerCase());
  const named = emails.filter((email) => email !== '');
  if (named.length > 0 && named.every((email) => email.includes('@'))) return new Set(named);
  return fail('ACCESS_EMAILS must be a list of e-mail addresses');
}

/** As people copy it: `team.cloudflareaccess.com`, or its URL. */
function teamDomain(value: string): string {
  const domain = value
    .toLowerCase()
    .replace(/^https:\/\//, '')
    .replace(/\/$/, '');
  return /^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(domain) ? domain : fail('ACCESS_TEAM_DOMAIN must be a host name');
}

function fail(detail: string): never {
  throw new DirectError('E_NOT_CONFIGURED', detail);
}

/** Access changes its keys every six weeks; the keys are fetched every 10 minutes at most, and when an unknown one signs. */
const keysOf = new WeakMap<typeof fetch, Map<string, JWTVerifyGetKey>>();

function keys(issuer: string, fetcher: typeof fetch): JWTVerifyGetKey {
  const known = keysOf.get(fetcher) ?? new Map<string, JWTVerifyGetKey>();
  keysOf.set(fetcher, known);
  const found = known.get(issuer);
  if (found !== undefined) return found;
  const made = createRemoteJWKSet(new URL(`${issuer}/cdn-cgi/access/certs`), {
    [customFetch]: (url, options) => fetcher(url, options as RequestInit),
  });
  known.set(issuer, made);
  return made;
}

/**
 * Whom Access let through with this request; undefined for nobody. Service tokens have no e-mail and are nobody.
 * @throws DirectError `E_INTERNAL` when Cloudflare's keys cannot be had.
 */
export async function verifyAccess(
  request: Request,
  { issuer, audience }: AccessSettings,
  fetcher: typeof fetch,
): Promise<{ email: string } | undefined> {
  const token = request.headers.get(FIELD) ?? parse(request.headers.get('Cookie') ?? '', COOKIE)[COOKIE];
  if (token === undefined || token === '') return undefined;
  try {
    const options = { issuer, audience, algorithms: ['RS256'], requiredClaims: ['exp'], clockTolerance: 30 };
    const { payload } = await jwtVerify(token, keys(issuer, fetcher), options);
    const { email } = payload;
    return typeof email === 'string' && email !== '' ? { email: email.toLowerCase() } : undefined;
  } catch (error) {
    if (isRefusal(error)) return undefined;
    throw new DirectError('E_INTERNAL', 'the keys of Cloudflare Access could not be fetched');
  }
}

/** Whether the token is wrong, and not the way to the keys. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof errors.JOSEError)) return false;
  // The base class alone is for answers that are no keys.
  return error.code !== errors.JOSEError.code && !(error instanceof errors.JWKSTimeout);
}

/** Whether Access alone makes `email` the owner. */
export function isOwner({ mode, emails }: AccessSettings, email: string): boolean {
  return mode === 'instead' && (emails === null || emails.has(email));
}
