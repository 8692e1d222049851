/** The agent of `npm run bench:connect -- --rtt` with its LLM server, as a process behind a NAT. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startAgent } from '../agent/agent.ts';
import { loadConfig } from '../agent/config.ts';
import { discoverServers } from '../agent/discovery.ts';
import { encodeBase64url } from '../shared/base64url.ts';
import { generateHostKeys, hostKeyBytes } from '../shared/host-identity.ts';
import { startFakeLlm } from '../test/fake-llm.ts';

const [signalingUrl = ''] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'direct-agent-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const llm = await startFakeLlm();
const loaded = loadConfig({
  flags: { signalingUrl: 'http://localhost/_direct/h/home', upstream: [llm.url], logLevel: 'error', folder },
  readFile: () => {
    throw Object.assign(new Error('no file'), { code: 'ENOENT' });
  },
});
// It insists on HTTPS for addresses beyond this machine, and there is no certificate here.
const config = { ...loaded, signalingUrl };
const search = () => discoverServers({ candidates: config.upstreams });
const hostKeys = await generateHostKeys();
const hostKey = encodeBase64url(await hostKeyBytes(hostKeys));
await startAgent({
  config,
  servers: await search(),
  search,
  folder,
  hostKeys,
  log: (level, line) => {
    if (level === 'error') process.stderr.write(`agent: ${line}\n`);
  },
  up: () => void process.stdout.write(`${hostKey}\n`),
  refused: (error) => {
    process.stderr.write(`agent: ${error}\n`);
    process.exit(1);
  },
});
process.stdin.resume().on('end', () => process.exit(0));
