/** For tests: a host that answers requests over a real session in memory, and the client's fetch on its other end. */
import type { DirectError } from '../../shared/errors.ts';
import { AgentExchange } from '../../shared/exchange.ts';
import type { HeaderList, RequestHead } from '../../shared/head.ts';
import { memoryPaths } from '../../shared/memory-path.ts';
import type { Path } from '../../shared/path.ts';
import type { SessionEnvironment } from '../../shared/path-link.ts';
import type { Session } from '../../shared/session.ts';
import { agentSession, clientSession } from '../../shared/test-sessions.ts';
import { createDiagnostics } from './diagnostics.ts';
import { completeEnvironment } from './environment.ts';
import { createFetch, type FetchOptions } from './fetch.ts';
import { TEST_PARTS } from './test-parts.ts';
import type { Cookies } from './web-ui.ts';

export const ORIGIN = 'https://edge.example';

/** What a test's host does with a request. */
export type Answer = (exchange: AgentExchange, head: RequestHead) => Promise<void>;

export const realTime: SessionEnvironment = {
  now: () => performance.now(),
  timer: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  defer: (run) => queueMicrotask(run),
};

/** The agent's end of a path: answers every stream with `answer`. */
export function agentOn(path: Path, environment: SessionEnvironment, sessionId: string, answer: Answer): Session {
  return agentSession({
    sessionId,
    path,
    environment,
    events: {
      stream: (stream) => {
        const exchange = new AgentExchange(stream);
        const run = async () => answer(exchange, await exchange.readHead());
        // What the client aborts fails here too; the test looks at the client.
        run().catch(() => {});
      },
    },
  });
}

export async function readAll(exchange: AgentExchange): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let part = await exchange.readData(); part !== null; part = await exchange.readData()) parts.push(part);
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

export async function reply(
  exchange: AgentExchange,
  status: number,
  headers: HeaderList = [],
  body: string | Uint8Array = '',
): Promise<void> {
  await exchange.sendHead({ status, statusText: '', headers });
  await exchange.sendData(typeof body === 'string' ? new TextEncoder().encode(body) : body);
  exchange.finish();
}

export interface TestHost {
  fetch: ReturnType<typeof createFetch>;
  client: Session;
  agent: Session;
  /** Breaks the path without a word, as a network does. */
  cut(): void;
  /** Requests that went over HTTPS, in order. */
  https: Request[];
  /** Heads that the host saw, in order. */
  heads: RequestHead[];
  log: string[];
}

interface HostOptions extends Partial<FetchOptions> {
  browser?: boolean;
  cookies?: Cookies;
  overHttps?: (request: Request) => Promise<Response>;
  /** Stands between the client's session and the path. */
  wrap?: (path: Path) => Path;
}

export function testHost(answer: Answer, options: HostOptions = {}): TestHost {
  const {
    browser = true,
    cookies,
    overHttps = async () => new Response('over https'),
    wrap = (path) => path,
  } = options;
  const [left, right] = memoryPaths();
  const https: Request[] = [];
  const heads: RequestHead[] = [];
  const log: string[] = [];
  const agent = agentOn(right, realTime, 'session', (exchange, head) => {
    heads.push(head);
    return answer(exchange, head);
  });
  const client = clientSession({ sessionId: 'session', path: wrap(left), environment: realTime });
  const environment = completeEnvironment({
    ...TEST_PARTS,
    ...realTime,
    browser,
    cookies,
    baseUrl: () => `${ORIGIN}/page/index.html`,
    fetch: (request) => {
      https.push(request);
      return overHttps(request);
    },
  });
  const fetch = createFetch({
    origin: ORIGIN,
    host: 'box',
    edgeOrigin: ORIGIN,
    token: 'edge-token',
    cookie: false,
    environment,
    diagnostics: createDiagnostics(realTime.now, (line) => log.push(line)),
    route: async () => client,
    ...options,
  });
  return { fetch, client, agent, https, heads, log, cut: () => left.close() };
}

/** The code in the cause of a failed fetch. */
export async function failure(promise: Promise<unknown>): Promise<{ error: Error; code: string | undefined }> {
  try {
    await promise;
  } catch (error) {
    return { error: error as Error, code: ((error as Error).cause as DirectError | undefined)?.code };
  }
  throw new Error('it did not fail');
}
