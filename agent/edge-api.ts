/** Calls to the API of the edge (`/_direct/api`), and what each failure means to a person. */
import { z } from 'zod';
import { HINTS } from '../shared/error-hints.ts';
import { ERRORS, type ErrorCode, isErrorCode } from '../shared/errors.ts';
import { boundedText } from './bounded-text.ts';
import { CommandError, EXIT, type ExitCode, plain } from './command-error.ts';

/** An edge answers in well under a second; a phone's network may take several. */
const TIMEOUT_MS = 15_000;
/** The longest list is that of API keys: 1,000 of them are under 400 kB. */
const MAX_ANSWER_BYTES = 1024 * 1024;

export interface EdgeApiOptions {
  /** Origin, without a slash at the end. */
  edge: string;
  /** The host's credential; secret. */
  token?: string;
  fetch: typeof fetch;
  /** Ends calls under way. */
  signal: AbortSignal;
}

export interface EdgeAnswer {
  status: number;
  /** Parsed JSON; undefined where there was none to expect (204). */
  body: unknown;
}

/** The edge refused, or could not be asked. */
export class EdgeError extends CommandError {
  override readonly name = 'EdgeError';
  /** From the edge itself; undefined when it could not be asked, or when something else answered. */
  readonly code: ErrorCode | undefined;
  /** It may work in a moment. */
  readonly transient: boolean;
  /** The edge asked for this pause. */
  readonly retryAfterMs: number | undefined;

  constructor(
    exitCode: ExitCode,
    message: string,
    more: { code?: ErrorCode; transient?: boolean; retryAfterMs?: number | undefined } = {},
  ) {
    super(exitCode, message);
    this.code = more.code;
    this.transient = more.transient ?? false;
    this.retryAfterMs = more.retryAfterMs;
  }
}

const tableError = z.object({ error: z.object({ code: z.string(), message: z.string().optional() }) });
const oauthError = z.object({ error: z.string() });

export class EdgeApi {
  readonly #options: EdgeApiOptions;

  constructor(options: EdgeApiOptions) {
    this.#options = options;
  }

  /**
   * Calls `path` below `/_direct/api`. An object is sent as JSON, URLSearchParams as a form. Errors in OAuth's form
   * (RFC 6749, section 5.2) are answers like any other.
   * @throws EdgeError; what the abort signal gives, if that ended the call
   */
  async call(method: string, path: string, content?: object): Promise<EdgeAnswer> {
    return await this.request(method, `/_direct/api${path}`, content);
  }

