/** How the agent looks at its servers: a connection that says nothing, and the list of models. */
import { connect } from 'node:net';
import { boundedText } from './bounded-text.ts';
import { unbracketed } from './ip-address.ts';
import { localFetch } from './local-fetch.ts';
import { type ListedModel, modelsIn } from './model-list.ts';
import { MAX_ANSWER_BYTES } from './server-answers.ts';
import type { OwnHeaders } from './upstream.ts';

/** A server on this machine or in its network takes milliseconds. */
const CONNECT_MS = 1_500;
/** LiteLLM asks others before it answers. */
const LIST_MS = 3_000;

/** Whether anything accepts connections at `url`. Servers log requests, but not a connection that asks for nothing. */
export async function accepts(url: string): Promise<boolean> {
  const { hostname, port, protocol } = new URL(url);
  const host = unbracketed(hostname);
  const number = Number(port) || (protocol === 'https:' ? 443 : 80);
  // Some servers listen on “localhost” where that means ::1 alone.
  return (await acceptsAt(host, number)) || (host === '127.0.0.1' && (await acceptsAt('::1', number)));
}

function acceptsAt(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_MS });
    const end = (answer: boolean) => {
      resolve(answer);
      socket.destroy();
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.on('error', () => end(false));
  });
}

/** What the server lists, or undefined when it does not. Never rejects. */
export async function listModels(url: string, own: OwnHeaders): Promise<ListedModel[] | undefined> {
  const body = await fetchText(`${url}/v1/models`, own);
  return body === undefined ? undefined : modelsIn(body);
}

/** The body of a successful answer. Never rejects. */
export async function fetchText(url: string, own: OwnHeaders): Promise<string | undefined> {
  try {
    const response = await localFetch(url, {
      // A redirect could lead anywhere, also away from this machine.
      redirect: 'manual',
      signal: AbortSignal.timeout(LIST_MS),
      headers: { accept: 'application/json', ...own },
    });
    const body = await boundedText(response.body, MAX_ANSWER_BYTES);
    return response.status === 200 ? body : undefined;
  } catch {
    return undefined;
  }
}
