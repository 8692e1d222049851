/**
 * Which library makes the direct connections: werift, which is part of the agent, or node-datachannel (libdatachannel),
 * which a user may install beside it. This file loads neither.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { IceServer } from '../shared/signal.ts';
import { ConfigError } from './config-error.ts';
import type { NetworkSettings } from './network-settings.ts';
import { placed } from './network-values.ts';
import type { Peer, PeerEvents } from './peer.ts';

export const ENGINES = ['auto', 'werift', 'node-datachannel'] as const;
export type EngineSetting = (typeof ENGINES)[number];
export type EngineName = Exclude<EngineSetting, 'auto'>;

/** What all connections of an agent share: sockets, settings, the library. */
export interface Engine {
  /** To be awaited before the first `peer`. Idempotent. @throws Error that says why there can be no connections */
  load(): Promise<void>;
  /** The answering end of a new connection. */
  peer(iceServers: readonly IceServer[], events: PeerEvents): Peer;
  /** Closes sockets and what is left of connections. */
  close(): Promise<void>;
}

/** The package as it was found on this machine; `problem`: why it is of no use. */
export type Installed =
  | { readonly file: string; readonly version: string; readonly problem?: undefined }
  | { readonly file?: undefined; readonly problem: string };

export interface EngineChoice {
  readonly name: EngineName;
  /** Completes “direct connections by …: ”. */
  readonly why: string;
  /** What to import, for node-datachannel. */
  readonly file?: string;
}

/** The one that this was made and tested for. */
const NATIVE_VERSION = /^0\.33\./;
const INSTALL = 'npm install node-datachannel@0.33 beside the agent (with --global if the agent was installed so)';
const NOT_INSTALLED: Installed = { problem: 'node-datachannel is not installed' };

/**
 * Looks for node-datachannel where Node would for a package that the agent imports: in the `node_modules` that the
 * agent is in, of a project or of `npm install --global`, and at NODE_PATH.
 */
export function findNative(from: string | URL = import.meta.url): Installed {
  let file: string;
  try {
    file = createRequire(from).resolve('node-datachannel');
  } catch {
    return NOT_INSTALLED;
  }
  const version = versionOf(file);
  if (NATIVE_VERSION.test(version)) return { file, version };
  return { problem: `node-datachannel ${version} is installed, and the agent takes 0.33` };
}

/**
 * Of what is installed and what the settings ask for. `auto` never takes an engine that serves a setting worse.
 * @throws {ConfigError} where node-datachannel is asked for by name and there is none that can be used
 */
export function chooseEngine(settings: NetworkSettings, installed: Installed = findNative()): EngineChoice {
  const { engine } = settings;
  if (engine === 'werift') return { name: 'werift', why: 'as the configuration says' };
  if (engine === 'auto') {
    if (installed.problem !== undefined) return { name: 'werift', why: installed.problem };
    const need = weriftNeed(settings);
    if (need !== undefined) return { name: 'werift', why: `node-datachannel is installed, but ${need}` };
    return { name: 'node-datachannel', why: `version ${installed.version} is installed`, file: installed.file };
  }
  if (installed.problem !== undefined) throw noNative(settings, installed.problem);
  // A slip of settings that did not come from a file must not tell a client an address either.
  if (settings.relayOnly) throw new ConfigError([`${placed('relay_only', settings)}: Set engine to werift.`]);
  return { name: 'node-datachannel', why: 'as the configuration says', file: installed.file };
}

/** What a person reads who asked for an engine that cannot be used. */
export function noNative(settings: NetworkSettings, problem: string): ConfigError {
  return new ConfigError([
    `${placed('engine', settings)}: ${problem}. Run ${INSTALL}. Or set engine to auto, which does without.`,
  ]);
}

/** Why node-datachannel would serve these settings worse; undefined: it would not. */
function weriftNeed({ relayOnly, interfaces, excludeInterfaces }: NetworkSettings): string | undefined {
  // libjuice sends checks of its own from the machine's address, whatever its candidates are.
  if (relayOnly) return 'relay_only needs werift';
  // It has one socket for all interfaces.
  if (interfaces.length > 0) return 'interfaces needs werift';
  if (excludeInterfaces.length > 0) return 'exclude_interfaces needs werift';
  return undefined;
}

/** Its package.json is not among what the package exports. */
function versionOf(file: string): string {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      if (name === 'node-datachannel') return String(version);
    } catch {
      // One further up.
    }
  }
  return 'of an unknown version';
}
