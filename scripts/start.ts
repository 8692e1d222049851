/** `npm start`: a local edge, the agent and, if no LLM server runs here, the demo model; one URL to open. */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { startAgent } from '../agent/agent.ts';
import { openBrowser } from '../agent/browser.ts';
import { loadConfig } from '../agent/config.ts';
import { startDemo } from '../agent/demo.ts';
import { discoverServers, type LocalServer } from '../agent/discovery.ts';
import { hostLink } from '../agent/edge-address.ts';
import { makeLog } from '../agent/log.ts';
import { Store } from '../agent/store.ts';
import { HINTS } from '../shared/error-hints.ts';
import type { DirectError } from '../shared/errors.ts';
import { startEdge } from './edge.ts';
import { freePort } from './free-port.ts';
import { buildWeb } from './web.ts';

const DEFAULT_PORT = 8787;
const HOST_ID = 'home';
/** Not that of an agent that people have installed: this one is for trying out. */
const FOLDER = fileURLToPath(new URL('../.wrangler/direct-agent', import.meta.url));

const options = new Command('npm start --')
  .option('--port <port>', 'port of the local edge', `${DEFAULT_PORT}`)
  .option('--open', 'open a browser')
  .option('--demo', 'serve the built-in demo model even if an LLM server runs here')
  .option('--log-level <level>', 'error, warn, info or debug', 'info')
  .parse()
  .opts<{ port: string; open?: true; demo?: true; logLevel: string }>();

/** Ends everything that was started, last first. */
const endings: (() => Promise<void>)[] = [];
let stopping = false;
async function stop(code: number): Promise<never> {
  if (!stopping) {
    stopping = true;
    // A second Ctrl+C, or something that hangs, ends the process all the same.
    setTimeout(() => process.exit(code), 3_000).unref();
    for (const end of endings.reverse()) await end().catch(() => {});
  }
  process.exit(code);
}
process.on('SIGINT', () => void stop(0));
process.on('SIGTERM', () => void stop(0));

async function serversOrDemo(): Promise<readonly LocalServer[]> {
  const found = options.demo === true ? [] : await discoverServers();
  if (found.length > 0) return found;
  const demo = await startDemo();
  endings.push(() => demo.close());
  return [{ kind: 'openai', name: 'the built-in demo model', url: demo.url, models: ['demo'], needsKey: false }];
}

const ownerToken = randomBytes(24).toString('base64url');
const agentToken = randomBytes(24).toString('base64url');
try {
  const [servers, port] = await Promise.all([serversOrDemo(), freePort(Number(options.port)), buildWeb()]);
  // On one machine no STUN server is needed, and nothing has to be asked of the internet.
  const variables = { OWNER_TOKEN: ownerToken, AGENT_TOKEN: agentToken, ICE_SERVERS: '[]' };
  const edge = await startEdge({ port, variables });
  endings.push(() => edge.close());
  const config = loadConfig({
    flags: { signalingUrl: `${edge.url}/_direct/h/${HOST_ID}`, logLevel: options.logLevel, portMapping: false },
    env: { DIRECT_AGENT_TOKEN: agentToken },
    readFile: () => {
      throw Object.assign(new Error('npm start reads no configuration file'), { code: 'ENOENT' });
    },
  });
  const log = makeLog(config.logLevel);
  // Kept, because pages pin it: the next start must be the same host to them.
  const identity = await new Store(FOLDER, (line) => log('warn', line)).identity();
  await new Promise<void>((resolve, reject) => {
    const refused = (error: DirectError) => {
      log('error', `link: ${error.message} ${HINTS[error.code]}`);
      reject(error);
    };
    const up = () => resolve();
    startAgent({ config, servers, search: serversOrDemo, hostKeys: identity.keys, folder: FOLDER, log, up, refused })
      .then((agent) => endings.push(() => agent.close()))
      .catch(reject);
  });
  const url = `${hostLink(`http://localhost:${port}`, HOST_ID, identity.hostKey)}&token=${ownerToken}`;
  process.stderr.write('\ndirect-agent is ready.\n');
  for (const { name, url, models } of servers) {
    process.stderr.write(
      `Serving ${name} at ${url} (${models.slice(0, 3).join(', ')}${models.length > 3 ? ', …' : ''})\n`,
    );
  }
  process.stderr.write('Open this URL; Ctrl+C ends everything.\n\n');
  process.stdout.write(`${url}\n`);
  process.stderr.write('\n');
  const why = options.open === true ? await openBrowser(url) : undefined;
  if (why !== undefined) process.stderr.write(`No browser was opened: ${why}. Open the URL yourself.\n`);
} catch (error) {
  process.stderr.write(`npm start failed: ${error instanceof Error ? error.message : String(error)}\n`);
  await stop(1);
}
