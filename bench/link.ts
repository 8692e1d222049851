/**
 * What a lab's link (test/network-lab.ts) passes on by itself, whatever the product does: its round trip, TCP in MB/s
 * from the host, and how many UDP packets a second arrive of those that are sent. `npm run bench` says it beside its
 * tables, since a wire that is a process has a limit of its own; `node bench/link.ts --rtt 40 --loss 1` says it alone.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { parseArgs } from 'node:util';
import { NetworkLab, type NetworkLabOptions } from '../test/network-lab.ts';
import { ready } from './slow-internet.ts';
import { table } from './statistics.ts';

/** WebRTC's usual size of a packet. */
const PACKET_BYTES = 1200;
const TCP_MS = 1_500;
const UDP_MS = 1_000;
const RATES = [10_000, 20_000, 30_000, 40_000];
/** The wire's own, above what was asked of it, in percent: where it begins to be the limit. */
const OWN_LOSS_PERCENT = 0.1;

export interface LinkLimit {
  roundTripMs: number;
  tcpMegabytesPerSecond: number;
  /** Sent and arrived, a second. */
  udp: { sent: number; arrived: number }[];
}

const CLIENT = `
const [kind, address, port, ms] = process.argv.slice(1);
if (kind === 'tcp') {
  const times = [];
  let bytes = 0, from = 0;
  const connect = () => {
    const start = performance.now();
    const socket = require('net').connect(+port, address);
    socket.once('connect', () => {
      times.push(performance.now() - start);
      if (times.length < 6) { socket.destroy(); connect(); return; }
      socket.on('data', (data) => { if (performance.now() - start > 1000) { from ||= performance.now(); bytes += data.length; } });
      setTimeout(() => {
        const rate = bytes / (performance.now() - from) / 1000;
        console.log(JSON.stringify({ roundTripMs: times.sort((a, b) => a - b)[2], rate }));
        process.exit();
      }, +ms + 1000);
    });
  };
  connect();
} else {
  const socket = require('dgram').createSocket({ type: 'udp4', recvBufferSize: 4194304 });
  let arrived = 0;
  socket.on('message', (packet) => {
    if (packet.length > 1) arrived++;
    else { socket.send(String(arrived), +port, address); arrived = 0; }
  });
  // The first may be lost.
  const hello = setInterval(() => socket.send('hello', +port, address), 200);
  socket.once('message', () => clearInterval(hello));
  console.log('ready');
}`;

export async function measureLink(lab: NetworkLab): Promise<LinkLimit> {
  const tcp = await throughTcp(lab);
  const udp: LinkLimit['udp'] = [];
  for (const rate of RATES) {
    const measured = await throughUdp(lab, rate);
    udp.push(measured);
    if (measured.arrived < measured.sent * 0.9) break;
  }
  return { roundTripMs: tcp.roundTripMs, tcpMegabytesPerSecond: tcp.rate, udp };
}

/** A sentence for people. `lossPercent` is what was asked for, each way. */
export function describeLink({ roundTripMs, tcpMegabytesPerSecond, udp }: LinkLimit, lossPercent = 0): string {
  const kept = udp.filter(({ sent, arrived }) => (1 - arrived / sent) * 100 <= lossPercent * 1.3 + OWN_LOSS_PERCENT);
  const best = Math.max(0, ...kept.map(({ sent }) => sent));
  const megabytes = (best * PACKET_BYTES) / 1e6;
  return [
    `The link alone: TCP handshake ${roundTripMs.toFixed(1)} ms, TCP ${tcpMegabytesPerSecond.toFixed(0)} MB/s,`,
    `UDP ${best.toFixed(0)} packets of ${PACKET_BYTES} bytes a second (${megabytes.toFixed(0)} MB/s) without loss of its own.`,
  ].join(' ');
}

async function throughTcp(lab: NetworkLab): Promise<{ roundTripMs: number; rate: number }> {
  const chunk = new Uint8Array(256 * 1024);
  const server = createServer((socket) => {
    const fill = () => {
      while (socket.write(chunk));
    };
    socket.on('drain', fill).on('error', () => {});
    fill();
  }).listen(0, lab.hostAddress);
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const client = lab.spawn(process.execPath, '-e', CLIENT, 'tcp', lab.hostAddress, String(port), String(TCP_MS));
    return JSON.parse(await ready(client));
  } finally {
    server.close();
  }
}

async function throughUdp(lab: NetworkLab, rate: number): Promise<{ sent: number; arrived: number }> {
  const socket = createSocket({ type: 'udp4', sendBufferSize: 4 * 1024 * 1024 });
  socket.bind(0, lab.hostAddress);
  await once(socket, 'listening');
  const client = lab.spawn(process.execPath, '-e', CLIENT, 'udp', lab.hostAddress, String(socket.address().port));
  try {
    const [, { port, address }] = (await once(socket, 'message')) as [unknown, { port: number; address: string }];
    socket.connect(port, address);
    await once(socket, 'connect');
    const packet = new Uint8Array(PACKET_BYTES);
    let sent = 0;
    const start = performance.now();
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        const elapsed = performance.now() - start;
        for (; sent < (rate * Math.min(elapsed, UDP_MS)) / 1000; sent++) socket.send(packet);
        if (elapsed < UDP_MS) return;
        clearInterval(timer);
        resolve();
      }, 1);
    });
    const seconds = (performance.now() - start) / 1000;
    // The question may be lost like any packet; the last ones are still on their way.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const asking = setInterval(() => socket.send('?'), 200);
    try {
      const [said] = await once(socket, 'message');
      return { sent: sent / seconds, arrived: Number(String(said)) / seconds };
    } finally {
      clearInterval(asking);
    }
  } finally {
    client.kill();
    socket.close();
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { rtt: { type: 'string' }, loss: { type: 'string', default: '0' } } });
  const lossPercent = Number(values.loss);
  const options: NetworkLabOptions =
    values.rtt === undefined ? {} : { link: { roundTripMs: Number(values.rtt), lossPercent } };
  const lab = await NetworkLab.start(options);
  try {
    const limit = await measureLink(lab);
    console.log(describeLink(limit, lossPercent));
    const rows = limit.udp.map(({ sent, arrived }) => [sent.toFixed(0), arrived.toFixed(0)]);
    console.log(`\n${table([['UDP packets sent a second', 'arrived'], ...rows])}`);
  } finally {
    await lab.close();
  }
}
