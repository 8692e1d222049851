import { HINTS } from './error-hints.ts';

/**
 * The one table of errors. A code is stable: pages, tests, documents and other programs may depend on it.
 *
 * - `close`: number on the wire (RESET_STREAM, STOP_SENDING, CONNECTION_CLOSE) and WebSocket close code
 *   (RFC 6455, section 7.4.2: 4000 to 4999 are for private use).
 * - `http`: status of the JSON error when the failure is answered over HTTP.
 * - `retry`: whether the same request may succeed later without anyone changing anything.
 * - `message`: what happened. What to do says error-hints.ts.
 */
export interface ErrorEntry {
  readonly close: number;
  readonly http: number;
  readonly retry: boolean;
  readonly message: string;
}

const table = {
  E_PROTOCOL: {
    close: 4000,
    http: 400,
    retry: false,
    message: 'The peer sent something that the protocol does not allow.',
  },
  E_VERSION: {
    close: 4001,
    http: 400,
    retry: false,
    message: 'The peer speaks another version of the protocol.',
  },
  E_FLOW_CONTROL: {
    close: 4002,
    http: 400,
    retry: false,
    message: 'The peer sent more than its credit allows.',
  },
  E_HANDSHAKE_TIMEOUT: {
    close: 4003,
    http: 504,
    retry: true,
    message: 'The connection was not set up in time.',
  },
  E_HOST_OFFLINE: {
    close: 4004,
    http: 503,
    retry: true,
    message: 'The host is not connected to the edge.',
  },
  E_HOST_BUSY: {
    close: 4005,
    http: 503,
    retry: true,
    message: 'The host has as many connections as its max_conns allows.',
  },
  E_STREAM_LIMIT: {
    close: 4006,
    http: 429,
    retry: true,
    message: 'The client opened more streams than the session allows.',
  },
  E_HEAD_TOO_LARGE: {
    close: 4007,
    http: 431,
    retry: false,
    message: 'The request or response head is too large.',
  },
  E_BAD_TARGET: {
    close: 4008,
    http: 400,
    retry: false,
    message: 'The request path is malformed.',
  },
  E_FORBIDDEN_TARGET: {
    close: 4009,
    http: 403,
    retry: false,
    message: 'The host does not serve this path or method.',
  },
  E_BODY_TOO_LARGE: {
    close: 4010,
    http: 413,
    retry: false,
    message: 'The request body is larger than the host accepts.',
  },
  E_NO_UPSTREAM: {
    close: 4011,
    http: 503,
    retry: true,
    message: 'No local LLM server was found on the host.',
  },
  E_UPSTREAM_UNREACHABLE: {
    close: 4012,
    http: 502,
    retry: true,
    message: 'The host could not reach its LLM server.',
  },
  E_UPSTREAM_FAILED: {
    close: 4013,
    http: 502,
    retry: true,
    message: 'The LLM server broke off in the middle of its response.',
  },
  E_CANCELLED: {
    close: 4014,
    http: 499,
    retry: false,
    message: 'The request was cancelled.',
  },
  E_PATH_LOST: {
    close: 4015,
    http: 502,
    retry: true,
    message: 'The connection to the host was lost.',
  },
  E_OUTCOME_UNKNOWN: {
    close: 4016,
    http: 502,
    retry: false,
    message: 'The connection was lost after the request was sent; the host may have run it.',
  },
  E_GOING_AWAY: {
    close: 4017,
    http: 503,
    retry: true,
    message: 'The peer is shutting down.',
  },
  E_BAD_REQUEST: {
    close: 4018,
    http: 400,
    retry: false,
    message: 'The request is malformed.',
  },
  E_TOO_LARGE: {
    close: 4019,
    http: 413,
    retry: false,
    message: 'The signaling message is too large.',
  },
  E_RATE_LIMITED: {
    close: 4020,
    http: 429,
    retry: true,
    message: 'Too many requests.',
  },
  E_HOST_KEY: {
    close: 4021,
    http: 502,
    retry: false,
    message: 'The host’s key or signature is wrong.',
  },
  E_HOST_RESTARTED: {
    close: 4022,
    http: 502,
    retry: false,
    message:
      'The host has forgotten the request: its agent was stopped or restarted, or nothing reached it for a minute.',
  },
  E_HOST_KEY_CHANGED: {
    close: 4023,
    http: 502,
    retry: false,
    message: 'The host has another key than this device knows.',
  },
  E_HOST_KEY_UNCONFIRMED: {
    close: 4024,
    http: 502,
    retry: false,
    message: 'Nobody has confirmed the host’s key on this device.',
  },
  E_DEVICE_UNKNOWN: {
    close: 4025,
    http: 403,
    retry: false,
    message: 'The host accepts paired devices only, and this is none of them.',
  },
  E_PAIRING: {
    close: 4026,
    http: 403,
    retry: false,
    message: 'The pairing link is wrong, used or expired.',
  },
  E_UNAUTHORIZED: {
    close: 4401,
    http: 401,
    retry: false,
    message: 'The credential is missing, wrong, expired or revoked.',
  },
  E_FORBIDDEN: {
    close: 4402,
    http: 403,
    retry: false,
    message: 'This credential does not allow that.',
  },
  E_NOT_CONFIGURED: {
    close: 4403,
    http: 503,
    retry: false,
    message: 'This edge has no secrets yet and refuses everything.',
  },
  E_NOT_FOUND: {
    close: 4404,
    http: 404,
    retry: false,
    message: 'There is nothing at this address.',
  },
  E_METHOD: {
    close: 4405,
    http: 405,
    retry: false,
    message: 'This address does not accept the method.',
  },
  E_ORIGIN: {
    close: 4406,
    http: 403,
    retry: false,
    message: 'A page of another origin asked.',
  },
  E_SESSION_UNKNOWN: {
    close: 4408,
    http: 404,
    retry: true,
    message: 'The session does not exist or has expired.',
  },
  E_REPLACED: {
    close: 4409,
    http: 409,
    retry: false,
    message: 'Another agent connected for this host.',
  },
  E_INTERNAL: {
    close: 4500,
    http: 500,
    retry: true,
    message: 'Something went wrong inside direct-agent.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof table;

/** The table, for documents, pages and tests. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorEntry>> = table;

const byNumber = new Map<number, ErrorCode>(
  (Object.keys(table) as ErrorCode[]).map((code) => [table[code].close, code]),
);

/** The code behind a number from the wire; a number that this version does not know is `E_INTERNAL`. */
export function codeFromNumber(close: number): ErrorCode {
  return byNumber.get(close) ?? 'E_INTERNAL';
}

/** True if `value` names a row of the table. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(table, value);
}

/** An error with a code from the table. `detail` is for people and logs, never a secret or a prompt. */
export class DirectError extends Error {
  override readonly name = 'DirectError';
  readonly code: ErrorCode;
  readonly detail: string | undefined;

  constructor(code: ErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? table[code].message : `${table[code].message} (${detail})`, options);
    this.code = code;
    this.detail = detail;
  }

  get entry(): ErrorEntry {
    return table[this.code];
  }
}

/** A violation of PROTOCOL.md by the peer: ends the stream or the session, never the process. */
export class ProtocolError extends DirectError {
  constructor(detail: string, code: ErrorCode = 'E_PROTOCOL') {
    super(code, detail);
  }
}

/** Body of every error response, in the shape that OpenAI clients show to people. */
export interface ErrorBody {
  error: { code: ErrorCode; type: 'direct_agent_error'; message: string; hint: string; retry: boolean };
}

/** Ollama's clients show `error` itself to people, so below `/api/` it is the text. */
export interface OllamaErrorBody {
  error: string;
  code: ErrorCode;
  type: 'direct_agent_error';
  hint: string;
  retry: boolean;
}

/**
 * The JSON body for `error`, in the form that clients of `path` understand. Anything that is not a DirectError shows
 * as `E_INTERNAL` without its text.
 */
export function errorBody(error: unknown, path = ''): ErrorBody | OllamaErrorBody {
  const known = error instanceof DirectError ? error : new DirectError('E_INTERNAL');
  const { code, message } = known;
  const { retry } = known.entry;
  const hint = HINTS[code];
  if (path.startsWith('/api/')) return { error: message, code, type: 'direct_agent_error', hint, retry };
  return { error: { code, type: 'direct_agent_error', message, hint, retry } };
}
