/** What stands in the way of a UDP port, on the system as it is. */
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { udpPortHolder } from './port-holder.ts';

const isLinux = process.platform === 'linux';

test.skipIf(!isLinux)('the program that has a port is named, IPv4 and IPv6, and nobody where it is free', async () => {
  for (const [type, address] of [
    ['udp4', '127.0.0.1'],
    ['udp6', '::1'],
  ] as const) {
    const socket = createSocket(type).bind(0, address);
    await once(socket, 'listening');
    const { port } = socket.address();
    expect(udpPortHolder(port)).toMatch(new RegExp(`^\\S+ \\(process ${process.pid}\\)$`));
    socket.close();
    await once(socket, 'close');
    expect(udpPortHolder(port)).toBeUndefined();
  }
});

/** A program of the user nobody, whom the system gives no port below 1024. */
const SCRIPT = `
  const { UdpMux, NoPortError } = await import(process.argv[1]);
  const mux = new UdpMux({ ports: { min: 81, max: 81 }, log: (line) => console.log('log', line) });
  const local = { interface: 'lo', address: '127.0.0.1', family: 4, advertised: ['127.0.0.1'] };
  try {
    await mux.open([local]);
    console.log('open');
  } catch (error) {
    console.log(error instanceof NoPortError, error.denied, error.message);
  }
  await mux.close();
`;
const NOBODY = 65_534;

test('a port that only root may have is refused as that, not as one in use', ({ skip }) => {
  const firstFree = isLinux ? Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8')) : 0;
  skip(firstFree <= 81, 'this system gives low ports to everybody');
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const mux = fileURLToPath(new URL('udp-mux.ts', import.meta.url));
  const args = ['--input-type=module', '--eval', SCRIPT, mux];
  const { stdout, stderr, error } = spawnSync(process.execPath, args, { ...user, encoding: 'utf8', timeout: 20_000 });
  skip(error !== undefined || stderr.includes('EACCES'), 'another user may not read this folder');
  expect(stdout).toBe('true true port 81 is not allowed at 127.0.0.1\n');
});
