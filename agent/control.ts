/**
 * Tells others on this machine how a running agent is, over a socket that only its user may open. It is read-only, and
 * has nothing of what clients ask or get.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, renameSync, rmSync, statSync } from 'node:fs';
import { createServer, get, type Server } from 'node:http';
import { connect } from 'node:net';
import type { AgentReport } from './agent-report.ts';
import { type ControlAddress, controlAddress, isOurs, makeFolder } from './control-address.ts';
import { parseReport } from './control-report.ts';

export interface ControlOptions {
  /** The agent's own files. */
  folder: string;
  report(): Promise<AgentReport> | AgentReport;
  log(line: string): void;
  /** Pauses between attempts to take the place of an agent that is about to end, in ms. */
  retryMs?: readonly number[];
}

export interface Control {
  close(): Promise<void>;
}

/** An agent that was replaced ends when the edge tells it, in a second or a few. */
const RETRY_MS = [1_000, 3_000, 10_000, 30_000];
/** The agent answers in milliseconds, unless it has just been asked to do something great. */
const ASK_TIMEOUT_MS = 3_000;
/** Of 64 sessions and 32 upstreams with 256 models each; more is no report of ours. */
const MAX_REPORT_BYTES = 8 * 1024 * 1024;

/** Starts to answer. An agent without its socket works all the same, so that what goes wrong is only logged. */
export async function startControl(options: ControlOptions): Promise<Control> {
  const { folder, log, retryMs = RETRY_MS } = options;
  const address = controlAddress(folder);
  let open: Server | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const attempt = async (left: readonly number[]): Promise<void> => {
    try {
      open = await listen(address, options);
    } catch (error) {
      log(`status: cannot be asked for (${error instanceof Error ? error.message : error})`);
      return;
    }
    const [next, ...later] = left;
    // It was closed while it opened.
    if (isClosed) open?.close();
    if (open !== undefined || isClosed) return;
    if (next === undefined) log('status: another agent answers for this folder; this one cannot be asked');
    else timer = setTimeout(() => void attempt(later), next).unref();
  };
  await attempt(retryMs);
  return {
    async close() {
      isClosed = true;
      clearTimeout(timer);
      if (open === undefined) return;
      open.closeAllConnections();
      await new Promise((resolve) => open?.close(resolve));
    },
  };
}

/** Undefined while another agent answers there. */
async function listen(address: ControlAddress, { folder, report }: ControlOptions): Promise<Server | undefined> {
  // Before anything that is there is asked, or believed.
  if (address.isFile) makeFolder(address, folder);
  if (await answers(address.path)) return undefined;
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/report') {
      response.writeHead(404).end();
      return;
    }
    const answer = async () => {
      const text = JSON.stringify(await report());
      response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
      response.end(text);
    };
    answer().catch(() => response.destroy());
  });
  // Under another name until its mode is right; and to replace what a killed agent has left, without a gap.
  const first = address.isFile ? `${address.path}.${randomBytes(3).toString('hex')}` : address.path;
  server.listen(first);
  await once(server, 'listening');
  if (!address.isFile) return server;
  try {
    chmodSync(first, 0o600);
    renameSync(first, address.path);
  } catch (error) {
    server.close();
    throw error;
  }
  const { ino } = statSync(address.path);
  server.once('close', () => {
    // Another agent may have the name by now.
    if (statSync(address.path, { throwIfNoEntry: false })?.ino === ino) rmSync(address.path, { force: true });
  });
  return server;
}

/** Whether a living process listens there. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(ASK_TIMEOUT_MS, () => end(true));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

/** How the agent is whose files are in `folder`; undefined when none runs, or none that can be asked. */
export async function askAgent(folder: string, signal?: AbortSignal): Promise<AgentReport | undefined> {
  const { path, elsewhere } = controlAddress(folder);
  if (elsewhere !== undefined && !isOurs(elsewhere)) return undefined;
  const limit = AbortSignal.timeout(ASK_TIMEOUT_MS);
  try {
    return parseReport(await read(path, signal === undefined ? limit : AbortSignal.any([limit, signal])));
  } catch {
    return undefined;
  }
}

function read(socketPath: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ socketPath, path: '/report', signal }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
        if (text.length > MAX_REPORT_BYTES) request.destroy(new Error('too long'));
      });
      response.once('error', reject);
      response.once('end', () => resolve(text));
    });
    request.once('error', reject);
  });
}
