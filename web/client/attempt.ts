/** One attempt at a direct path: offer, answer, candidates, data channel, HELLO. */
import { DirectError } from '../../shared/errors.ts';
import { HANDSHAKE_TIMEOUT_MS } from '../../shared/limits.ts';
import type { SessionSignal } from '../../shared/signal.ts';
import type { Diagnostics } from './diagnostics.ts';
import { DirectConnection, type DirectConnectionEvents } from './direct-connection.ts';
import { PeerLink } from './peer-link.ts';
import { SignalChannel } from './signal-channel.ts';
import { createSession, type Signaling } from './signaling.ts';
import type { PeerConnectionClass } from './webrtc.ts';

export interface AttemptOptions {
  signaling: Signaling;
  RTCPeerConnection: PeerConnectionClass;
  iceTransportPolicy: RTCIceTransportPolicy;
  diagnostics: Diagnostics;
  /** Of the connection that comes out. */
  events: DirectConnectionEvents;
  signal: AbortSignal;
}

/**
 * Connects to the agent.
 * @throws DirectError the edge's or the agent's code, or `E_HANDSHAKE_TIMEOUT`; the signal's reason after an abort.
 */
export async function attempt(options: AttemptOptions): Promise<DirectConnection> {
  const { signaling, diagnostics, signal } = options;
  const { environment } = signaling;
  const { timer } = environment;
  const log = (what: string) => diagnostics.log(what);
  const giveUp = new AbortController();
  const failed = Promise.withResolvers<never>();
  // Whoever loses the race below is not looked at again.
  failed.promise.catch(() => {});
  const opened = Promise.withResolvers<void>();
  const abort = () => failed.reject(signal.reason);
  signal.addEventListener('abort', abort);
  const cancelTimer = timer(HANDSHAKE_TIMEOUT_MS, () => failed.reject(new DirectError('E_HANDSHAKE_TIMEOUT')));

  let sessionId = '';
  let channel: SignalChannel | undefined;
  let connection: DirectConnection | undefined;
  const link = new PeerLink(
    { RTCPeerConnection: options.RTCPeerConnection, iceTransportPolicy: options.iceTransportPolicy, timer },
    {
      candidate: (candidate) => channel?.send({ session_id: sessionId, type: 'candidate', candidate }),
      open: () => opened.resolve(),
      failed: (reason) => {
        failed.reject(new DirectError('E_HANDSHAKE_TIMEOUT', reason));
        connection?.broken(reason);
      },
      disconnected: () => connection?.probe('disconnected'),
      pairChanged: () => connection?.checkPair(),
      step: log,
    },
  );
  const receive = (message: SessionSignal) => {
    if (message.session_id !== sessionId) return;
    if (message.type === 'answer') {
      log('answer received');
      link.answer(message.sdp).catch((error: unknown) => {
        failed.reject(new DirectError('E_PROTOCOL', 'the answer is unusable', { cause: error }));
      });
    } else if (message.type === 'candidate') {
      link.addCandidate(message.candidate);
    } else if (message.type === 'error') {
      failed.reject(new DirectError(message.code, message.message));
    }
  };

  const run = async (): Promise<DirectConnection> => {
    const offer = await link.offer();
    const ready = await createSession(signaling, offer, giveUp.signal);
    giveUp.signal.throwIfAborted();
    sessionId = ready.session_id;
    // The id is a capability until the session expires: its beginning is enough to find it in other logs.
    log(`session created: ${sessionId.slice(0, 6)}…, ${ready.ice_servers.length} ICE servers; offer sent`);
    // First, because it takes round trips; candidates wait in it until it is open.
    channel = new SignalChannel(signaling, sessionId, { step: log, signal: receive, failed: failed.reject });
    link.gather(ready.ice_servers);
    await opened.promise;
    giveUp.signal.throwIfAborted();
    connection = new DirectConnection(sessionId, link, channel, environment, diagnostics, options.events);
    await connection.ready;
    return connection;
  };

  try {
    signal.throwIfAborted();
    return await Promise.race([run(), failed.promise]);
  } catch (error) {
    giveUp.abort(error);
    channel?.close();
    if (connection === undefined) link.close();
    else connection.close('E_CANCELLED');
    throw error;
  } finally {
    cancelTimer();
    signal.removeEventListener('abort', abort);
  }
}
