/** Lists of models over several servers, in the form that the path has. */
import { type Answer, ownAnswer } from './answer.ts';
import type { ModelNames, NamedModel } from './model-names.ts';
import { ONE_OF_LIST } from './model-scope.ts';
import type { OwnHeaders, Upstream } from './upstream.ts';
import { fetchText } from './upstream-probe.ts';

/** What an error names: enough to see a slip, and no page of text. */
const MAX_SUGGESTED = 20;

/** What a list needs to know. */
export interface Listing {
  /** Of those that serve the path. */
  readonly names: ModelNames<Upstream>;
  /** Whether the client may see the model. */
  shows(model: NamedModel<Upstream>): boolean;
  headersOf(server: Upstream): OwnHeaders;
}

/** The list that `path` asks for, if its answer is one of several of `servers`. */
export function mergedList(
  path: string,
  servers: readonly Upstream[],
): ((listing: Listing) => Promise<Answer>) | undefined {
  if (path === '/v1/models' || path === '/models') return openAiList;
  const id = ONE_OF_LIST.exec(path)?.[1];
  if (path.startsWith('/v1/models/') && id !== undefined) {
    return async (listing) => oneOfList(decodeURIComponent(id), listing, path);
  }
  const areOllamas = servers.length > 1 && servers.every(({ kind }) => kind === 'ollama');
  return areOllamas && (path === '/api/tags' || path === '/api/ps')
    ? (listing) => ollamaList(path, servers, listing)
    : undefined;
}

async function openAiList({ names, shows }: Listing): Promise<Answer> {
  return ownAnswer(200, { object: 'list', data: visible(names, shows).map(entryOf) });
}

function visible(names: ModelNames<Upstream>, shows: Listing['shows']): NamedModel<Upstream>[] {
  return names.all.filter((model) => model.server.isUp && shows(model));
}

function entryOf({ id, server, model }: NamedModel<Upstream>): Record<string, unknown> {
  const entry = server.list.find((listed) => listed.id === model);
  return { ...entry, id };
}

function oneOfList(id: string, { names, shows }: Listing, path: string): Answer {
  const found = names.find(id);
  if (found?.server.isUp && found.server.models.includes(found.model) && shows(found)) {
    return ownAnswer(200, entryOf(found));
  }
  return unknownModel(id, visible(names, shows), path);
}

/** Asked now, since `ps` is about this moment. */
async function ollamaList(path: string, servers: readonly Upstream[], listing: Listing): Promise<Answer> {
  const { names, shows, headersOf } = listing;
  const lists = await Promise.all(
    servers
      .filter(({ isUp }) => isUp)
      .map(async (server) => {
        const body = await fetchText(server.url + path, headersOf(server));
        return modelsOf(body).flatMap((entry) => {
          const model = [entry.model, entry.name].find((value) => typeof value === 'string');
          if (typeof model !== 'string') return [];
          const id = [model, `${server.name}/${model}`].find((name) => names.find(name)?.server === server);
          if (id === undefined || !shows({ id, server, model })) return [];
          return [{ ...entry, name: id, model: id }];
        });
      }),
  );
  return ownAnswer(200, { models: lists.flat() });
}

function modelsOf(body: string | undefined): Record<string, unknown>[] {
  try {
    const { models } = Object(JSON.parse(body ?? '')) as { models?: unknown };
    return Array.isArray(models) ? models.map((entry) => ({ ...Object(entry) })) : [];
  } catch {
    return [];
  }
}

/** In the form that clients of `path` understand; `known` is what the client may use instead. */
export function unknownModel(model: string, known: readonly { id: string }[], path: string): Answer {
  const shown = known.slice(0, MAX_SUGGESTED).map(({ id }) => id);
  const rest = known.length > shown.length ? ` and ${known.length - shown.length} more` : '';
  const what = known.length === 0 ? 'There is none now.' : `There are: ${shown.join(', ')}${rest}.`;
  const message = `No server of this host has the model “${model.slice(0, 100)}”. ${what}`;
  if (path.startsWith('/api/')) return ownAnswer(404, { error: message });
  return ownAnswer(404, {
    error: { message, type: 'invalid_request_error', param: 'model', code: 'model_not_found' },
  });
}
