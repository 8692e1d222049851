/** `direct-agent pair`: a link that makes the device which opens it one of the host's, once. */
import { CommandError, EXIT, type ExitCode, plain } from '../command-error.ts';
import { type Device, listDevices, renameDevice } from '../devices.ts';
import { edgeOf, pairLink } from '../edge-address.ts';
import { cancelPairing, createPairing, isPairingOpen } from '../pairing.ts';
import { type Context, type Flags, openStore, readConfig, showQr } from './context.ts';
import { ofFiles } from './device.ts';

/** The agent, another process, writes the file when the device has paired. */
const LOOK_MS = 1_000;
/** It voids the link first and adds the device then. */
const LOOKS_AFTER_USE = 3;

/** @throws CommandError or ConfigError */
export async function pair(context: Context, flags: Flags): Promise<ExitCode> {
  const { err, out } = context;
  const waits = flags.wait !== false;
  if (!waits && flags.name !== undefined) {
    throw new CommandError(EXIT.usage, '--name is given when the device has paired, so it does not go with --no-wait.');
  }
  const store = openStore(context, flags);
  const { folder } = store;
  const config = readConfig(context, flags, store);
  const { hostKey } = await store.identity();
  const before = new Map((await ofFiles(listDevices(folder))).map((device) => [device.id, device.paired_at]));
  const { secret, expiresAt } = await ofFiles(createPairing(folder, context.now()));
  const link = pairLink(edgeOf(config.signalingUrl), config.hostId, hostKey, secret);
  if (config.access !== 'paired') {
    err(`This host does not insist on pairing: whoever the edge lets in may use it. To accept paired devices only,`);
    err(`put “access: paired” into ${config.file ?? store.path('config.yaml')} and start the agent again.`);
    err('');
  }
  err('Open this link on the device to pair, while the agent runs here. It is valid for 10 minutes, once,');
  err('and secret: whoever opens it first is paired.');
  err('');
  showQr(context, link);
  out(link);
  if (!waits) return EXIT.ok;
  err('');
  err('Waiting for the device; Ctrl+C voids the link.');
  const device = await pairedDevice(context, { folder, secret, expiresAt, before });
  if (typeof flags.name === 'string') await ofFiles(renameDevice(folder, device.id, flags.name));
  const name = typeof flags.name === 'string' ? flags.name : device.name;
  err(`Paired “${plain(name)}” (${device.id}). Remove it again with: direct-agent device remove ${device.id}`);
  return EXIT.ok;
}

interface Wait {
  folder: string;
  secret: string;
  expiresAt: number;
  /** When the devices that were there were paired; one that is paired anew counts. */
  before: ReadonlyMap<string, number>;
}

async function pairedDevice(context: Context, { folder, secret, expiresAt, before }: Wait): Promise<Device> {
  for (let looksLeft = LOOKS_AFTER_USE; looksLeft > 0; ) {
    await context.sleep(LOOK_MS, context.signal);
    const devices = await ofFiles(listDevices(folder));
    const paired = devices.find(({ id, paired_at }) => before.get(id) !== paired_at);
    if (paired !== undefined) return paired;
    if (context.signal.aborted) {
      await ofFiles(cancelPairing(folder, secret));
      throw new CommandError(EXIT.interrupted, 'The link is void; no device was paired.');
    }
    if (context.now() >= expiresAt) {
      await ofFiles(cancelPairing(folder, secret));
      throw new CommandError(EXIT.tryAgain, 'The link has expired and no device used it. Run: direct-agent pair');
    }
    if (!isPairingOpen(folder, secret)) looksLeft -= 1;
  }
  throw new CommandError(
    EXIT.tryAgain,
    'The link is void: another one was made, or wrong links were tried too often. Run: direct-agent pair',
  );
}
