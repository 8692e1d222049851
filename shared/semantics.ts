/** What HTTP's methods and statuses mean for whoever passes messages on (RFC 9110). */

const NULL_BODY_STATUSES = new Set([204, 205, 304]);
/** Fetch forbids these in whichever case: CONNECT asks for a tunnel, and TRACE shows the fields that proxies add. */
const FORBIDDEN_METHODS = new Set(['CONNECT', 'TRACE', 'TRACK']);
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Whether a response to `method` with `status` (200 to 599) has a body at all (RFC 9110, section 6.4.1; Fetch, 2.2.3). */
export function hasBody(method: string, status: number): boolean {
  return method !== 'HEAD' && !NULL_BODY_STATUSES.has(status);
}

/** Whether repeating a request with `method` does no harm (RFC 9110, section 9.2.1). */
export function isSafe(method: string): boolean {
  return SAFE_METHODS.has(method);
}

/** Whether no request with `method` is passed on (Fetch, section 2.2.1). */
export function isForbiddenMethod(method: string): boolean {
  return FORBIDDEN_METHODS.has(method.toUpperCase());
}
