/** A real TURN server, coturn, as a process that the test started: in this network namespace or another one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../scripts/free-port.ts';
import { findProgram } from '../../scripts/programs.ts';
import type { IceServer } from '../../shared/signal.ts';
import { type Certificate, makeCertificate } from './certificate.ts';

/** For `test.skipIf`: why no TURN server can be started here, or false. */
export function coturnMissing(): string | false {
  const absent = ['turnserver', 'openssl'].find((program) => findProgram(program) === undefined);
  return absent === undefined ? false : `${absent} is not installed`;
}

export interface CoturnOptions {
  /** Where it listens, and where it relays; IPv4 and IPv6. */
  addresses?: readonly string[];
  /** Network namespace; that of this process otherwise. */
  namespace?: string;
  /** 0: a free one. */
  port?: number;
  tlsPort?: number;
  /** `use-auth-secret`: user names are times at which they end. */
  secret?: string;
  /** One of its own otherwise. */
  certificate?: Certificate;
  /** It listens to clients by this one alone, so that whoever has an allocation used it; all of them otherwise. */
  transport?: TurnTransport;
  /**
   * Ends an allocation when its credentials end. coturn itself looks at that time once, at Allocate, and keeps their key
   * as long as the allocation (`check_stun_auth` in its ns_turn_server.c): no option makes a refresh fail. So its
   * administrator's `cs` (cancel session) does it here. Not in another namespace.
   */
  endsExpired?: boolean;
  /** More arguments, such as `--stale-nonce=60`. */
  args?: readonly string[];
}

export type TurnTransport = 'udp' | 'tcp' | 'tls';

/** What coturn listens for, unless told `--no-…`. */
const LISTENERS = ['udp', 'tcp', 'tls', 'dtls'];

/** An allocation, as coturn's log tells of it. */
export interface Allocation {
  session: string;
  username: string;
}

const STARTS_WITHIN_MS = 10_000;

export class Coturn {
  readonly secret: string;
  readonly port: number;
  readonly tlsPort: number;
  readonly certificate: Certificate;
  /** What it wrote to its log so far. */
  log = '';
  #administrator: Socket | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #addresses: readonly string[];
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(
    options: Required<Pick<CoturnOptions, 'addresses' | 'port' | 'tlsPort' | 'secret' | 'certificate'>>,
    child: ChildProcess,
    folder: string,
  ) {
    this.secret = options.secret;
    this.port = options.port;
    this.tlsPort = options.tlsPort;
    this.certificate = options.certificate;
    this.#addresses = options.addresses;
    this.#child = child;
    this.#folder = folder;
    const append = (text: Buffer) => {
      this.log += String(text);
    };
    child.stdout?.on('data', append);
    child.stderr?.on('data', append);
  }

