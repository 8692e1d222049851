/**
 * One of the two processes of bench/werift-patches.ts: `werift-pair.ts ROLE FOLDER BYTES SIZE QUEUE`. The sender passes
 * BYTES in messages of SIZE to the receiver and keeps at most QUEUE bytes unsent, both with the copy of werift in FOLDER.
 * Their descriptions go through the parent, which also gets each one's Figures at the end.
 */
import { join } from 'node:path';

const [role, folder = '', ...numbers] = process.argv.slice(2);
const [bytes = 0, size = 0, queue = 0] = numbers.map(Number);
const { RTCPeerConnection } = (await import(join(folder, 'lib/index.mjs'))) as typeof import('werift');

export interface Figures {
  /** From the first byte asked for to the last one there (receiver), or out of the queue (sender). */
  seconds: number;
  cpuSeconds: number;
}
export type PairMessage =
  | { kind: 'description'; type: 'offer' | 'answer'; sdp: string }
  | { kind: 'begin' }
  | { kind: 'figures'; figures: Figures };

const tell = (message: PairMessage) => process.send?.(message);

/** Counts from now. */
function stopwatch(): () => Figures {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return { seconds: (performance.now() - start) / 1e3, cpuSeconds: (user + system) / 1e6 };
  };
}

const LOOPBACK = '127.0.0.1';
const connection = new RTCPeerConnection({
  iceServers: [],
  iceUseIpv6: false,
  // Other interfaces may go while it runs, as those of network labs do.
  iceAdditionalHostAddresses: [LOOPBACK],
  iceFilterCandidatePair: ({ localCandidate, remoteCandidate }) =>
    localCandidate.host === LOOPBACK && remoteCandidate.host === LOOPBACK,
});
const channel = connection.createDataChannel('bulk', { negotiated: true, id: 0 });

/** With all its candidates. */
async function describe(type: 'offer' | 'answer'): Promise<void> {
  const description = type === 'offer' ? await connection.createOffer() : await connection.createAnswer();
  await connection.setLocalDescription(description);
  while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 5));
  tell({ kind: 'description', type, sdp: connection.localDescription?.sdp ?? '' });
}

function send(): void {
  const took = stopwatch();
  const message = Buffer.alloc(size, 7);
  let sent = 0;
  channel.bufferedAmountLowThreshold = queue / 2;
  const fill = () => {
    for (; sent < bytes && channel.bufferedAmount < queue; sent += size) channel.send(message);
  };
  channel.bufferedAmountLow.subscribe(fill);
  fill();
  const watch = setInterval(() => {
    if (sent < bytes || channel.bufferedAmount > 0) return;
    clearInterval(watch);
    tell({ kind: 'figures', figures: took() });
  }, 5);
}

function receive(): void {
  const took = stopwatch();
  let received = 0;
  channel.onMessage.subscribe((message) => {
    received += message.length;
    if (received >= bytes) tell({ kind: 'figures', figures: took() });
  });
  tell({ kind: 'begin' });
}

process.on('message', (message: PairMessage) => {
  void (async () => {
    if (message.kind === 'begin') return send();
    if (message.kind !== 'description') return;
    await connection.setRemoteDescription({ type: message.type, sdp: message.sdp });
    if (message.type === 'offer') await describe('answer');
  })();
});
if (role === 'receiver') {
  channel.stateChanged.subscribe((state) => {
    // By then the other one's is open as well.
    if (state === 'open') setTimeout(receive, 200);
  });
  await describe('offer');
}
