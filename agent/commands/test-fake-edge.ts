/** An edge for tests of the command line, and the process that its commands run in. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { DirectError, type ErrorCode, errorBody } from '../../shared/errors.ts';
import { CommandError, type ExitCode } from '../command-error.ts';
import type { Interfaces } from '../local-addresses.ts';
import { machine } from '../test-machines.ts';
import type { Context } from './context.ts';

export const TOKEN = `dah_${'T'.repeat(43)}`;
export const DEVICE_CODE = `dad_${'D'.repeat(43)}`;
export const USER_CODE = 'WDJB-MJHT';

export interface Call {
  method: string;
  path: string;
  authorization: string | undefined;
  type: string | undefined;
  body: string;
}

/** What the edge answers: a body as JSON, an error of the table, or whatever the function does. */
export type Reply = { status?: number; json: unknown } | ErrorCode | ((response: ServerResponse) => void);

const endings: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

export class FakeEdge {
  readonly calls: Call[] = [];
  /** Links of agents; they are let in where there is no reply to UPGRADE. */
  readonly agents: WebSocket[] = [];
  url = '';
  /** By method and path, each used once; the last one stays. */
  readonly replies = new Map<string, Reply[]>();

  static async start(): Promise<FakeEdge> {
    const edge = new FakeEdge();
    const server = createServer((request, response) => void edge.#answer(request, response));
    const sockets = new WebSocketServer({ noServer: true });
    server.on('upgrade', (request, socket, head) => {
      edge.calls.push({ method: 'UPGRADE', path: request.url ?? '', ...fieldsOf(request), body: '' });
      const reply = edge.#next('UPGRADE');
      if (reply === undefined) {
        sockets.handleUpgrade(request, socket, head, (accepted) => {
          edge.agents.push(accepted);
          accepted.send(JSON.stringify({ type: 'ready', protocol_version: 1, host: { id: 'attic' } }));
        });
        return;
      }
      const body = JSON.stringify(typeof reply === 'string' ? errorBody(new DirectError(reply)) : {});
      socket.end(`HTTP/1.1 409 No\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new Error('no address');
    edge.url = `http://127.0.0.1:${address.port}`;
    endings.push(() => {
      for (const agent of edge.agents) agent.terminate();
      server.closeAllConnections();
      server.close();
    });
    return edge;
  }

  on(call: string, ...replies: Reply[]): this {
    this.replies.set(call, replies);
    return this;
  }

  /** Answers a login as the real one does; `polls` come before the approval. */
  allowLogin(...polls: Reply[]): this {
    return this.on('POST /_direct/api/device/code', { json: codeAnswer() }).on(
      'POST /_direct/api/device/token',
      ...polls,
      { json: { access_token: TOKEN, token_type: 'Bearer', host_id: 'attic', host_name: 'Attic' } },
    );
  }

  /** Calls to `path`, in order. */
  to(path: string): Call[] {
    return this.calls.filter((call) => call.path === path);
  }

  #next(call: string): Reply | undefined {
    const replies = this.replies.get(call) ?? [];
    return replies.length > 1 ? replies.shift() : replies[0];
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const part of request) body += String(part);
    const { method = '', url = '' } = request;
    this.calls.push({ method, path: url, ...fieldsOf(request), body });
    const reply = this.#next(`${method} ${url}`) ?? 'E_NOT_FOUND';
    if (typeof reply === 'function') return reply(response);
    const json = typeof reply === 'string' ? errorBody(new DirectError(reply)) : reply.json;
    const status = typeof reply === 'string' ? new DirectError(reply).entry.http : (reply.status ?? 200);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(status === 204 ? undefined : JSON.stringify(json));
  }
}

function fieldsOf({ headers }: IncomingMessage): Pick<Call, 'authorization' | 'type'> {
  return { authorization: headers.authorization, type: headers['content-type'] };
}

export function codeAnswer(more: object = {}): Record<string, unknown> {
  return { device_code: DEVICE_CODE, user_code: USER_CODE, expires_in: 600, interval: 5, ...more };
}

export function oauth(error: string): Reply {
  return { status: 400, json: { error } };
}

/** A process: its folder, its clock, and all that it prints. */
export class FakeProcess {
  readonly folder = mkdtempSync(join(tmpdir(), 'direct-agent-'));
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly sleeps: number[] = [];
  /** The network of this machine. */
  interfaces: Interfaces = machine({ eth0: ['192.168.1.5/24'] });
  readonly interrupt = new AbortController();
  time = Date.parse('2026-11-21T00:00:00Z');
  /** Happens with each sleep. */
  slept: (() => void) | undefined;
  readonly context: Context = {
    out: (line) => void this.stdout.push(line),
    err: (line) => void this.stderr.push(line),
    columns: undefined,
    env: { DIRECT_AGENT_FOLDER: this.folder },
    fetch,
    now: () => this.time,
    sleep: async (ms) => {
      this.sleeps.push(ms);
      this.time += ms;
      this.slept?.();
    },
    signal: this.interrupt.signal,
    hostname: () => 'attic.lan',
    interfaces: () => this.interfaces,
  };

  constructor() {
    endings.push(() => rmSync(this.folder, { recursive: true }));
  }

  get printed(): string {
    return [...this.stdout, ...this.stderr].join('\n');
  }

  /** Exit code and, if the command failed, what it says. */
  async run(command: Promise<ExitCode>): Promise<[ExitCode, string?]> {
    try {
      return [await command];
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      this.stderr.push(error.message);
      return [error.exitCode, error.message];
    }
  }
}
