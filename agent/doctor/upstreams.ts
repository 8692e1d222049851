/** The local LLM servers: which there are, what they have, and whether a model answers. */
import { plain } from '../command-error.ts';
import type { AgentSettings } from '../config.ts';
import type { LocalServer } from '../discovery.ts';
import type { OwnHeaders } from '../upstream.ts';
import { Upstreams } from '../upstreams.ts';
import { causeOf, isTimeout } from './errors.ts';
import { type Finding, failure, ok, skipped, warning } from './finding.ts';
import { hostOf, type Lookup, problemOfName } from './names.ts';
import { within } from './once.ts';

/** A model that is loaded gives one token in well under a second; one that has to be loaded takes up to minutes. */
const INFERENCE_MS = 9_000;
const MAX_MODELS_SHOWN = 8;
/** Of what is not worth reading further. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** By their usual names; they refuse to chat. */
const NO_CHAT = /embed|bge-|minilm|rerank|whisper|tts|clip|stable-diffusion|flux/i;

/** The settings with those servers whose names lead somewhere, and a finding for each of the others. */
export async function namedUpstreams(
  settings: AgentSettings,
  look: Lookup,
  signal: AbortSignal,
): Promise<{ settings: AgentSettings; findings: Finding[] }> {
  const judged = await Promise.all(
    settings.upstreams.map(async (url) => ({ url, problem: await problemOfName(look, hostOf(url), signal) })),
  );
  const upstreams = judged.filter(({ problem }) => problem === undefined).map(({ url }) => url);
  const findings = judged.flatMap(({ url, problem }) =>
    problem === undefined
      ? []
      : [
          failure('upstream', `${url} has a name without an address (${problem}).`, {
            meaning: 'Requests to its models fail.',
            fix: 'Correct upstream in the configuration, or see the line about names.',
            data: { url },
          }),
        ],
  );
  return { settings: { ...settings, upstreams }, findings };
}

export interface UpstreamsOptions {
  readonly settings: AgentSettings;
  readonly servers: readonly LocalServer[];
  /** False: no request goes to a model. */
  readonly inference: boolean;
  readonly fetch: typeof fetch;
  readonly signal: AbortSignal;
}

/** For one server, with header fields that are for it. */
interface ServerOptions extends UpstreamsOptions {
  readonly own: OwnHeaders;
}

export async function checkUpstreams(options: UpstreamsOptions): Promise<Finding[]> {
  const { servers, settings } = options;
  if (servers.length === 0) {
    return [
      failure('upstream', 'No local LLM server was found.', {
        meaning: 'There is nothing to serve.',
        fix: 'Start one, such as Ollama, or name where it is: upstream in the configuration.',
      }),
    ];
  }
  // Only to learn which header fields are for which server; it looks at none before `start`.
  const { upstreams: configured, upstreamNames: names, upstreamHeaders: headers } = settings;
  const upstreams = new Upstreams({ servers, configured, names, headers });
  const known = new Map(upstreams.known.map((server) => [server.url, upstreams.headersOf(server)]));
  const findings = await Promise.all(
    servers.map((server) => checkServer(server, { ...options, own: known.get(server.url) ?? {} })),
  );
  const down = findings.flat().filter(({ state }) => state === 'failure').length;
  // Of several, one that is down may well be meant to be.
  if (settings.upstreams.length > 1 && down < servers.length) {
    return findings.flat().map((one) => (one.state === 'failure' ? { ...one, state: 'warning' as const } : one));
  }
  return findings.flat();
}

