/** `direct-agent up`: serves with the login or the configured token. */
import type { ExitCode } from '../command-error.ts';
import { edgeOf, hostLink } from '../edge-address.ts';
import { chooseEngine } from '../engine.ts';
import { checkUsable } from '../local-addresses.ts';
import { type Context, type Flags, openStore, readConfig } from './context.ts';
import { findServers, serve } from './serve.ts';

/** Until Ctrl+C. @throws CommandError or ConfigError */
export async function up(context: Context, flags: Flags): Promise<ExitCode> {
  const store = openStore(context, flags);
  const config = readConfig(context, flags, store);
  checkUsable(config.network, context.interfaces());
  chooseEngine(config.network);
  const identity = await store.identity();
  const servers = await findServers(config);
  return await serve(context, {
    config,
    folder: store.folder,
    identity,
    servers,
    up: () => {
      if (config.logFormat === 'text') {
        context.err(
          'Serving. Open this address on any device; it carries the host’s key, so that the device knows it:',
        );
      }
      context.out(hostLink(edgeOf(config.signalingUrl), config.hostId, identity.hostKey));
    },
  });
}
