/**
 * One of two Node processes with a data channel between them and nothing else of ours: `node bench/werift-node.ts <folder
 * of werift> <offer|answer> <address>`, at which it is. The one that offers sends. Descriptions and figures go over IPC.
 */
import { join } from 'node:path';

export type PairMessage =
  | { sdp: string }
  | { open: true }
  /** Messages of `chunk` bytes for `ms`, of which `queue` bytes at most have not left. */
  | { send: { chunk: number; queue: number; ms: number } }
  /** Of what came since the last question, without the first `warmMs`. */
  | { ask: { warmMs: number } }
  | { rate: number; cpuMs: number; megabytes: number };

const [folder = '', role, address = ''] = process.argv.slice(2);
const { RTCPeerConnection } = (await import(join(folder, 'lib/index.mjs'))) as typeof import('werift');
const tell = (message: PairMessage) => void process.send?.(message);

const connection = new RTCPeerConnection({
  iceServers: [],
  iceUseIpv6: false,
  // Loopback is no interface that werift would take by itself, and other ones may go, as those of network labs do.
  iceAdditionalHostAddresses: [address],
  iceFilterCandidatePair: ({ localCandidate }) => localCandidate.host === address,
});
const channel = connection.createDataChannel('raw', { negotiated: true, id: 0 });
let came: { atMs: number; bytes: number }[] = [];
let bytes = 0;
let cpu = process.cpuUsage();
channel.onMessage.subscribe((message) => {
  bytes += message.length;
  came.push({ atMs: performance.now(), bytes });
});

async function described(): Promise<void> {
  const description = role === 'offer' ? await connection.createOffer() : await connection.createAnswer();
  await connection.setLocalDescription(description);
  while (connection.iceGatheringState !== 'complete') await pause(10);
  tell({ sdp: connection.localDescription?.sdp ?? '' });
}

function send({ chunk, queue, ms }: { chunk: number; queue: number; ms: number }): void {
  const message = Buffer.alloc(chunk, 7);
  const end = performance.now() + ms;
  channel.bufferedAmountLowThreshold = queue / 2;
  const fill = () => {
    while (performance.now() < end && channel.bufferedAmount < queue) channel.send(message);
  };
  channel.bufferedAmountLow.subscribe(fill);
  fill();
}

function answer(warmMs: number): void {
  const from = (came[0]?.atMs ?? 0) + warmMs;
  const [begin, last] = [came.find(({ atMs }) => atMs >= from), came.at(-1)];
  const has = begin !== undefined && last !== undefined && last.atMs > begin.atMs;
  const rate = has ? (last.bytes - begin.bytes) / (last.atMs - begin.atMs) / 1000 : 0;
  const { user, system } = process.cpuUsage(cpu);
  tell({ rate, cpuMs: (user + system) / 1000, megabytes: bytes / 1e6 });
  came = [];
  bytes = 0;
  cpu = process.cpuUsage();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

process.on('message', async (message: PairMessage) => {
  if ('send' in message) return send(message.send);
  if ('ask' in message) return answer(message.ask.warmMs);
  if (!('sdp' in message)) return;
  await connection.setRemoteDescription({ type: role === 'offer' ? 'answer' : 'offer', sdp: message.sdp });
  if (role === 'answer') await described();
  while (channel.readyState !== 'open') await pause(10);
  tell({ open: true });
});
process.on('disconnect', () => process.exit(0));
if (role === 'offer') await described();
