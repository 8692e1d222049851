/** Asking an address what it is. */
import { boundedText } from './bounded-text.ts';
import type { LocalFetch, LocalResponse } from './local-fetch.ts';
import { modelsIn } from './model-list.ts';

/** A list of 1,000 models is under 300 kB; more than this is not the answer to our question. */
export const MAX_ANSWER_BYTES = 1024 * 1024;

interface Answer {
  readonly status: number;
  readonly headers: LocalResponse['headers'];
  readonly body: string;
}

/** What one address said to all questions; an unanswered question reads as empty. */
export class Answers {
  readonly base: string;
  readonly #answers: ReadonlyMap<string, Answer>;

  constructor(base: string, answers: ReadonlyMap<string, Answer>) {
    this.base = base;
    this.#answers = answers;
  }

  /** The body of a successful answer. */
  text(path: string): string {
    const answer = this.#answers.get(path);
    return answer?.status === 200 ? answer.body.trim() : '';
  }

  /** The JSON object in the body, whatever the status. */
  json(path: string): Record<string, unknown> {
    try {
      return record(JSON.parse(this.#answers.get(path)?.body ?? ''));
    } catch {
      return {};
    }
  }

  header(path: string, name: string): string | null {
    return this.#answers.get(path)?.headers.get(name) ?? null;
  }

  get needsKey(): boolean {
    const status = this.#answers.get('/v1/models')?.status;
    return status === 401 || status === 403;
  }

  /** Ids from OpenAI's list; undefined if the answer is no such list. */
  get models(): string[] | undefined {
    return modelsIn(this.text('/v1/models'))?.map(({ id }) => id);
  }

  /** `owned_by` of the first model: some servers put their own name there. */
  get owner(): unknown {
    const { data } = this.json('/v1/models');
    return Array.isArray(data) ? record(data[0]).owned_by : undefined;
  }
}

/** Asks all at once. `refused`: nobody listens there. */
export async function ask(
  base: string,
  paths: readonly string[],
  fetch: LocalFetch,
  signal: AbortSignal,
): Promise<Answers | 'refused'> {
  let refused = 0;
  const answers = new Map<string, Answer>();
  await Promise.all(
    paths.map(async (path) => {
      try {
        const answer = await get(base + path, fetch, signal);
        if (answer !== undefined) answers.set(path, answer);
      } catch (error) {
        if (isRefused(error)) refused++;
      }
    }),
  );
  return refused === paths.length ? 'refused' : new Answers(base, answers);
}

async function get(url: string, fetch: LocalFetch, signal: AbortSignal): Promise<Answer | undefined> {
  // A redirect could lead anywhere, also away from this machine.
  const response = await fetch(url, { redirect: 'manual', signal, headers: { accept: 'application/json, */*;q=0.1' } });
  const body = await boundedText(response.body, MAX_ANSWER_BYTES);
  return body === undefined ? undefined : { status: response.status, headers: response.headers, body };
}

function isRefused(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return record(cause).code === 'ECONNREFUSED';
}

export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

export function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}
