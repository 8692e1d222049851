/** A router on loopback for tests, written from the RFCs and the UPnP Forum's documents, not from our codecs. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as timeout } from 'node:timers/promises';
import type { Gateway, Time } from './lease.ts';

export interface RouterOptions {
  pcp?: boolean;
  natPmp?: boolean;
  upnp?: boolean;
  /** Of UPnP's services. */
  service?: string;
}

interface Entry {
  internal: string;
  /** PCP's. */
  nonce?: string;
}

const ADDRESS = '127.0.0.1';

export class TestRouter {
  /** By external port. */
  readonly mappings = new Map<number, Entry>();
  /** What it was asked, such as `PCP map 40000 1800`. */
  readonly asked: string[] = [];
  external = '203.0.113.9';
  epoch = 1000;
  lifetimeSeconds = 1800;
  /** Of PCP and NAT-PMP. */
  result = 0;
  /** Ports that another machine has: by UPnP these are conflicts, by the others the next port is granted. */
  readonly taken = new Set<number>();
  /** Routers that know no leases. */
  permanentOnly = false;
  /** Does what it is asked for, and does not answer. */
  silent = false;
  /** Changes what it sends, or sends more. */
  mangle: (answer: Buffer) => Buffer = (answer) => answer;
  /** The text that is served at /description.xml. */
  description: string;
  /** Answers to HTTP in its place if it returns something. */
  serve: (path: string) => { status: number; body: string; location?: string } | undefined = () => undefined;
  /** The LOCATION header of SSDP's answers. */
  location: string;
  readonly #options: RouterOptions;
  readonly #udp: Socket;
  readonly #ssdp: Socket;
  readonly #http: Server;

  private constructor(options: RouterOptions, udp: Socket, ssdp: Socket, http: Server) {
    this.#options = options;
    this.#udp = udp;
    this.#ssdp = ssdp;
    this.#http = http;
    this.location = `${this.origin}/description.xml`;
    const service = options.service ?? 'urn:schemas-upnp-org:service:WANIPConnection:1';
    this.description = describe(service);
    udp.on('message', (packet, from) => this.#control(packet, from));
    ssdp.on('message', (packet, from) => this.#search(packet, from));
    http.on('request', (request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        const path = request.url ?? '';
        this.asked.push(`${request.method} ${path}`);
        const {
          status,
          body: text,
          location,
        } = this.serve(path) ?? this.#answer(path, request.headers.soapaction, body);
        if (this.silent) return;
        response.writeHead(status, { 'Content-Type': 'text/xml', ...(location && { Location: location }) }).end(text);
      });
    });
  }

  static async start(options: RouterOptions): Promise<TestRouter> {
    const [udp, ssdp, http] = [createSocket('udp4'), createSocket('udp4'), createServer()];
    for (const socket of [udp, ssdp]) await once(socket.bind(0, ADDRESS), 'listening');
    await once(http.listen(0, ADDRESS), 'listening');
    return new TestRouter(options, udp, ssdp, http);
  }

