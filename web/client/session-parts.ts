/**
 * The session layer, and what requests take which go over it: a file of its own, which comes while the client connects,
 * so that it connects the sooner.
 */
export { Session } from '../../shared/session.ts';
export { dial } from './dial.ts';
export { exchangeOver, PathFailure, requestError } from './exchange-over.ts';
export { isRedirect, nextHop } from './redirect.ts';
export { readRequestBody } from './request-body.ts';
export { opaqueRedirect, withOrigin } from './response.ts';
