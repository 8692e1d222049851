/** The seam to WebRTC: which engine there is, and the answering ends of connections by it. */
import { networkInterfaces } from 'node:os';
import { pathToFileURL } from 'node:url';
import type { IceServer } from '../shared/signal.ts';
import { CommandError, EXIT } from './command-error.ts';
import { chooseEngine, type Engine, type EngineChoice, type Installed, noNative } from './engine.ts';
import { checkUsable, chooseAddresses } from './local-addresses.ts';
import type { NetworkSettings } from './network-settings.ts';
import type { Peer, PeerEvents } from './peer.ts';
import { portProblem } from './port-problem.ts';
import { NoPortError } from './udp-mux.ts';
import { WeriftEngine, type WeriftOptions } from './webrtc-werift.ts';

export interface WebRtcOptions extends WeriftOptions {
  /** node-datachannel, as it is installed; looked for unless told. */
  installed?: Installed;
}

export class WebRtc {
  /** Which engine it is, and why. */
  readonly choice: EngineChoice;
  readonly #engine: Engine;

  /**
   * Binds sockets at the addresses that `settings` allow. No network at all is no error, since there may be one later.
   * @throws ConfigError when the settings leave none of the machine's addresses, or name an engine that is not there;
   * CommandError when no port can be had.
   */
  static async open(settings: NetworkSettings, options: WebRtcOptions): Promise<WebRtc> {
    const interfaces = (options.interfaces ?? networkInterfaces)();
    checkUsable(settings, interfaces);
    const choice = chooseEngine(settings, options.installed);
    if (chooseAddresses(interfaces, settings).used.length === 0) {
      options.log('webrtc: there is no network; direct connections have to wait for one');
    }
    try {
      return await openEngine(choice, settings, options);
    } catch (error) {
      throw error instanceof NoPortError ? new CommandError(EXIT.config, portProblem(error, settings)) : error;
    }
  }

  /** For `open`. */
  constructor(choice: EngineChoice, engine: Engine) {
    this.choice = choice;
    this.#engine = engine;
  }

  /** What the first connection needs, which an agent does without until somebody connects directly. Idempotent. */
  load(): Promise<void> {
    return this.#engine.load();
  }

  /** The answering end of a new connection. @throws Error before `load` */
  peer(iceServers: readonly IceServer[], events: PeerEvents): Peer {
    return this.#engine.peer(iceServers, events);
  }

  /** Closes the sockets, once relayed addresses of closed connections were given back. */
  close(): Promise<void> {
    return this.#engine.close();
  }
}

async function openEngine(choice: EngineChoice, settings: NetworkSettings, options: WebRtcOptions): Promise<WebRtc> {
  if (choice.file === undefined) return new WebRtc(choice, await WeriftEngine.open(settings, options));
  const [{ NativeEngine }, { importNative }] = await Promise.all([
    import('./native-engine.ts'),
    import('./native-types.ts'),
  ]);
  try {
    const library = await importNative(pathToFileURL(choice.file));
    return new WebRtc(choice, await NativeEngine.open(settings, { ...options, library }));
  } catch (error) {
    if (error instanceof NoPortError) throw error;
    const problem = `node-datachannel cannot be loaded: ${error instanceof Error ? firstLine(error) : 'unknown reason'}`;
    if (settings.engine === 'node-datachannel') throw noNative(settings, problem);
    return new WebRtc({ name: 'werift', why: problem }, await WeriftEngine.open(settings, options));
  }
}

function firstLine({ message }: Error): string {
  return message.split('\n', 1)[0] ?? '';
}
