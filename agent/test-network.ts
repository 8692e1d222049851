/** What tests of WebRTC share. */
import type { NetworkSettings } from './network-settings.ts';

/** As if nothing were configured, but no router is asked. */
export const PLAIN_NETWORK: NetworkSettings = {
  interfaces: [],
  excludeInterfaces: [],
  nat1to1: [],
  udpPorts: undefined,
  ipFamily: 'any',
  relayOnly: false,
  stunUrls: [],
  portMapping: false,
};
