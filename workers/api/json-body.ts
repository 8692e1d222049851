/** JSON bodies of the API. */
import { DirectError } from '../../shared/errors.ts';
import type { EdgeContext } from '../caller.ts';
import { readText } from '../request-body.ts';

/** More than any of them needs: passkeys' attestations and lists of models are the longest. */
const MAX_BODY_BYTES = 65_536;

/** @throws DirectError `E_BAD_REQUEST` for anything but a JSON object, `E_TOO_LARGE` */
export async function jsonBody(c: EdgeContext): Promise<Record<string, unknown>> {
  const text = await readText(c.req.raw, MAX_BODY_BYTES);
  const value = parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DirectError('E_BAD_REQUEST', 'the body must be a JSON object');
  }
  return value as Record<string, unknown>;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not the text itself, as the error of JSON.parse has it: it may hold a secret.
    throw new DirectError('E_BAD_REQUEST', 'the body is not JSON');
  }
}
