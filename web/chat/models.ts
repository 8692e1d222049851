/** Which models a host has, by the server that runs them. */
import type { ServedUpstream } from '../../shared/account-api.ts';
import { apiError } from '../access/api-error.ts';
import type { ChatClient } from './chat-client.ts';

export interface Model {
  id: string;
  /** As the server says; what it means differs from server to server. */
  owner: string | undefined;
}

export interface ModelGroup {
  /** The server’s name; undefined where nothing tells it. */
  server: string | undefined;
  models: string[];
}

/** What servers say of every model of theirs. Others name who made the model, which tells no server from another. */
const SERVERS: Readonly<Record<string, string>> = {
  library: 'Ollama',
  llamacpp: 'llama.cpp',
  vllm: 'vLLM',
  organization_owner: 'LM Studio',
  sglang: 'SGLang',
  tabbyAPI: 'TabbyAPI',
};

/** OpenAI's list of models; Ollama, llama.cpp and others give the same. @throws ApiError or TypeError */
export async function listModels(client: Pick<ChatClient, 'fetch'>): Promise<Model[]> {
  const response = await client.fetch('/v1/models');
  if (!response.ok) throw await apiError(response);
  const { data } = (await response.json()) as { data?: unknown };
  if (!Array.isArray(data)) return [];
  return data.flatMap((model: { id?: unknown; owned_by?: unknown } | null) => {
    if (typeof model?.id !== 'string') return [];
    return [{ id: model.id, owner: typeof model.owned_by === 'string' ? model.owned_by : undefined }];
  });
}

/** `serves`: what the host told the edge, which only its owner can see. One group where all are of one server. */
export function groupModels(models: readonly Model[], serves: readonly ServedUpstream[] = []): ModelGroup[] {
  const groups = new Map<string | undefined, string[]>();
  for (const { id, owner } of models) {
    const named = serves.find((upstream) => upstream.models.includes(id))?.name;
    const server = named ?? (owner === undefined || !Object.hasOwn(SERVERS, owner) ? undefined : SERVERS[owner]);
    groups.set(server, [...(groups.get(server) ?? []), id]);
  }
  if (groups.size <= 1) return models.length === 0 ? [] : [{ server: undefined, models: models.map(({ id }) => id) }];
  // Those of nobody come last.
  const order = [...groups].sort(([a], [b]) => Number(a === undefined) - Number(b === undefined));
  return order.map(([server, ids]) => ({ server, models: ids }));
}

const TRANSCRIBES = /whisper|transcri|parakeet|canary-|moonshine|(?:^|[-_/])(?:stt|asr)(?:[-_:]|$)/i;
const SPEAKS = /kokoro|orpheus|piper|bark|xtts|chatterbox|(?:^|[-_/])tts(?:[-_:]|\d|$)/i;

/** The first model that by its name writes down what is said; a server that lists one has the API for it. */
export function transcriptionModel(models: readonly Model[]): string | undefined {
  return models.find(({ id }) => TRANSCRIBES.test(id))?.id;
}

/** The first model that by its name reads aloud. */
export function speechModel(models: readonly Model[]): string | undefined {
  return models.find(({ id }) => SPEAKS.test(id) && !TRANSCRIBES.test(id))?.id;
}
