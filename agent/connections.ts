/** All WebRTC connections of the agent: admits offers, bounds their number and ends those that are not used. */
import { DirectError, ERRORS, type ErrorCode } from '../shared/errors.ts';
import type { AcceptedPath, Sessions } from '../shared/sessions.ts';
import type { OfferSignal, SessionSignal } from '../shared/signal.ts';
import { type AnsweredOffer, type AnswerSignature, directBinding } from '../shared/signed-answer.ts';
import { type LogFields, shownId } from './log.ts';
import type { MeteredPath } from './meter.ts';
import type { Peer, PeerEvents } from './peer.ts';

/** The part of Peer that this file needs, so that tests can do without WebRTC. */
export type AnsweringPeer = Pick<Peer, 'answer' | 'addCandidate' | 'close' | 'path'>;

export interface ConnectionsOptions {
  maxConnections: number;
  /** Awaited before the first peer is made. */
  prepare?(): Promise<void>;
  makePeer(offer: OfferSignal, events: PeerEvents): AnsweringPeer;
  /** Where the paths of the connections go. */
  sessions: Sessions;
  /** Signs with the host's key, so that the client knows whose answer it is. */
  sign(answered: Omit<AnsweredOffer, 'hostId'>): Promise<AnswerSignature>;
  /** Sends a message to the client by way of the edge. */
  send(signal: SessionSignal): void;
  log(line: string, fields: LogFields): void;
  /** For the meter: a path has opened, or an offer came to nothing. */
  opened?(path: MeteredPath, ms: number): void;
  failed?(code: ErrorCode): void;
  /** Monotonic milliseconds. */
  now?(): number;
}

/** Messages of some clients at once, with all their candidates; the library is loaded in a tenth of a second. */
const MAX_WAITING = 512;

interface Connection {
  peer: AnsweringPeer;
  path: AcceptedPath;
}

