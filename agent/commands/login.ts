/** `direct-agent login`: makes this machine a host of an edge, and serves. */
import type { ServedUpstream } from '../../shared/account-api.ts';
import { fingerprint } from '../../shared/fingerprint.ts';
import { EXIT, type ExitCode, plain } from '../command-error.ts';
import { loadSettings } from '../config.ts';
import { deviceFlow } from '../device-flow.ts';
import type { LocalServer } from '../discovery.ts';
import { approvePage, dashboard, hostLink, parseEdge } from '../edge-address.ts';
import { EdgeApi } from '../edge-api.ts';
import { chooseEngine } from '../engine.ts';
import { checkUsable } from '../local-addresses.ts';
import type { Credentials } from '../store.ts';
import { type Context, configSources, connectionOf, type Flags, hostApi, openStore, showQr } from './context.ts';
import { findServers, serve } from './serve.ts';

/** As much as an owner reads before approving, and the edge keeps. */
const MAX_SERVERS_SHOWN = 8;
const MAX_MODELS_SHOWN = 16;
const MAX_NAME_LENGTH = 64;

/**
 * Asks the owner of the edge to let this machine in, then serves until Ctrl+C, unless `--no-serve`.
 * @throws CommandError or ConfigError
 */
export async function login(context: Context, typedEdge: string, flags: Flags): Promise<ExitCode> {
  const { err, out } = context;
  const edge = parseEdge(typedEdge);
  const settings = loadSettings(configSources(context, flags));
  // Before anybody approves; without serving, the network of this moment may be another one than that of the service.
  if (flags.serve !== false) {
    checkUsable(settings.network, context.interfaces());
    chooseEngine(settings.network);
  }
  const store = openStore(context, flags);
  const before = store.credentials();
  if (before !== undefined) err(sayWhatItReplaces(before, edge));
  const identity = await store.identity();
  const shortFingerprint = await fingerprint(identity.hostKey);
  const servers = await findServers(settings);
  const saved = await deviceFlow({
    api: new EdgeApi({ edge, fetch: context.fetch, signal: context.signal }),
    edge,
    identity,
    hostName: hostName(context, flags.name),
    serves: servers.slice(0, MAX_SERVERS_SHOWN).map(serves),
    now: context.now,
    sleep: context.sleep,
    signal: context.signal,
    show: ({ userCode, link, expiresInMs }) => {
      err('');
      err('Open this link on a device where you are signed in to the edge, and approve this host:');
      err('');
      err(`  ${link}`);
      err('');
      showQr(context, link);
      err(`Code:             ${userCode}`);
      err(`Host fingerprint: ${shortFingerprint}`);
      err('Both must be the same on the page. The link is for you alone.');
      err(`Without it, open ${approvePage(edge)} and type the code.`);
      err('');
      err(`Waiting for up to ${Math.ceil(expiresInMs / 60_000)} minutes; Ctrl+C gives up.`);
    },
    trouble: (reason) => err(reason === undefined ? 'The edge answers again.' : `${reason} Trying again.`),
  });
  await store.saveCredentials(saved);
  if (before !== undefined && before.edge !== edge) await leave(context, before);
  const link = hostLink(edge, saved.host_id, identity.hostKey);
  err('');
  err(`Logged in to ${edge} as “${saved.host_name}” (${saved.host_id}). Open this address on any device:`);
  err('');
  showQr(context, link);
  out(link);
  if (flags.serve === false) return EXIT.ok;
  const config = { ...settings, ...connectionOf(saved) };
  return await serve(context, { config, folder: store.folder, identity, servers });
}

function hostName({ hostname }: Context, named: unknown): string {
  const name = typeof named === 'string' ? named : (hostname().split('.')[0] ?? '');
  return shortened(name.trim()) || 'host';
}

/** As the edge takes names. */
function shortened(name: string): string {
  return [...plain(name)].slice(0, MAX_NAME_LENGTH).join('');
}

function serves({ name, models }: LocalServer): ServedUpstream {
  // A server without a name of its own is called by its URL.
  return { name: shortened(name), models: models.slice(0, MAX_MODELS_SHOWN) };
}

function sayWhatItReplaces({ edge, host_name }: Credentials, next: string): string {
  const known = `This machine is logged in to ${edge} as “${host_name}”`;
  if (edge === next) return `${known} already. A new login replaces that; an agent that runs with it stops.`;
  return `${known}. A login to ${next} replaces that, and an agent that runs with it stops.`;
}

/** The old edge forgets this host's credential; where it cannot be told, the owner can do it there. */
async function leave(context: Context, old: Credentials): Promise<void> {
  try {
    await hostApi(context, connectionOf(old)).call('POST', '/host/logout');
    context.err(`Logged out of ${old.edge}.`);
  } catch {
    context.err(`${old.edge} could not be told. Remove the host “${old.host_name}” there: ${dashboard(old.edge)}`);
  }
}
