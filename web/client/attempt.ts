/** One attempt at a direct path: offer, answer, candidates, data channel, HELLO. */
import { DirectError } from '../../shared/errors.ts';
import { HANDSHAKE_TIMEOUT_MS } from '../../shared/limits.ts';
import type { AnswerSignal, CandidateSignal, IceServer, SessionReady, SessionSignal } from '../../shared/signal.ts';
import { directBinding } from '../../shared/signed-answer.ts';
import type { Diagnostics } from './diagnostics.ts';
import { DirectPath } from './direct-path.ts';
import type { HostSession } from './host-session.ts';
import type { HostTrust } from './host-trust.ts';
import { iceFact, renewalMs } from './ice-servers.ts';
import { PeerLink } from './peer-link.ts';
import { SignalChannel } from './signal-channel.ts';
import { createSession, type Signaling } from './signaling.ts';
import type { PeerConnectionClass } from './webrtc.ts';

export interface AttemptOptions {
  signaling: Signaling;
  RTCPeerConnection: PeerConnectionClass;
  iceTransportPolicy: RTCIceTransportPolicy;
  /** The program's own, in place of the edge's. */
  iceServers: readonly IceServer[] | undefined;
  diagnostics: Diagnostics;
  /** Whose session gets the path. */
  host: HostSession;
  /** Says whose answer counts. */
  trust: HostTrust;
  /** The id of the next signaling session. */
  sessionId(): string;
  /** The edge was asked for a signaling session, which serves other paths as well. */
  asked(session: Promise<SessionReady>): void;
  /** Nothing speaks against success: what costs little and saves time is done before it is sure to be of use. */
  isHopeful: boolean;
  /** The path that came out has ended; called once. */
  lost(error: DirectError): void;
  signal: AbortSignal;
}

/**
 * Connects to the agent.
 * @throws DirectError the edge's or the agent's code, that of the host's key, or `E_HANDSHAKE_TIMEOUT`; the signal's
 * reason after an abort.
 */
export async function attempt(options: AttemptOptions): Promise<DirectPath> {
  const { signaling, diagnostics, trust, signal } = options;
  const { environment } = signaling;
  const { timer } = environment;
  const giveUp = new AbortController();
  const failed = Promise.withResolvers<never>();
  // Whoever loses the race below is not looked at again.
  failed.promise.catch(() => {});
  const opened = Promise.withResolvers<void>();
  const abort = () => failed.reject(signal.reason);
  signal.addEventListener('abort', abort);
  const cancelTimer = timer(HANDSHAKE_TIMEOUT_MS, () => failed.reject(new DirectError('E_HANDSHAKE_TIMEOUT')));

  const sessionId = options.sessionId();
  const { iceServers } = options;
  /** Found before there was a channel, in a connection that was begun before. */
  const early: CandidateSignal[] = [];
  let channel: SignalChannel | undefined;
  let session: Promise<SessionReady> | undefined;
  let path: DirectPath | undefined;
  let offer = '';
  const answered = Promise.withResolvers<{ binding: Uint8Array }>();
  const peer = new PeerLink(
    { RTCPeerConnection: options.RTCPeerConnection, iceTransportPolicy: options.iceTransportPolicy, timer },
    {
      candidate: (candidate) => {
        const signal = { session_id: sessionId, type: 'candidate', candidate } as const;
        if (channel === undefined) early.push(signal);
        else channel.send(signal);
      },
      open: () => opened.resolve(),
      failed: (reason) => {
        // A path tells itself why it ended, which may be what the agent said before.
        if (path === undefined) failed.reject(new DirectError('E_HANDSHAKE_TIMEOUT', reason));
        else path.close(new DirectError('E_PATH_LOST', reason));
      },
      disconnected: () => path?.probe('disconnected'),
      pairChanged: () => path?.checkPair(),
      step: diagnostics.log,
    },
  );
  const answer = async (message: AnswerSignal) => {
    diagnostics.log('answer received');
    // It may overtake the edge's own answer, without which nothing is gathered.
    await session;
    // While ICE gathers. Nothing of the answer is used before: its fingerprint decides whom DTLS believes.
    const [binding] = await Promise.all([directBinding(offer, message.sdp), trust.answer(message, offer)]);
    giveUp.signal.throwIfAborted();
    await peer.answer(message.sdp).catch((error: unknown) => {
      throw new DirectError('E_PROTOCOL', 'the answer is unusable', { cause: error });
    });
    answered.resolve({ binding });
  };
  const receive = (message: SessionSignal) => {
    if (message.session_id !== sessionId) return;
    if (message.type === 'answer') {
      answer(message).catch(failed.reject);
    } else if (message.type === 'candidate') {
      peer.addCandidate(message.candidate);
    } else if (message.type === 'error') {
      failed.reject(new DirectError(message.code, message.message));
    }
  };

  const run = async (): Promise<DirectPath> => {
    const [sdp, canVerify] = await Promise.all([peer.offer(), trust.canVerify()]);
    if (!canVerify) throw new DirectError('E_HOST_KEY_UNCONFIRMED');
    offer = sdp;
    giveUp.signal.throwIfAborted();
    const own = iceServers && { ice_servers: [...iceServers] };
    session = createSession(signaling, { offer, session_id: sessionId, ...own }, giveUp.signal);
    options.asked(session);
    // At once, because it takes round trips; candidates wait in it until it is open.
    channel = new SignalChannel(
      { signaling, sessionId, session, early: options.isHopeful },
      { step: diagnostics.log, signal: receive, failed: failed.reject },
    );
    for (const signal of early.splice(0)) channel.send(signal);
    if (iceServers !== undefined) peer.gather(iceServers);
    const ready = await session;
    const arrivedAt = environment.now();
    giveUp.signal.throwIfAborted();
    const servers = iceServers ?? ready.ice_servers;
    const source = iceServers === undefined ? (ready.ice_source ?? 'edge') : 'client';
    // The id is a capability until the session expires: its beginning is enough to find it in other logs.
    diagnostics.log(
      `session created: ${sessionId.slice(0, 6)}…; ICE servers: ${servers.length}, ice_source: ${source}; offer sent`,
      iceFact(source, servers, ready, diagnostics.elapsed, environment.wallClock()),
    );
    if (iceServers === undefined) peer.gather(servers);
    const renewMs = iceServers === undefined ? renewalMs(ready) : undefined;
    const renewAt = renewMs === undefined ? undefined : arrivedAt + renewMs;
    const [{ binding }] = await Promise.all([answered.promise, opened.promise]);
    giveUp.signal.throwIfAborted();
    const { host, lost } = options;
    const made = { sessionId, binding, peer, signaling: channel, renewAt };
    path = new DirectPath({ ...made, host, environment, diagnostics, lost });
    await path.ready;
    return path;
  };

  try {
    signal.throwIfAborted();
    return await Promise.race([run(), failed.promise]);
  } catch (error) {
    giveUp.abort(error);
    channel?.close();
    if (path === undefined) peer.close();
    else path.close(new DirectError('E_CANCELLED'));
    throw error;
  } finally {
    cancelTimer();
    signal.removeEventListener('abort', abort);
  }
}
