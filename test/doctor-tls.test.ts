/** What the doctor says of certificates, by real TLS. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkTls } from '../agent/doctor/edge.ts';
import type { Finding } from '../agent/doctor/finding.ts';
import { type Certificate, makeCertificate } from './nat/certificate.ts';
import { coturnMissing } from './nat/coturn.ts';

const without = coturnMissing();
const never = new AbortController().signal;

describe.skipIf(without)(`certificates (${without || 'real'})`, () => {
  let certificate: Certificate;
  let server: Server;
  const sockets = new Set<Socket>();
  beforeAll(async () => {
    certificate = makeCertificate(['127.0.0.1']);
    const [key, cert] = [certificate.keyFile, certificate.certificateFile].map((file) => readFileSync(file));
    server = createServer({ key: key ?? '', cert: cert ?? '' }, (socket) => socket.on('error', () => {}));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    server?.close();
    certificate?.remove();
  });
  const urlOf = (listening: Server) => {
    const address = listening.address();
    return `https://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  };

  test('one that nobody vouches for', async () => {
    expect(await checkTls(urlOf(server), Date.now(), never)).toMatchObject([
      {
        state: 'failure',
        what: 'The certificate that answers as the edge is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT, issued by turn.test).',
        meaning: expect.stringContaining('company proxy'),
        fix: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
      },
    ]);
  });

  /** Node reads its authorities when it starts. */
  function trusting(now: string): Finding[] {
    const program = `import { checkTls } from ${JSON.stringify(join(import.meta.dirname, '../agent/doctor/edge.ts'))};
      const findings = await checkTls(process.argv[1], ${now}, new AbortController().signal);
      process.stdout.write(JSON.stringify(findings), () => process.exit(0));`;
    // The server is in this process, which must not wait: so it is one of the child's own.
    const serving = `import { createServer } from 'node:tls';
      import { readFileSync } from 'node:fs';
      const server = createServer({ key: readFileSync(${JSON.stringify(certificate.keyFile)}), cert: readFileSync(${JSON.stringify(certificate.certificateFile)}) });
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      process.argv[1] = 'https://127.0.0.1:' + server.address().port;\n`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', serving + program, 'unused'], {
      env: { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: certificate.certificateFile },
      encoding: 'utf8',
    });
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as Finding[];
  }

  test('one of an authority that was added here: it may be one’s own, or somebody reads along', () => {
    expect(trusting('Date.now()')).toMatchObject([
      { state: 'warning', meaning: expect.stringContaining('none of the public ones') },
    ]);
  });

  test('one that ends soon', () => {
    // It is made for 30 days.
    expect(trusting('Date.now() + 20 * 24 * 3600000')).toMatchObject([
      { state: 'warning', what: expect.stringMatching(/^The edge’s certificate ends in (9|10) days\.$/) },
    ]);
  });

  test('a server that stays silent, one that is not there, and plain HTTP', async () => {
    const silent = createTcpServer((socket) => void sockets.add(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const problem = async (url: string, signal = never) => (await checkTls(url, Date.now(), signal))[0]?.what;
    const quiet = urlOf(silent);
    expect(await problem(quiet, AbortSignal.timeout(100))).toBe(
      `No TLS connection to ${new URL(quiet).host} (no answer in time).`,
    );
    silent.close();
    expect(await problem('https://127.0.0.1:2')).toBe('No TLS connection to 127.0.0.1:2 (ECONNREFUSED).');
    expect(await checkTls('http://127.0.0.1:2', Date.now(), never)).toMatchObject([{ state: 'ok' }]);
  });
});
