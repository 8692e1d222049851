/** ICE of one connection: our transports and candidates in place of those that werift would gather. */
import { randomBytes } from 'node:crypto';
import { type CandidatePair, CandidatePairState, type RTCPeerConnection } from 'werift';
import { MAX_CANDIDATES_PER_SESSION } from '../shared/limits.ts';
import { candidateLine } from './candidate-line.ts';
import type { DatagramTransport, Endpoint } from './datagram.ts';
import type { LocalCandidate } from './gathering.ts';
import type { IceCredentials } from './mux-socket.ts';
import { decodeStun, hasIntegrity, looksLikeStun, stunClass } from './stun.ts';
import { baseCandidate, remoteCandidate } from './webrtc-candidate.ts';
import { type CheckProtocol, checkProtocol, type IceConnection, iceConnectionOf } from './webrtc-internals.ts';
import { Nomination } from './webrtc-nomination.ts';

/** RFC 7983, section 7. Nothing else comes here: no media, and no channel data of TURN. */
function looksLikeDtls([first = 0]: Buffer): boolean {
  return first >= 20 && first <= 63;
}

/** The client's first DTLS flight, which may come before our own check was answered. */
const MAX_EARLY_DATAGRAMS = 8;

/**
 * Pairs with addresses that the client did not name. An honest one has under 10; one that makes addresses up would have
 * the agent check each of them, 5 times, and grow the list that every packet is looked up in.
 */
const MAX_LEARNED_PAIRS = 64;
/** werift repeats a check at once when it is answered by 401 or 487; an honest client has one conflict of roles, if any. */
const MAX_ERROR_RESPONSES = 64;

export interface IceEvents {
  /** To be told to the other end: a `candidate:` line. */
  candidate(line: string): void;
  /** Data goes by another pair from now on. */
  switched(): void;
  /** The other end has an IPv6 address. */
  remoteIpv6(): void;
}

export class Ice {
  readonly credentials: IceCredentials;
  readonly #ice: IceConnection;
  readonly #events: IceEvents;
  readonly #nomination: Nomination;
  #early: (() => void)[] | undefined = [];
  /** The client's relayed addresses; as many as candidates at most. */
  readonly #relayed = new Set<string>();
  #remoteCandidates = 0;
  #errorResponses = 0;

  /** `connection` has its data channel. */
  constructor(connection: RTCPeerConnection, events: IceEvents) {
    const ice = iceConnectionOf(connection);
    this.#ice = ice;
    this.#events = events;
    // werift's have 16 and 88 bits; RFC 8445, section 5.3, wants 24 and 128, and the user name tells connections apart.
    this.credentials = { ufrag: randomBytes(6).toString('hex'), password: randomBytes(18).toString('hex') };
    ice.localUsername = this.credentials.ufrag;
    ice.localPassword = this.credentials.password;
    ice.userHistory[this.credentials.ufrag] = this.credentials.password;
    ice.gatherCandidates = async () => {
      ice.localCandidatesStart = true;
      ice.localCandidatesEnd = true;
    };
    this.#nomination = new Nomination(ice, events.switched);
  }