/** How a client goes that has changed its mind, or has found another way meanwhile: no failure. */
const HAS_LEFT: readonly ErrorCode[] = ['E_CANCELLED', 'E_GOING_AWAY'];

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #connections = new Map<string, Connection>();
  /** What came since the first offer, in order, until all is prepared; undefined from then on. */
  #waiting: SessionSignal[] | undefined;
  #isPrepared: boolean;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#isPrepared = options.prepare === undefined;
  }

  /** Slots in use. */
  get size(): number {
    return this.#connections.size;
  }

  /** Takes a message that the edge delivered. */
  handle(signal: SessionSignal): void {
    if (this.#waiting !== undefined) {
      if (this.#waiting.length < MAX_WAITING) this.#waiting.push(signal);
      return;
    }
    if (!this.#isPrepared && signal.type === 'offer') {
      this.#waiting = [signal];
      void this.#prepare();
      return;
    }
    switch (signal.type) {
      case 'offer':
        this.#offer(signal);
        break;
      case 'candidate':
        this.#connections.get(signal.session_id)?.peer.addCandidate(signal.candidate);
        break;
      case 'error':
        // The client gave up or its session expired; a connection that is in use does not need the edge any more.
        if (this.#connections.get(signal.session_id)?.path.isOpen === false) this.#end(signal.session_id, signal.code);
        break;
      case 'answer':
        // Agents answer; nobody else does.
        break;
    }
  }

  /** Ends every connection, telling the clients why. */
  close(code: ErrorCode): void {
    this.#waiting?.splice(0);
    for (const id of [...this.#connections.keys()]) this.#end(id, code);
  }

  /** Of `subject` nothing waits any more; sessions that it has end by themselves (`Sessions.revoke`). */
  revoke(subject: string): void {
    this.#waiting = this.#waiting?.filter((signal) => signal.type !== 'offer' || signal.grant?.subject !== subject);
  }

  async #prepare(): Promise<void> {
    try {
      await this.#options.prepare?.();
      this.#isPrepared = true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown reason';
      this.#options.log(`webrtc: no direct connections: ${reason}`, {});
    }
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const signal of waiting) {
      if (this.#isPrepared) this.#handleLate(signal);
      // The client stays on its relay; the next offer makes another attempt.
      else if (signal.type === 'offer') this.#sendError(signal.session_id, 'E_INTERNAL');
    }
  }

  /** What cannot be taken must not keep the others from their turn. */
  #handleLate(signal: SessionSignal): void {
    try {
      this.handle(signal);
    } catch (error) {
      this.#log(signal.session_id, `cannot be taken: ${error instanceof Error ? error.message : 'unknown reason'}`);
    }
  }

  #offer(offer: OfferSignal): void {
    const { maxConnections, sessions, now = () => performance.now() } = this.#options;
    const offeredAt = now();
    const id = offer.session_id;
    // A repeated offer replaces the attempt before it.
    this.#end(id, 'E_CANCELLED');
    if (this.#connections.size >= maxConnections) {
      this.#log(id, `refused: all ${maxConnections} connections are in use`);
      this.#sendError(id, 'E_HOST_BUSY');
      this.#options.failed?.('E_HOST_BUSY');
      return;
    }
    let kind: 'direct' | 'turn' = 'direct';
    let isOver = false;
    const peer = this.#options.makePeer(offer, {
      candidate: (candidate) => this.#options.send({ session_id: id, type: 'candidate', candidate }),
      step: (what) => this.#log(id, what),
      kind: (named) => {
        kind = named;
        path.moved(kind);
      },
      closed: (reason) => this.#forget(id, peer, reason),
    });
    let binding: Uint8Array | undefined;
    const path = sessions.accept(
      peer.path,
      { sessionId: id, kind: 'direct', binding: () => binding, grant: offer.grant, from: offer.from },
      {
        opened: () => {
          isOver = true;
          this.#options.opened?.(kind, now() - offeredAt);
        },
        ended: (error) => {
          if (!isOver && !HAS_LEFT.includes(error.code)) this.#options.failed?.(error.code);
          isOver = true;
          if (error.code === 'E_HANDSHAKE_TIMEOUT') this.#sendError(id, error.code);
          peer.close(describe(error));
        },
      },
    );
    this.#connections.set(id, { peer, path });
    this.#log(id, 'offer received');
    const answer = async () => {
      const sdp = await peer.answer(offer.sdp);
      const answered = { sessionId: id, offer: offer.sdp, answer: sdp };
      const [signature, bytes] = await Promise.all([this.#options.sign(answered), directBinding(offer.sdp, sdp)]);
      binding = bytes;
      // An answer to an offer that was repeated meanwhile would pass for one to the new offer.
      if (this.#connections.get(id)?.peer !== peer) return;
      this.#options.send({ session_id: id, type: 'answer', sdp, ...signature });
    };
    answer().catch((error: unknown) => {
      this.#log(id, `the offer cannot be answered: ${error instanceof Error ? error.message : 'unknown reason'}`);
      this.#sendError(id, 'E_BAD_REQUEST');
      peer.close(describe(new DirectError('E_BAD_REQUEST')));
    });
  }

  #sendError(id: string, code: ErrorCode): void {
    this.#options.send({ session_id: id, type: 'error', code, message: ERRORS[code].message });
  }

  #end(id: string, code: ErrorCode): void {
    this.#connections.get(id)?.path.close(code);
  }

  #forget(id: string, peer: AnsweringPeer, reason: string): void {
    const connection = this.#connections.get(id);
    if (connection?.peer !== peer) return;
    this.#connections.delete(id);
    this.#log(id, `closed: ${reason}`);
  }

  #log(id: string, what: string): void {
    const session = shownId(id);
    this.#options.log(`webrtc: ${what} for session ${session}…`, { session });
  }
}

function describe(error: DirectError): string {
  return error.detail === undefined ? error.code : `${error.code}: ${error.detail}`;
}