  /** As `call`, for any path of the edge. */
  async request(method: string, path: string, content?: object): Promise<EdgeAnswer> {
    const { edge, token, fetch, signal } = this.#options;
    const form = content instanceof URLSearchParams;
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${edge}${path}`, {
        method,
        headers: {
          accept: 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(content === undefined || form ? {} : { 'content-type': 'application/json' }),
        },
        ...(content === undefined ? {} : { body: form ? content : JSON.stringify(content) }),
        // Another address gets neither code nor credential.
        redirect: 'manual',
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      const whole = await boundedText(response.body, MAX_ANSWER_BYTES);
      if (whole === undefined) throw new Error('the answer is too long');
      text = whole;
    } catch (error) {
      if (signal.aborted) throw error;
      throw new EdgeError(
        EXIT.tryAgain,
        `The edge ${edge} cannot be reached (${causeOf(error)}). Check its address and this machine’s connection.`,
        { transient: true },
      );
    }
    return this.#judge(response, text);
  }

  #judge(response: Response, text: string): EdgeAnswer {
    const { status } = response;
    if (status === 204) return { status, body: undefined };
    const body = parseJson(text);
    const refused = tableError.safeParse(body);
    if (refused.success && isErrorCode(refused.data.error.code)) {
      throw this.#refusal(refused.data.error.code, refused.data.error.message, response);
    }
    const known = body !== undefined && (response.ok || oauthError.safeParse(body).success);
    if (known) return { status, body };
    throw this.#stranger(response);
  }

  #refusal(code: ErrorCode, message: string | undefined, response: Response): EdgeError {
    const { edge, token } = this.#options;
    const entry = ERRORS[code];
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
    const more = { code, transient: entry.retry, retryAfterMs: seconds >= 0 ? seconds * 1_000 : undefined };
    if (code === 'E_UNAUTHORIZED' && token !== undefined) {
      return new EdgeError(EXIT.refused, credentialRefused(edge), more);
    }
    if (code === 'E_NOT_FOUND') {
      return new EdgeError(
        EXIT.refused,
        `The edge ${edge} does not know this call: it is older than this agent, or what was asked for is gone. If it is older, deploy it again.`,
        more,
      );
    }
    if (code === 'E_RATE_LIMITED') {
      const when = more.retryAfterMs === undefined ? 'in a few minutes' : `in ${Math.ceil(seconds)} s`;
      return new EdgeError(EXIT.tryAgain, `The edge ${edge} got too many requests. Try again ${when}.`, more);
    }
    if (code === 'E_BAD_REQUEST') {
      // What the table says of it is about signaling; what is wrong stands in brackets behind.
      const detail = (message ?? '').replace(entry.message, '').trim();
      return new EdgeError(EXIT.refused, `The edge ${edge} refused the request: ${plain(detail)}`, more);
    }
    return new EdgeError(
      entry.retry ? EXIT.tryAgain : EXIT.refused,
      `The edge ${edge} says: ${plain(message ?? entry.message)} ${HINTS[code]}`,
      more,
    );
  }

  /** What answered is not the edge's program: a proxy, another site, or a page. */
  #stranger(response: Response): EdgeError {
    const { edge } = this.#options;
    const { status } = response;
    if (status >= 300 && status < 400) {
      const target = URL.parse(response.headers.get('location') ?? '', edge);
      if (target?.hostname.endsWith('.cloudflareaccess.com')) {
        return new EdgeError(
          EXIT.protocol,
          `Cloudflare Access stands before ${edge} and lets no program pass. Add a bypass policy for ${edge}/_direct/api/ and ${edge}/_direct/h/ there; the edge asks for credentials itself.`,
        );
      }
      const where = target === null ? 'elsewhere' : `to ${plain(target.origin)}`;
      return new EdgeError(EXIT.protocol, `${edge} redirects ${where}. If your edge is there, use that address.`);
    }
    const type = plain(response.headers.get('content-type') ?? 'no content type', 60);
    return new EdgeError(
      EXIT.protocol,
      `${edge} answered, but not as an edge of direct-agent does (status ${status}, ${type}). Check the address.`,
      { transient: status >= 500 || status === 429 || status === 408 },
    );
  }
}

/** The sentence for `E_UNAUTHORIZED` as an answer to a host's credential. */
export function credentialRefused(edge: string): string {
  return `The edge ${edge} does not accept this host’s credential: it is wrong, or was revoked or replaced. Run: direct-agent login ${edge}`;
}

/** What `schema` makes of an answer. @throws EdgeError that shows nothing of it: it may hold a secret. */
export function understood<T>(schema: z.ZodType<T>, { body }: EdgeAnswer, edge: string): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join('.') ?? '';
  throw new EdgeError(
    EXIT.protocol,
    `${edge} answered what this agent does not understand${field === '' ? '' : ` (field ${plain(field, 60)})`}. Check the address; if it is right, bring agent and edge to the same version.`,
  );
}

function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Why `fetch` failed, in the system's words: ENOTFOUND, ECONNREFUSED, CERT_HAS_EXPIRED. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'no answer in time';
  const { cause } = error;
  if (cause instanceof Error) return 'code' in cause ? String(cause.code) : plain(cause.message);
  return plain(error.message);
}
