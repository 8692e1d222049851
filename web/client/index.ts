/** What the client library exports. */
export { DirectError, type ErrorCode } from '../../shared/errors.ts';
export { type Client, type ClientEvents, type ConnectOptions, connect } from './connect.ts';
export type { ClientPath, ClientState } from './connector.ts';
export type { ClientEnvironment } from './environment.ts';
export { type PatchOptions, patchFetch } from './patch-fetch.ts';
