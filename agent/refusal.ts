/** What the edge, or a proxy before it, says when it refuses a request. */
import { DirectError, type ErrorBody, isErrorCode } from '../shared/errors.ts';
import { MAX_SIGNAL_BYTES } from '../shared/limits.ts';

/** The beginning of a body that says why; a proxy's error page may be long. */
export async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  try {
    for await (const part of body) {
      text += part.toString();
      if (text.length > MAX_SIGNAL_BYTES) break;
    }
  } catch {
    // What came is enough.
  }
  return text;
}

/** Only the edge's own words count as final: a proxy in between refuses upgrades with 401, 403 or 404 as well. */
export function refusal(status: number, body: string): DirectError {
  let code: unknown;
  try {
    code = (JSON.parse(body) as Partial<ErrorBody> | null)?.error?.code;
  } catch {
    // Not the edge's JSON.
  }
  return isErrorCode(code) ? new DirectError(code) : new DirectError('E_PATH_LOST', `answered with status ${status}`);
}
