/** `direct-agent status`: who this host is, and whether the edge lets it in. Shows no secrets. */
import { z } from 'zod';
import { fingerprint } from '../../shared/fingerprint.ts';
import type { AgentReport } from '../agent-report.ts';
import { CommandError, EXIT, type ExitCode } from '../command-error.ts';
import type { Config } from '../config.ts';
import { askAgent } from '../control.ts';
import { listDevices } from '../devices.ts';
import type { LocalServer } from '../discovery.ts';
import { edgeOf, hostLink } from '../edge-address.ts';
import { EdgeError } from '../edge-api.ts';
import { type Live, startLive } from '../live.ts';
import type { Interactive } from '../live-terminal.ts';
import { renderView } from '../live-view.ts';
import { type Context, type Flags, hostApi, openStore, readConfig } from './context.ts';
import { ofFiles } from './device.ts';
import { findServers } from './serve.ts';

/** What `--json` prints. */
interface Status {
  edge: string;
  host_id: string;
  /** As the login called it; null where a token is configured instead. */
  host_name: string | null;
  host_key: string;
  fingerprint: string;
  /** For any device: it carries the host's key. */
  url: string;
  credential: 'accepted' | 'refused' | 'unknown';
  /** As the edge sees it; null where it does not say. */
  online: boolean | null;
  /** Why `credential` is not accepted. */
  problem: string | null;
  /** Whom the agent accepts of those whom the edge lets in. */
  access: Config['access'];
  paired_devices: number;
  servers: { name: string; url: string; models: readonly string[] }[];
  /** Where the web UI is, if one is served. */
  web_ui: string | null;
  /** What the agent that runs here says of itself; null: none does, or none that can be asked. */
  agent: AgentReport | null;
}

type Seen = Pick<Status, 'credential' | 'online' | 'problem'> & { exitCode: ExitCode };

/** To people; `--json` has all. */
const MAX_MODELS_SHOWN = 12;

/** q, Ctrl+C, and Ctrl+D. */
const END_KEYS: readonly string[] = ['q', 'Q', '\u0003', '\u0004'];

const presence = z.object({ online: z.boolean() });

/** @throws CommandError or ConfigError */
export async function status(context: Context, flags: Flags): Promise<ExitCode> {
  const store = openStore(context, flags);
  const config = readConfig(context, flags, store);
  const login = store.credentials();
  const { hostKey } = await store.identity();
  const edge = edgeOf(config.signalingUrl);
  const [{ exitCode, ...seen }, servers, agent] = await Promise.all([
    look(context, config),
    findServers(config),
    askAgent(store.folder, context.signal),
  ]);
  const found: Status = {
    edge,
    host_id: config.hostId,
    host_name: login?.token === config.token ? login.host_name : null,
    host_key: hostKey,
    fingerprint: await fingerprint(hostKey),
    url: hostLink(edge, config.hostId, hostKey),
    ...seen,
    access: config.access,
    paired_devices: (await ofFiles(listDevices(store.folder))).length,
    servers: servers.map(({ name, url, models }) => ({ name, url, models })),
    web_ui: config.webUi?.base ?? null,
    agent: agent ?? null,
  };
  if (flags.json === true) {
    context.out(JSON.stringify(found, null, 2));
    return exitCode;
  }
  for (const line of describe(found, servers)) context.out(line);
  context.out('');
  const interactive = flags.once === true ? undefined : context.terminals?.out;
  if (interactive === undefined) {
    const plain = { columns: Number.POSITIVE_INFINITY, rows: Number.POSITIVE_INFINITY, colors: false };
    for (const line of renderView(agent, { ...plain, now: context.now() })) context.out(line);
  } else await watch(context, store.folder, interactive);
  return exitCode;
}

/** Until somebody types q or Ctrl+C. */
async function watch(context: Context, folder: string, interactive: Interactive): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const end = () => ended.resolve();
  const report = () => askAgent(folder, context.signal);
  const live: Live = startLive({ interactive, report, now: context.now, how: 'changed' });
  const stopKeys = interactive.onKeys((keys) => {
    if ([...keys].some((key) => END_KEYS.includes(key))) end();
  });
  context.signal.addEventListener('abort', end);
  try {
    await live.draw();
    if (!context.signal.aborted) await ended.promise;
  } finally {
    context.signal.removeEventListener('abort', end);
    stopKeys();
    live.stop('leave');
  }
}

/** The edge's view, by the one call that asks for nothing else. */
async function look(context: Context, config: Config): Promise<Seen> {
  try {
    const { body } = await hostApi(context, config).request('GET', `/_direct/h/${config.hostId}`);
    const parsed = presence.safeParse(body);
    return { credential: 'accepted', online: parsed.data?.online ?? null, problem: null, exitCode: EXIT.ok };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const code = error instanceof EdgeError ? error.code : undefined;
    // Known, but an edge may keep presence to its owner.
    if (code === 'E_FORBIDDEN') return { credential: 'accepted', online: null, problem: null, exitCode: EXIT.ok };
    const credential = code === 'E_UNAUTHORIZED' ? 'refused' : 'unknown';
    return { credential, online: null, problem: error.message, exitCode: error.exitCode };
  }
}

function describe(found: Status, servers: readonly LocalServer[]): string[] {
  const online = { true: 'yes', false: 'no; start it with: direct-agent up', null: 'the edge does not say' };
  const access = { edge: 'whoever the edge lets in', paired: 'paired devices only' };
  return [
    `Edge:         ${found.edge}`,
    `Host:         ${found.host_name === null ? found.host_id : `${found.host_name} (${found.host_id})`}`,
    `Fingerprint:  ${found.fingerprint}`,
    `Credential:   ${found.credential}${found.problem === null ? '' : `. ${found.problem}`}`,
    `Online:       ${online[`${found.online}`]}`,
    `Access:       ${access[found.access]}; ${found.paired_devices} paired`,
    `Open:         ${found.url}`,
    ...(found.agent?.engine == null ? [] : [`Direct:       by ${found.agent.engine.name}: ${found.agent.engine.why}`]),
    ...(servers.length === 0 ? ['Serves:       no local LLM server found'] : []),
    ...servers.map(({ name, url, models }, index) => {
      const title = index === 0 ? 'Serves:     ' : '            ';
      const more = models.length > MAX_MODELS_SHOWN ? `, and ${models.length - MAX_MODELS_SHOWN} more` : '';
      const shown = models.length === 0 ? 'no models' : models.slice(0, MAX_MODELS_SHOWN).join(', ') + more;
      return `${title}  ${name} at ${url}: ${shown}`;
    }),
    ...(found.web_ui === null ? [] : [`Web UI:       ${found.web_ui}`]),
  ];
}