  addTransport(transport: DatagramTransport, base: LocalCandidate): void {
    const ice = this.#ice;
    const protocol = checkProtocol(transport);
    protocol.localIp = base.endpoint[0];
    protocol.localCandidate = baseCandidate(base, ice.generation, ice.localUsername);
    transport.onData = (data, from) => {
      if (looksLikeStun(data)) {
        if (this.#admits(protocol, data, from)) protocol.datagramReceived(data, from);
      } else if (!looksLikeDtls(data)) return;
      else if (this.#early === undefined) protocol.datagramReceived(data, from);
      else this.#keep(() => protocol.datagramReceived(data, from));
    };
    // Before werift's own listener, and after it.
    protocol.onRequestReceived.subscribe((_request, from) => this.#repeatCheck(protocol, from));
    ice.ensureProtocol(protocol);
    protocol.onRequestReceived.subscribe((request, from) => {
      this.#requested(protocol, from, request.attributesKeys.includes('USE-CANDIDATE'));
    });
    ice.protocols.push(protocol);
    ice.pairLocalProtocol(protocol);
  }

  addLocalCandidate(candidate: LocalCandidate): void {
    this.#events.candidate(candidateLine(candidate));
  }

  /** Takes the candidates out of `sdp` and adds them one by one, as if they had trickled. */
  takeCandidates(sdp: string): string {
    // werift gives up when the list ends before a check has worked, but checks may still come in from a browser that
    // hides its addresses behind mDNS names. So it never learns that there are no more.
    const lines = sdp.split(/\r?\n/);
    for (const line of lines) if (line.startsWith('a=candidate:')) this.addRemoteCandidate(line);
    return lines.filter((line) => !/^a=(candidate:|end-of-candidates)/.test(line)).join('\r\n');
  }

  /** Ignores what cannot be used, as browsers do, and too many. */
  addRemoteCandidate(line: string): void {
    const candidate = remoteCandidate(line);
    if (candidate === undefined || ++this.#remoteCandidates > MAX_CANDIDATES_PER_SESSION) return;
    if (candidate.host.includes(':')) this.#events.remoteIpv6();
    if (candidate.type === 'relay') this.#relayed.add(`${candidate.host} ${candidate.port}`);
    this.#ice.addRemoteCandidate(candidate).catch(() => {});
  }

  /** DTLS takes packets from now on, through the protocol that they came by, which catches what they make DTLS throw. */
  dtlsStarts(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const receive of early) receive();
  }

  /** How the pair in use goes. A relayed address of the client's may have come in a check before it was named. */
  get kind(): 'direct' | 'turn' {
    const { nominated } = this.#ice;
    if (nominated === undefined) return 'direct';
    const { host, port } = nominated.remoteCandidate;
    const isRelayed =
      nominated.localCandidate.type === 'relay' ||
      nominated.remoteCandidate.type === 'relay' ||
      this.#relayed.has(`${host} ${port}`);
    return isRelayed ? 'turn' : 'direct';
  }

  close(): void {
    this.#nomination.stop();
    this.#early = undefined;
  }

  /**
   * werift believes any request, and makes a pair for each address that one comes from. The agent's own sockets have
   * looked at the password already; a TURN server passes on what anybody at a permitted address sends.
   */
  #admits(protocol: CheckProtocol, data: Buffer, from: Endpoint): boolean {
    const kind = stunClass(data);
    if (kind === 'error') return ++this.#errorResponses <= MAX_ERROR_RESPONSES;
    if (kind !== 'request') return true;
    const message = decodeStun(data);
    if (message === undefined || !hasIntegrity(message, this.credentials.password)) return false;
    if (this.#pair(protocol, from) !== undefined) return true;
    const learned = this.#ice.checkList.filter(({ remoteCandidate: { type } }) => type === 'prflx');
    return learned.length < MAX_LEARNED_PAIRS;
  }

  #keep(receive: () => void): void {
    if (this.#early !== undefined && this.#early.length < MAX_EARLY_DATAGRAMS) this.#early.push(receive);
  }

  #pair(protocol: CheckProtocol, [address, port]: Endpoint): CandidatePair | undefined {
    return this.#ice.checkList.find(
      (pair) =>
        (pair.protocol as unknown) === protocol &&
        pair.remoteCandidate.host === address &&
        pair.remoteCandidate.port === port,
    );
  }

  /**
   * The other end's NAT lets our packets pass since it sent this one: what was sent before may be lost, and the next
   * repetition may be most of a second away (RFC 8445, section 7.3.1.4: a triggered check at once).
   */
  #repeatCheck(protocol: CheckProtocol, from: Endpoint): void {
    if (this.#pair(protocol, from)?.state !== CandidatePairState.IN_PROGRESS) return;
    for (const { request, expectedAddr } of Object.values(protocol.transactions)) {
      if (expectedAddr[0] === from[0] && expectedAddr[1] === from[1]) void protocol.sendStun(request, expectedAddr);
    }
  }

  #requested(protocol: CheckProtocol, from: Endpoint, useCandidate: boolean): void {
    const pair = this.#pair(protocol, from);
    if (pair === undefined) return;
    if (pair.remoteCandidate.host.includes(':')) this.#events.remoteIpv6();
    this.#nomination.requested(pair, useCandidate);
  }
}
