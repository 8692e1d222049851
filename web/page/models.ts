/** Which models the host has, and which one the person chose. */

import { apiError } from '../access/api-error.ts';
import type { Client } from '../client/index.ts';

/** OpenAI's list of models; Ollama, llama.cpp and others give the same. @throws ApiError or TypeError */
export async function listModels(client: Pick<Client, 'fetch'>): Promise<string[]> {
  const response = await client.fetch('/v1/models');
  if (!response.ok) throw await apiError(response);
  const { data } = (await response.json()) as { data?: unknown };
  if (!Array.isArray(data)) return [];
  return data.map((model: { id?: unknown } | null) => model?.id).filter((id) => typeof id === 'string');
}

/** Fills the picker, and keeps what was chosen if the host still has it. */
export function showModels(select: HTMLSelectElement, models: readonly string[]): void {
  const chosen = select.value;
  const options = models.map((id) => new Option(id, id, false, id === chosen));
  select.replaceChildren(...(options.length === 0 ? [new Option('no model', '')] : options));
  select.disabled = options.length === 0;
}
