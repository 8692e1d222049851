/** The agent without its link, as a process of its own: signaling goes over IPC, so that a test can flood it. */
import { readdirSync } from 'node:fs';
import { Connections } from '../agent/connections.ts';
import { UpstreamProxy } from '../agent/proxy.ts';
import { nodeEnvironment } from '../agent/runtime.ts';
import { PLAIN_NETWORK } from '../agent/test-network.ts';
import { oneUpstream } from '../agent/test-upstreams.ts';
import { WebRtc } from '../agent/webrtc.ts';
import { generateHostKeys } from '../shared/host-identity.ts';
import { Sessions } from '../shared/sessions.ts';
import type { SessionSignal } from '../shared/signal.ts';
import { signAnswer } from '../shared/signed-answer.ts';

export interface Measurement {
  connections: number;
  /** After two garbage collections, in bytes. */
  heap: number;
  external: number;
  rss: number;
  descriptors: number;
}

export type ToAgent = { signal: SessionSignal } | { measure: true };
export type FromAgent = { ready: true } | { signal: SessionSignal } | { measurement: Measurement };

const [upstream = '', handshakeTimeoutMs = ''] = process.argv.slice(2);
const tell = (message: FromAgent) => void process.send?.(message);

const webRtc = await WebRtc.open(PLAIN_NETWORK, { log: (line) => void process.stderr.write(`${line}\n`) });
const proxy = new UpstreamProxy({
  upstreams: oneUpstream(upstream),
  policy: { allowedPrefixes: [], allowManagement: false },
  maxBodyBytes: 10_000_000,
  log: () => {},
});
const sessions = new Sessions({
  environment: nodeEnvironment,
  stream: (stream) => void proxy.serve(stream, { subject: 'owner' }),
  handshakeTimeoutMs: Number(handshakeTimeoutMs),
});
const hostKeys = await generateHostKeys();
const connections = new Connections({
  maxConnections: 10,
  makePeer: (_offer, events) => webRtc.peer([], events),
  sessions,
  sign: (answered) => signAnswer(hostKeys, { ...answered, hostId: 'home' }),
  send: (signal) => tell({ signal }),
  log: (line) => void process.stderr.write(`${line}\n`),
});

async function measure(): Promise<Measurement> {
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  const descriptors = readdirSync('/proc/self/fd').length;
  return { connections: connections.size, heap: heapUsed, external, rss, descriptors };
}

process.on('message', (message: ToAgent) => {
  if ('signal' in message) connections.handle(message.signal);
  else void measure().then((measurement) => tell({ measurement }));
});
process.on('disconnect', () => process.exit(0));
tell({ ready: true });
