/** Errors of the local port, in the form of the API that was asked. */
import { STATUS_CODES } from 'node:http';
import { type DirectError, errorBody } from '../../shared/errors.ts';

/** What the table says of an edge means something else here. */
const HINTS: Partial<Record<DirectError['code'], string>> = {
  E_ORIGIN: 'See what direct-agent connect --help says of --allow-origin, --allow-host and --allow-remote.',
  E_UNAUTHORIZED: 'Give direct-agent connect a key that is good, with the link that the agent prints.',
  E_METHOD: 'Use another one.',
};

export function localErrorBody(error: DirectError, path: string): string {
  const body = errorBody(error, path);
  const hint = HINTS[error.code];
  if (hint === undefined) return JSON.stringify(body);
  return JSON.stringify(typeof body.error === 'string' ? { ...body, hint } : { error: { ...body.error, hint } });
}

export function errorFields(error: DirectError, body: string): Record<string, string> {
  return {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
    // OpenAI's packages send again whatever has such a status; what may have run must not run twice.
    'x-should-retry': String(error.entry.retry),
  };
}

/** A whole response, in place of an upgrade. */
export function errorResponse(error: DirectError, path: string): string {
  const { http } = error.entry;
  const body = localErrorBody(error, path);
  const fields = Object.entries({ ...errorFields(error, body), connection: 'close' });
  return `HTTP/1.1 ${http} ${STATUS_CODES[http] ?? 'Error'}\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}
