/** What the client library exports. */
export { DirectError, type ErrorCode } from '../../shared/errors.ts';
export type { CandidateFacts, SelectedPair } from './candidate-pair.ts';
export { type Client, type ClientEvents, type ConnectOptions, connect } from './connect.ts';
export type { ClientPath } from './connector.ts';
export type { DeviceIdentity } from './device.ts';
export type { DeviceKeyStore } from './device-key.ts';
export type { DirectState } from './direct.ts';
export type { ClientEnvironment } from './environment.ts';
export type { ClientRequestInit } from './fetch.ts';
export type { Held, HeldRequestInit } from './held.ts';
export type { HostKeyQuestion } from './host-trust.ts';
export type { Network, NetworkListeners } from './network.ts';
export { type PatchOptions, patchFetch } from './patch-fetch.ts';
export type { ConnectionReport, Fact, IceFacts, RequestRecord, TimelineEvent } from './report.ts';
export type { SocketRequest } from './socket.ts';
export type { SocketEnd, SocketLink, SocketLinkEvents } from './socket-link.ts';