  /** @throws Error when `coturnMissing`, or when it does not start. */
  static async start({
    addresses = ['127.0.0.1'],
    namespace,
    transport,
    endsExpired = false,
    args = [],
    certificate = makeCertificate(addresses),
    ...given
  }: CoturnOptions = {}): Promise<Coturn> {
    const { secret = 'secret-of-this-test-0123456789' } = given;
    // In another namespace all ports are free.
    const port = given.port || (namespace === undefined ? await freePort() : 3478);
    const tlsPort = given.tlsPort || (namespace === undefined ? await freePort() : 5349);
    const folder = mkdtempSync(join(tmpdir(), 'direct-agent-coturn-'));
    const administrator = endsExpired ? { port: await freePort(), password: randomUUID() } : undefined;
    // An empty file, so that no configuration of the system counts.
    writeFileSync(join(folder, 'turnserver.conf'), '');
    const command = [
      ...(namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace]),
      'turnserver',
      ...['-c', join(folder, 'turnserver.conf'), '--pidfile', join(folder, 'pid'), '--userdb', join(folder, 'users')],
      ...['--log-file', 'stdout', '--simple-log', '--verbose', '--realm', 'turn.test', '--fingerprint'],
      ...['--use-auth-secret', '--static-auth-secret', secret],
      ...['--cert', certificate.certificateFile, '--pkey', certificate.keyFile],
      ...['--listening-port', String(port), '--tls-listening-port', String(tlsPort)],
      ...(administrator === undefined
        ? ['--no-cli']
        : ['--cli-port', String(administrator.port), '--cli-password', administrator.password]),
      ...(transport === undefined ? [] : LISTENERS.filter((each) => each !== transport).map((each) => `--no-${each}`)),
      // Labs use addresses that a public server must not relay to.
      '--allow-loopback-peers',
      ...addresses.flatMap((address) => ['--listening-ip', address, '--relay-ip', address]),
      ...args,
    ];
    const [program = '', ...rest] = command;
    const child = spawn(program, rest);
    const server = new Coturn({ addresses, port, tlsPort, secret, certificate }, child, folder);
    try {
      await server.#logs('Total General servers');
      if (administrator !== undefined) await server.#endExpired(administrator);
    } catch (error) {
      await server.close();
      throw new Error(`coturn does not start:\n${server.log}`, { cause: error });
    }
    return server;
  }

  /** The certificate of its TLS port, which signs itself: for clients that should trust it. */
  get certificateFile(): string {
    return this.certificate.certificateFile;
  }

  /** For Chromium's command line: its TURN over TLS believes this server as if an authority vouched for it. */
  get chromiumTrust(): string {
    return `--ignore-certificate-errors-spki-list=${this.certificate.publicKeyHash}`;
  }

  /** All that were made so far, in order. */
  get allocations(): Allocation[] {
    const lines = this.log.matchAll(/session (\d+): new, realm=<[^>]*>, username=<([^>]*)>/g);
    return [...lines].map(([, session = '', username = '']) => ({ session, username }));
  }

  url(transport: TurnTransport, address = this.#addresses[0] ?? ''): string {
    const host = address.includes(':') ? `[${address}]` : address;
    if (transport === 'tls') return `turns:${host}:${this.tlsPort}?transport=tcp`;
    return `turn:${host}:${this.port}?transport=${transport}`;
  }

  /** Credentials of `use-auth-secret` that end in `seconds`. */
  iceServer(transports: readonly TurnTransport[] = ['udp', 'tcp', 'tls'], seconds = 3600): IceServer {
    const username = `${Math.floor(Date.now() / 1000) + seconds}:test`;
    const credential = createHmac('sha1', this.secret).update(username).digest('base64');
    return { urls: transports.map((transport) => this.url(transport)), username, credential };
  }

  /** It logs each of its listeners when it is open. */
  async #logs(line: string): Promise<void> {
    const deadline = Date.now() + STARTS_WITHIN_MS;
    while (!this.log.includes(line)) {
      if (this.#child.exitCode !== null) throw new Error(`it exits with ${this.#child.exitCode}`);
      if (Date.now() > deadline) throw new Error(`it does not log “${line}” in ${STARTS_WITHIN_MS} ms`);
      await sleep(20);
    }
  }

  async #endExpired({ port, password }: { port: number; password: string }): Promise<void> {
    await this.#logs('CLI listener opened');
    const socket = connect(port, '127.0.0.1');
    this.#administrator = socket;
    await once(socket, 'connect');
    // What it says is for people, and it may go first when both end.
    socket.on('error', () => {}).resume();
    socket.write(`${password}\r\n`);
    let known = 0;
    const look = () => {
      for (const { session, username } of this.allocations.slice(known)) {
        known += 1;
        // coturn counts whole seconds, and takes credentials until the one that their name says is over.
        const end = (Number(username.split(':')[0]) + 1) * 1000;
        const timer = setTimeout(() => socket.write(`cs ${session}\r\n`), end - Date.now());
        this.#timers.add(timer);
      }
    };
    this.#child.stdout?.on('data', look);
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#administrator?.destroy();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGKILL');
      await exited;
    }
    rmSync(this.#folder, { recursive: true, force: true });
    this.certificate.remove();
  }
}
