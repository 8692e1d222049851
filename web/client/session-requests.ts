/**
 * All that requests take which go over the session: a file of its own, which comes while the client connects, so that
 * it connects the sooner.
 */
export { exchangeOver, PathFailure, requestError } from './exchange-over.ts';
export { isRedirect, nextHop } from './redirect.ts';
export { readRequestBody } from './request-body.ts';
export { opaqueRedirect, withOrigin } from './response.ts';
