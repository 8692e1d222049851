/** What tests of WebRTC share. */
import { ENGINES, type EngineSetting } from './engine.ts';
import type { NetworkSettings } from './network-settings.ts';

/** Which engine is under test: DIRECT_AGENT_ENGINE, as for the agent itself; werift unless it is set. */
export const TESTED_ENGINE: EngineSetting =
  ENGINES.find((engine) => engine === process.env.DIRECT_AGENT_ENGINE) ?? 'werift';

/** The setting for an agent under test: whatever is tested, `auto` keeps relay_only with the engine that can. */
export function testedEngineFor(flags: Readonly<Record<string, unknown>>): EngineSetting {
  return flags.relayOnly === true ? 'auto' : TESTED_ENGINE;
}

/** For `describe.skipIf` and `test.skipIf`, with the reason beside it: what is said of werift alone. */
export const IS_NATIVE = TESTED_ENGINE === 'node-datachannel';

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
  engine: TESTED_ENGINE,
};