  get gateway(): Gateway {
    return {
      address: ADDRESS,
      port: this.#udp.address().port,
      ssdp: [{ address: ADDRESS, port: this.#ssdp.address().port }],
    };
  }

  get origin(): string {
    return `http://${ADDRESS}:${(this.#http.address() as AddressInfo).port}`;
  }

  /** As after a power cut. */
  restart(): void {
    this.mappings.clear();
    this.epoch = 1;
  }

  async close(): Promise<void> {
    this.#udp.close();
    this.#ssdp.close();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  #send(answer: Buffer, { port, address }: RemoteInfo): void {
    if (!this.silent) this.#udp.send(this.mangle(answer), port, address);
  }

  #control(packet: Buffer, from: RemoteInfo): void {
    if (packet[0] === 2 && this.#options.pcp) this.#send(this.#pcp(packet, from), from);
    else if (packet[0] === 0 && this.#options.natPmp) this.#send(this.#natPmp(packet, from), from);
    // RFC 6886, section 3.5, and RFC 6887, appendix A: with the version that it does know.
    else if (this.#options.natPmp) this.#send(Buffer.from([0, 0x80 | (packet[1] ?? 0), 0, 1, 0, 0, 3, 0xe8]), from);
    else if (this.#options.pcp) this.#send(Buffer.from([2, 0x80, 0, 1, ...Array(20).fill(0)]), from);
    else if (this.#options.upnp) this.#send(Buffer.from([0, 0x80 | (packet[1] ?? 0), 0, 5]), from);
  }

  /** RFC 6887, section 11. */
  #pcp(packet: Buffer, { address }: RemoteInfo): Buffer {
    const answer = Buffer.from(packet);
    const lifetime = packet.readUInt32BE(4);
    const internal = `${address}:${packet.readUInt16BE(40)}`;
    const nonce = packet.toString('hex', 24, 36);
    this.asked.push(`PCP map ${packet.readUInt16BE(40)} ${lifetime}`);
    answer[1] = 0x81;
    answer[3] = this.result;
    answer.writeUInt32BE(lifetime === 0 ? 0 : this.lifetimeSeconds, 4);
    answer.writeUInt32BE(this.epoch, 8);
    answer.fill(0, 12, 24);
    if (this.result !== 0) return answer;
    const before = this.#find(internal);
    if (before !== undefined && this.mappings.get(before)?.nonce !== nonce) {
      answer[3] = 2;
      return answer;
    }
    if (lifetime === 0) this.#forget(internal);
    else answer.writeUInt16BE(this.#grant(internal, packet.readUInt16BE(42), nonce), 42);
    answer.fill(0, 44, 54).fill(0xff, 54, 56);
    answer.set(this.external.split('.').map(Number), 56);
    return answer;
  }

  /** RFC 6886, section 3. */
  #natPmp(packet: Buffer, { address }: RemoteInfo): Buffer {
    const head = Buffer.alloc(8);
    head[1] = 0x80 | (packet[1] ?? 0);
    head.writeUInt16BE(this.result, 2);
    head.writeUInt32BE(this.epoch, 4);
    if (packet[1] === 0) return Buffer.from([...head, ...this.external.split('.').map(Number)]);
    const [port, lifetime] = [packet.readUInt16BE(4), packet.readUInt32BE(8)];
    const internal = `${address}:${port}`;
    this.asked.push(`NAT-PMP map ${port} ${lifetime}`);
    const body = Buffer.alloc(8);
    body.writeUInt16BE(port, 0);
    if (lifetime === 0) this.#forget(internal);
    else if (this.result === 0) {
      body.writeUInt16BE(this.#grant(internal, packet.readUInt16BE(6)), 2);
      body.writeUInt32BE(this.lifetimeSeconds, 4);
    }
    return Buffer.concat([head, body]);
  }

  #find(internal: string): number | undefined {
    return [...this.mappings].find(([, entry]) => entry.internal === internal)?.[0];
  }

  #forget(internal: string): void {
    const port = this.#find(internal);
    if (port !== undefined) this.mappings.delete(port);
  }

  #grant(internal: string, wanted: number, nonce?: string): number {
    let port = this.#find(internal) ?? wanted;
    while (this.taken.has(port)) port++;
    this.mappings.set(port, { internal, ...(nonce !== undefined && { nonce }) });
    return port;
  }

  #search(packet: Buffer, { port, address }: RemoteInfo): void {
    const target = /^ST: (.*)$/m.exec(packet.toString())?.[1] ?? '';
    if (!this.#options.upnp || this.silent || !packet.toString().startsWith('M-SEARCH * HTTP/1.1\r\n')) return;
    const answer = `HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: ${target}\r\nLocation: ${this.location}\r\n\r\n`;
    this.#ssdp.send(answer, port, address);
  }

  #answer(path: string, soapAction: unknown, body: string): { status: number; body: string; location?: string } {
    if (path === '/description.xml') return { status: 200, body: this.description };
    const action = /#(\w+)"$/.exec(String(soapAction))?.[1] ?? '';
    const argument = (name: string) => new RegExp(`<${name}>(.*?)</${name}>`).exec(body)?.[1] ?? '';
    const port = Number(argument('NewExternalPort'));
    const lifetime = Number(argument('NewLeaseDuration'));
    const done = (values = '') => ({
      status: 200,
      body: `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:${action}Response xmlns:u="x">${values}</u:${action}Response></s:Body></s:Envelope>`,
    });
    const fault = (code: number) => ({
      status: 500,
      body: `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>${code}</errorCode><errorDescription>Because</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>`,
    });
    if (path !== '/control') return { status: 404, body: '' };
    if (action === 'GetExternalIPAddress') return done(`<NewExternalIPAddress>${this.external}</NewExternalIPAddress>`);
    this.asked.push(`${action} ${port} ${lifetime}`);
    if (argument('NewProtocol') !== 'UDP') return fault(402);
    if (action === 'DeletePortMapping') return this.mappings.delete(port) ? done() : fault(714);
    if (this.permanentOnly && lifetime !== 0) return fault(725);
    const internal = `${argument('NewInternalClient')}:${argument('NewInternalPort')}`;
    if (action === 'AddAnyPortMapping' && this.#options.service?.endsWith(':2'))
      return done(`<NewReservedPort>${this.#grant(internal, port)}</NewReservedPort>`);
    if (action !== 'AddPortMapping') return fault(401);
    if (this.taken.has(port)) return fault(718);
    this.mappings.set(port, { internal });
    return done();
  }
}

function describe(service: string): string {
  return `<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>A &amp; B</friendlyName>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/l3f</controlURL></service></serviceList>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList><service>
<serviceType>${service}</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<controlURL>/control</controlURL><eventSubURL>/events</eventSubURL><SCPDURL>/scpd.xml</SCPDURL>
</service></serviceList></device></deviceList></device></deviceList></device></root>
`;
}

/** Waits of some seconds are real; longer ones end when the test says so. */
export class TestTime implements Time {
  readonly #sleepers = new Set<{ until: number; wake: () => void }>();
  #passed = 0;
  /** Short waits are so many times shorter. */
  readonly #speed: number;

  constructor(speed = 1) {
    this.#speed = speed;
  }

  now(): number {
    return Date.now() + this.#passed;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (ms < 10_000) return timeout(ms / this.#speed, undefined, { signal });
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const sleeper = { until: this.now() + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal.addEventListener('abort', () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      });
    });
  }

  /** Waits until so many sleep, and ends the shortest of their waits. @returns its seconds, rounded. */
  async pass(sleepers = 1): Promise<number> {
    while (this.#sleepers.size < sleepers) await timeout(5);
    const [first] = [...this.#sleepers].sort((one, other) => one.until - other.until);
    if (first === undefined) throw new Error('nobody sleeps');
    this.#sleepers.delete(first);
    const ms = Math.max(0, first.until - this.now());
    this.#passed += ms;
    first.wake();
    return Math.round(ms / 1000);
  }

  /** Resolves when so many sleep. */
  async settled(sleepers = 1): Promise<void> {
    while (this.#sleepers.size < sleepers) await timeout(5);
  }
}
