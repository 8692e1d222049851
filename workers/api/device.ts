/** How an agent logs in: the device authorization grant (RFC 8628), with a proof that the agent holds its host's key. */
import { Hono } from 'hono';
import type { ServedUpstream } from '../../shared/account-api.ts';
import { DirectError } from '../../shared/errors.ts';
import type { TokenAnswer } from '../account/device-grants.ts';
import { parseUserCode } from '../account/user-code.ts';
import { accountOf } from '../account-stub.ts';
import { addressOf, count, type EdgeContext, type EdgeEnv } from '../caller.ts';
import { clientKey } from '../coarse-limit.ts';
import { unwrap } from '../outcome.ts';
import { readText } from '../request-body.ts';
import { byOf } from './by.ts';
import { bytesField, isAbsent, malformed, nameField, shownText } from './fields.ts';
import { owner } from './guards.ts';
import { jsonBody } from './json-body.ts';

export const device = new Hono<EdgeEnv>();

const CLIENT_ID = 'direct-agent';
const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:device_code';
const KEY_BYTES = 32;
const SERVES = 'serves must be a list of {name, models}';
/** The owner reads them on one page. */
const MAX_SERVERS = 16;
const MAX_MODELS = 64;
const MAX_BODY_BYTES = 65_536;
/** Far longer than a code or a signature of ours. */
const MAX_FIELD_LENGTH = 256;

device.post('/device/code', async (c) => {
  await count(c);
  const body = await formOrJson(c);
  if (body.client_id !== CLIENT_ID) malformed(`client_id must be ${CLIENT_ID}`);
  const hostKey = bytesField(body.host_key, 'host_key', KEY_BYTES);
  const address = addressOf(c);
  const grant = unwrap(
    await accountOf(c)
      .deviceGrants()
      .start({
        hostKey,
        hostName: nameField(body.host_name, 'host_name'),
        serves: servesField(body.serves),
        address,
        client: clientKey(address ?? undefined),
      }),
  );
  const page = `${new URL(c.req.url).origin}/_direct/approve`;
  return c.json({
    ...grant,
    verification_uri: page,
    // In the fragment, which browsers send to nobody.
    verification_uri_complete: `${page}#code=${grant.user_code}&key=${hostKey}`,
  });
});

// Answers in the form of OAuth (RFC 6749, section 5.2), except when the edge itself refuses.
device.post('/device/token', async (c) => {
  await count(c);
  const { grant_type, client_id, device_code: code, host_signature: signature } = await formOrJson(c);
  const valid = grant_type === GRANT_TYPE && client_id === CLIENT_ID && isShortText(code) && isShortText(signature);
  if (!valid) return c.json({ error: 'invalid_request' }, 400);
  const deviceGrants = accountOf(c).deviceGrants();
  const { origin } = new URL(c.req.url);
  const answer: TokenAnswer = unwrap(await deviceGrants.token(code, signature, origin, addressOf(c)));
  if ('error' in answer) return c.json(answer, 400);
  return c.json({ ...answer, token_type: 'Bearer' });
});

device.post('/device/lookup', owner(), async (c) => {
  const code = userCodeIn(await jsonBody(c));
  return c.json(unwrap(await accountOf(c).deviceGrants().lookup(code, byOf(c))));
});

device.post('/device/approve', owner(), async (c) => {
  const body = await jsonBody(c);
  const name = isAbsent(body.name) ? undefined : nameField(body.name);
  const deviceGrants = accountOf(c).deviceGrants();
  return c.json(unwrap(await deviceGrants.approve(userCodeIn(body), name, byOf(c))));
});

device.post('/device/deny', owner(), async (c) => {
  const code = userCodeIn(await jsonBody(c));
  unwrap(await accountOf(c).deviceGrants().deny(code, byOf(c)));
  return c.body(null, 204);
});

/** @throws DirectError `E_NOT_FOUND` for what cannot be a code: it is no guess either. */
function userCodeIn(body: Record<string, unknown>): string {
  const code = parseUserCode(body.user_code);
  if (code === undefined) throw new DirectError('E_NOT_FOUND', 'a code has eight letters, as WDJB-MJHT');
  return code;
}

/** RFC 8628 wants forms; programs of ours find JSON easier. @throws DirectError `E_BAD_REQUEST`, `E_TOO_LARGE` */
async function formOrJson(c: EdgeContext): Promise<Record<string, unknown>> {
  const type = c.req.header('Content-Type')?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/x-www-form-urlencoded') return jsonBody(c);
  const form = Object.fromEntries(new URLSearchParams(await readText(c.req.raw, MAX_BODY_BYTES)));
  return form.serves === undefined ? form : { ...form, serves: jsonText(form.serves) };
}

function jsonText(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return malformed('serves must be JSON');
  }
}

/**
 * Absent: the agent found no server yet. What is too much to read is cut off, because a login must not fail for a host
 * that has many models.
 */
function servesField(value: unknown): ServedUpstream[] {
  if (isAbsent(value)) return [];
  if (!Array.isArray(value)) malformed(SERVES);
  return (value as unknown[]).slice(0, MAX_SERVERS).map((server) => {
    if (typeof server !== 'object' || server === null) malformed(SERVES);
    const { name, models } = server as Record<string, unknown>;
    if (!isAbsent(models) && !Array.isArray(models)) malformed(SERVES);
    return { name: shown(name), models: ((models ?? []) as unknown[]).slice(0, MAX_MODELS).map(shown) };
  });
}

function shown(text: unknown): string {
  return typeof text === 'string' ? shownText(text) : malformed(SERVES);
}

function isShortText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_FIELD_LENGTH;
}
