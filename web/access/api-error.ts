/** An answer of a server that says what is wrong: of our edge or agent, or of an LLM server. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: string | undefined;
  readonly hint: string | undefined;
  /** Seconds that the server asks to wait, if it does. */
  readonly retryAfter: number | undefined;

  constructor(message: string, status: number, code?: string, hint?: string, retryAfter?: number) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
    this.retryAfter = retryAfter;
  }
}

/** The error that a response stands for. */
export async function apiError(response: Response): Promise<ApiError> {
  const body = await response.text().catch(() => '');
  const seconds = Number(response.headers.get('retry-after') ?? 'none');
  const retryAfter = Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
  try {
    const parsed = JSON.parse(body) as { error?: unknown } | null;
    return errorFrom(parsed?.error ?? parsed, response.status, retryAfter);
  } catch {
    return errorFrom(body.slice(0, 300), response.status, retryAfter);
  }
}

/** OpenAI's `{message, code}`, ours with `hint` too, Ollama's plain string. */
export function errorFrom(error: unknown, status: number, retryAfter?: number): ApiError {
  const { message, code, hint } = (typeof error === 'object' && error !== null ? error : { message: error }) as Partial<
    Record<string, unknown>
  >;
  const text = (value: unknown) => (typeof value === 'string' && value.trim() !== '' ? value : undefined);
  return new ApiError(text(message) ?? `The server answered ${status}.`, status, text(code), text(hint), retryAfter);
}
