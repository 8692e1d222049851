/** A host for tests of the chat: answers as the test says, and holds what it answered. */
import { DirectError } from '../../shared/errors.ts';
import type { ChatClient } from './chat-client.ts';

export const event = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;
export const END = 'data: [DONE]\n\n';

/** As the client says that something failed on the way. */
export function failure(code: 'E_PATH_LOST' | 'E_NOT_FOUND' | 'E_UPSTREAM_FAILED'): TypeError {
  return new TypeError('failed', { cause: new DirectError(code) });
}

interface Response_ {
  id: string;
  body: Record<string, unknown>;
  text: string;
  ended: boolean;
  readers: Set<ReadableStreamDefaultController<Uint8Array>>;
}

export class TestHost implements ChatClient {
  readonly responses: Response_[] = [];
  readonly released: string[] = [];
  readonly resumed: [id: string, from: number][] = [];
  /** What the next request fails with. */
  refuse: Response | Error | undefined;

  readonly fetch = async (_url: unknown, init: RequestInit & { hold?: string } = {}): Promise<Response> => {
    const refuse = this.#refusal();
    if (refuse instanceof Response) return refuse;
    const body = JSON.parse(String(init.body)) as Record<string, unknown>;
    const response = { id: init.hold ?? '', body, text: '', ended: false, readers: new Set<never>() };
    this.responses.push(response);
    return this.#read(response, 0, init.signal ?? undefined);
  };

  readonly resume = async (
    id: string,
    from: number,
    { signal }: Pick<RequestInit, 'signal'> = {},
  ): Promise<Response> => {
    this.resumed.push([id, from]);
    this.#refusal();
    const response = this.responses.find((one) => one.id === id);
    if (response === undefined) throw failure('E_NOT_FOUND');
    return this.#read(response, from, signal ?? undefined);
  };

  readonly release = async (id: string): Promise<void> => {
    this.released.push(id);
  };

  /** The newest answer goes on. */
  say(...texts: string[]): void {
    const response = this.#last;
    response.text += texts.join('');
    for (const reader of response.readers) reader.enqueue(new TextEncoder().encode(texts.join('')));
  }

  end(): void {
    const response = this.#last;
    this.say(END);
    response.ended = true;
    for (const reader of response.readers) reader.close();
    response.readers.clear();
  }

  /** The way to whoever reads breaks; the host goes on. */
  lose(error: Error = failure('E_PATH_LOST')): void {
    const response = this.#last;
    for (const reader of response.readers) reader.error(error);
    response.readers.clear();
  }

  get #last(): Response_ {
    const last = this.responses.at(-1);
    if (last === undefined) throw new Error('nothing was asked');
    return last;
  }

  #refusal(): Response | undefined {
    const { refuse } = this;
    this.refuse = undefined;
    if (refuse instanceof Error) throw refuse;
    return refuse;
  }

  #read(response: Response_, from: number, signal: AbortSignal | undefined): Response {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const bytes = new TextEncoder().encode(response.text).subarray(from);
        if (bytes.length > 0) controller.enqueue(bytes);
        if (response.ended) return controller.close();
        response.readers.add(controller);
        signal?.addEventListener('abort', () => {
          if (response.readers.delete(controller)) controller.error(signal.reason);
        });
        return undefined;
      },
    });
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  }
}
