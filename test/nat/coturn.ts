/** A real TURN server, coturn, as a process that the test started: in this network namespace or another one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
  /** More arguments, such as `--max-allocate-lifetime=5`. */
  args?: readonly string[];
}

export type TurnTransport = 'udp' | 'tcp' | 'tls';

const STARTS_WITHIN_MS = 10_000;

export class Coturn {
  readonly secret: string;
  readonly port: number;
  readonly tlsPort: number;
  readonly certificate: Certificate;
  /** What it wrote to its log so far. */
  log = '';
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
    args = [],
    certificate = makeCertificate(addresses),
    ...given
  }: CoturnOptions = {}): Promise<Coturn> {
    const { secret = 'secret-of-this-test-0123456789' } = given;
    // In another namespace all ports are free.
    const port = given.port || (namespace === undefined ? await freePort() : 3478);
    const tlsPort = given.tlsPort || (namespace === undefined ? await freePort() : 5349);
    const folder = mkdtempSync(join(tmpdir(), 'direct-agent-coturn-'));
    // An empty file, so that no configuration of the system counts.
    writeFileSync(join(folder, 'turnserver.conf'), '');
    const command = [
      ...(namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace]),
      'turnserver',
      ...['-c', join(folder, 'turnserver.conf'), '--pidfile', join(folder, 'pid'), '--userdb', join(folder, 'users')],
      ...['--log-file', 'stdout', '--simple-log', '--verbose', '--no-cli', '--realm', 'turn.test', '--fingerprint'],
      ...['--use-auth-secret', '--static-auth-secret', secret],
      ...['--cert', certificate.certificateFile, '--pkey', certificate.keyFile],
      ...['--listening-port', String(port), '--tls-listening-port', String(tlsPort)],
      // Labs use addresses that a public server must not relay to.
      '--allow-loopback-peers',
      ...addresses.flatMap((address) => ['--listening-ip', address, '--relay-ip', address]),
      ...args,
    ];
    const [program = '', ...rest] = command;
    const child = spawn(program, rest);
    const server = new Coturn({ addresses, port, tlsPort, secret, certificate }, child, folder);
    const deadline = Date.now() + STARTS_WITHIN_MS;
    // Its listeners are open by then.
    while (!server.log.includes('Total General servers')) {
      if (child.exitCode !== null || Date.now() > deadline) {
        await server.close();
        throw new Error(`coturn does not start:\n${server.log}`);
      }
      await sleep(20);
    }
    return server;
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

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGKILL');
      await exited;
    }
    rmSync(this.#folder, { recursive: true, force: true });
    this.certificate.remove();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
