/**
 * What a client remembers of its connection's life, in bounded memory, for people who look at it: what happened when,
 * and how long requests took. Never header values, query strings or bodies: those hold secrets and prompts.
 */
import type { ErrorCode } from '../../shared/errors.ts';
import type { CandidateFacts, SelectedPair } from './candidate-pair.ts';
import type { ClientPath } from './connector.ts';
import type { DirectState } from './direct.ts';

/** What programs can read in an event besides its words. */
export type Fact =
  | { type: 'attempt' }
  /** `candidate` undefined: there are no more. */
  | { type: 'candidate'; from: 'local' | 'remote'; candidate: CandidateFacts | undefined }
  | ({ type: 'ice' } & IceFacts)
  /** Signaling has to do without a WebSocket. */
  | { type: 'polling' }
  /** Requests go this way now. */
  | { type: 'path'; path: ClientPath }
  /** An attempt has failed, or a path was lost. */
  | { type: 'failed'; way: 'direct' | 'relay'; code: ErrorCode };

/** The ICE servers of an attempt, and what came with them. */
export interface IceFacts {
  /** Who named the servers: `client` is the program itself. */
  source: string;
  /** Without user names and credentials. */
  urls: string[];
  /** When the credentials end, in milliseconds since `connect`; undefined if they last. */
  endAt: number | undefined;
  /** How far this device's clock is ahead of the edge's, in ms; includes the time that the edge's answer took. */
  clockAheadMs: number;
}

export interface TimelineEvent {
  /** Milliseconds since `connect`. */
  at: number;
  text: string;
  fact?: Fact;
}

export interface RequestRecord {
  /** Milliseconds since `connect`. */
  at: number;
  method: string;
  /** Without the query. */
  path: string;
  /** The way that it went when its response began; until then that of its beginning. */
  way: ClientPath;
  status?: number;
  /** Until the head of the response, in ms. */
  firstByteMs?: number;
  /** Until the end of the response, and its bytes; unknown by the tunnel, where the browser has them. */
  durationMs?: number;
  bytes?: number;
  /** It failed, or its response ended early. */
  failed?: true;
}

export interface ConnectionReport {
  /** When `connect` was called, in milliseconds since 1970 by this device's clock. */
  startedAt: number;
  /** When the report was made, in milliseconds since `connect`. */
  at: number;
  protocolVersion: number;
  path: ClientPath;
  state: DirectState;
  rtt: number | undefined;
  error: { code: ErrorCode; message: string; hint: string } | undefined;
  /** What the program or the page's address asked for. */
  webrtc: boolean;
  iceTransportPolicy: RTCIceTransportPolicy;
  /** The newest ones, oldest first. */
  timeline: TimelineEvent[];
  paths: { at: number; path: ClientPath }[];
  requests: RequestRecord[];
  /** Of the last attempt that the edge answered. */
  ice: IceFacts | undefined;
  /** The candidate pair of the direct path; undefined without one, or where the browser tells nothing. */
  pair: SelectedPair | undefined;
}

export type Kept = Pick<ConnectionReport, 'timeline' | 'paths' | 'requests' | 'ice'>;

/** An attempt has about 30 events; some kilobytes hold the last ones. */
const MAX_EVENTS = 250;
const MAX_PATHS = 50;
const MAX_REQUESTS = 200;
/** Errors and candidates of a peer may be longer. */
const MAX_TEXT_LENGTH = 300;

export class Memory {
  readonly #timeline: TimelineEvent[] = [];
  readonly #paths: Kept['paths'] = [];
  readonly #requests: RequestRecord[] = [];
  #ice: IceFacts | undefined;

  event(at: number, text: string, fact: Fact | undefined): void {
    keep(this.#timeline, { at, text: clipped(text), ...(fact && { fact }) }, MAX_EVENTS);
    if (fact?.type === 'path') keep(this.#paths, { at, path: fact.path }, MAX_PATHS);
    if (fact?.type === 'ice') this.#ice = fact;
  }

  /** The record, in which the request goes on to write. */
  request(begun: RequestRecord): RequestRecord {
    const record = { ...begun, path: clipped(begun.path) };
    keep(this.#requests, record, MAX_REQUESTS);
    return record;
  }

  /** A copy. */
  get kept(): Kept {
    return structuredClone({ timeline: this.#timeline, paths: this.#paths, requests: this.#requests, ice: this.#ice });
  }
}

function keep<Item>(list: Item[], item: Item, max: number): void {
  if (list.push(item) > max) list.shift();
}

function clipped(text: string): string {
  return text.slice(0, MAX_TEXT_LENGTH);
}