async function checkServer(server: LocalServer, options: ServerOptions): Promise<Finding[]> {
  const { name, url, models, needsKey } = server;
  const at = name === url ? url : `${plain(name)} at ${url}`;
  const data = { kind: server.kind, url, models };
  const hasKey = Object.keys(options.own).length > 0;
  if (needsKey && !hasKey) {
    const fix = 'Give it in upstream_headers: authorization: Bearer <key>';
    return [
      warning('upstream', `${at} wants an API key of its own.`, { meaning: 'Requests fail without.', fix, data }),
    ];
  }
  if (models.length === 0 && !needsKey) {
    const problem = await silence(url, options);
    if (problem !== undefined) {
      return [
        failure('upstream', `${at} does not answer (${problem}).`, {
          meaning: 'Requests to its models fail.',
          fix: 'Start that server, or correct upstream in the configuration.',
          data,
        }),
      ];
    }
    const fix = 'Load or pull a model there.';
    return [warning('upstream', `${at} has no models.`, { meaning: 'There is nothing to chat with.', fix, data })];
  }
  const more = models.length > MAX_MODELS_SHOWN ? ` and ${models.length - MAX_MODELS_SHOWN} more` : '';
  const list = plain(models.slice(0, MAX_MODELS_SHOWN).join(', ')) + more;
  const noun = models.length === 1 ? 'model' : 'models';
  const seen = ok(
    'upstream',
    needsKey ? `${at} answers, with a key.` : `${at} has ${models.length} ${noun}: ${list}.`,
    { data },
  );
  const model = models.find((each) => !NO_CHAT.test(each)) ?? models[0];
  if (model === undefined) return [seen];
  if (!options.inference) return [seen, skipped('upstream.inference', 'No model was asked: --no-inference.')];
  return [seen, await askModel(url, model, options)];
}

/** Why the server has no list of models; undefined: it answers. */
async function silence(url: string, { fetch, own, signal }: ServerOptions): Promise<string | undefined> {
  try {
    const response = await fetch(`${url}/v1/models`, {
      headers: own,
      redirect: 'manual',
      signal: within(2_000, signal),
    });
    await response.body?.cancel();
    return response.ok ? undefined : `status ${response.status}`;
  } catch (error) {
    return isTimeout(error) ? 'silent' : causeOf(error);
  }
}

/** OpenAI's form, which all known servers speak, Ollama too. Neither question nor answer is kept. */
async function askModel(url: string, model: string, options: ServerOptions): Promise<Finding> {
  const { fetch, own, signal } = options;
  const check = 'upstream.inference';
  const name = plain(model);
  const start = performance.now();
  const elapsed = () => Math.round(performance.now() - start);
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...own },
      body: JSON.stringify({ model, max_tokens: 1, stream: false, messages: [{ role: 'user', content: 'Hi' }] }),
      redirect: 'manual',
      signal: within(INFERENCE_MS, signal),
    });
    await drain(response);
    const ms = elapsed();
    const data = { url, model, ms, status: response.status };
    if (response.ok) return ok(check, `${name} answers: one token in ${time(ms)}.`, { data });
    const fix = 'Try it there directly; the server’s log says more.';
    const what = `${name} does not answer: status ${response.status}.`;
    if (response.status === 401 || response.status === 403) {
      return failure(check, what, { meaning: 'The server wants a key.', fix: 'Set upstream_headers.', data });
    }
    return warning(check, what, {
      meaning: 'It may be a model that does not chat, or that does not fit into memory.',
      fix,
      data,
    });
  } catch (error) {
    const data = { url, model, ms: elapsed() };
    if (isTimeout(error)) {
      return warning(check, `${name} has given no token within ${time(data.ms)}: still loading, or very slow.`, {
        meaning: 'The first request after a pause waits that long; the agent waits with it.',
        fix: 'Run direct-agent doctor again in a minute; a smaller model loads faster.',
        data,
      });
    }
    const fix = 'See the server’s log.';
    return failure(check, `${name} does not answer (${causeOf(error)}).`, {
      meaning: 'Requests to it fail.',
      fix,
      data,
    });
  }
}

/** To its end, so that the connection is free; an answer of one token is short. */
async function drain(response: Response): Promise<void> {
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) break;
  }
}

function time(ms: number): string {
  return ms < 1_000 ? `${ms} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
