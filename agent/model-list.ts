/** A server's list of models in OpenAI's form. */

/** What a page can show; LiteLLM configurations reach hundreds. */
const MAX_MODELS = 1_000;
/** Names are printed and sent on: long enough for a path to a GGUF file. */
const MAX_MODEL_NAME_LENGTH = 256;

/** One entry, with whatever else the server says of the model. */
export interface ListedModel {
  readonly id: string;
  readonly [field: string]: unknown;
}

/** The models in the body of an answer to `/v1/models`; undefined if it is no such list. */
export function modelsIn(body: string): ListedModel[] | undefined {
  let list: unknown;
  try {
    list = JSON.parse(body);
  } catch {
    return undefined;
  }
  const { object, data } = record(list);
  // As Go writes an empty list.
  if (object === 'list' && data === null) return [];
  if (!Array.isArray(data)) return undefined;
  const entries = data.map(record);
  // Many APIs wrap things with ids in “data”; OpenAI's says list and model.
  if (object !== 'list' && (entries.length === 0 || !entries.every((model) => model.object === 'model'))) {
    return undefined;
  }
  if (!entries.every(isListed)) return undefined;
  // Printed to terminals, so without control characters.
  return entries.filter(({ id }) => id.length <= MAX_MODEL_NAME_LENGTH && !/\p{Cc}/u.test(id)).slice(0, MAX_MODELS);
}

function isListed(entry: Record<string, unknown>): entry is ListedModel {
  return typeof entry.id === 'string' && entry.id !== '';
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}
