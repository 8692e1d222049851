/** An edge that lies: a proxy in front of the real one, which a test lets change or repeat what passes. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type RawData, WebSocket, WebSocketServer } from 'ws';

/** JSON of signaling, as the wire has it. */
export type Signal = Record<string, unknown>;

export interface Lies {
  /** Of the client's request for a session. */
  offer?(sdp: string): string;
  /** Of the answer to it: what the client is told about the host. */
  session?(ready: Signal): void | Promise<void>;
  /** Any message of the agent to the client. */
  signal?(signal: Signal): void | Promise<void>;
  /** A sealed message of the client, by the relay with this number: what the agent gets in its place. */
  relayed?(message: Buffer, relay: number): Buffer[];
  /** Whether a relay may open. */
  relay?: boolean;
}

export class MaliciousEdge {
  readonly #target: string;
  readonly #server = createServer((request, response) => void this.#forward(request, response));
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #open = new Set<WebSocket>();
  lies: Lies = {};
  /** What clients sent by each relay, and for which session. */
  readonly relays: { sessionId: string; messages: Buffer[] }[] = [];
  /** Requests that came in the clear, by the tunnel. */
  readonly tunnelled: string[] = [];

  private constructor(target: string) {
    this.#target = target;
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (this.lies.relay === false && request.url?.includes('/relay?')) socket.destroy();
      else this.#sockets.handleUpgrade(request, socket, head, (client) => this.#join(request, client));
    });
  }

  /** `target`: origin of the real edge. */
  static async start(target: string): Promise<MaliciousEdge> {
    const edge = new MaliciousEdge(target);
    edge.#server.listen(0, '127.0.0.1');
    await once(edge.#server, 'listening');
    return edge;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    for (const socket of this.#open) socket.terminate();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = request;
    const asksForSession = url.endsWith('/session');
    let body: string | undefined = Buffer.concat(await request.toArray()).toString();
    if (!url.startsWith('/_direct/')) this.tunnelled.push(`${method} ${url}`);
    if (asksForSession && this.lies.offer !== undefined) {
      const asked = JSON.parse(body) as { offer?: string };
      if (asked.offer !== undefined) body = JSON.stringify({ ...asked, offer: this.lies.offer(asked.offer) });
    }
    if (method === 'GET') body = undefined;
    const { authorization, 'content-type': type } = request.headers;
    const answer = await fetch(`${this.#target}${url}`, {
      method,
      headers: { ...(authorization && { authorization }), ...(type && { 'content-type': type }) },
      ...(body === undefined ? {} : { body }),
    });
    let text = await answer.text();
    if (asksForSession && answer.ok) {
      const ready = JSON.parse(text) as Signal;
      await this.lies.session?.(ready);
      text = JSON.stringify(ready);
    }
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
    response.end(text);
  }

  #join(request: IncomingMessage, client: WebSocket): void {
    const { url = '', headers } = request;
    const authorization = headers.authorization === undefined ? {} : { authorization: headers.authorization };
    const edge = new WebSocket(`${this.#target.replace('http', 'ws')}${url}`, { headers: authorization });
    const relay = url.includes('/relay?') ? this.relays.length : undefined;
    const sessionId = new URL(url, this.url).searchParams.get('session_id') ?? '';
    if (relay !== undefined) this.relays.push({ sessionId, messages: [] });
    const opened = once(edge, 'open');
    opened.catch(() => {});
    const pass = async (message: Buffer, isBinary: boolean) => {
      await opened;
      if (relay === undefined || !isBinary) {
        edge.send(message, { binary: isBinary });
        return;
      }
      this.relays[relay]?.messages.push(message);
      for (const sent of this.lies.relayed?.(message, relay) ?? [message]) edge.send(sent);
    };
    // Without an edge there is nobody to pass it to.
    client.on('message', (data: RawData, isBinary: boolean) => void pass(data as Buffer, isBinary).catch(() => {}));
    // One after the other, since a lie may take its time.
    let before: Promise<unknown> = Promise.resolve();
    edge.on('message', (data: RawData, isBinary: boolean) => {
      before = before.then(async () =>
        client.send(await this.#changed(data as Buffer, isBinary), { binary: isBinary }),
      );
    });
    for (const [one, other] of [
      [client, edge],
      [edge, client],
    ] as const) {
      this.#open.add(one);
      one.on('error', () => {});
      one.on('close', (code: number, reason: Buffer) => {
        this.#open.delete(one);
        void before.then(() => (code >= 3000 ? other.close(code, reason) : other.close()));
      });
    }
  }

  async #changed(data: Buffer, isBinary: boolean): Promise<Buffer | string> {
    if (isBinary || data.toString() === 'pong') return data;
    const parsed = JSON.parse(data.toString()) as Signal | Signal[];
    for (const signal of Array.isArray(parsed) ? parsed : [parsed]) await this.lies.signal?.(signal);
    return JSON.stringify(parsed);
  }
}
