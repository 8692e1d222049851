/** Which model a request names, and the same request with another name. */
import type { LocalRequest } from './host-client.ts';

export interface ModelInRequest {
  model: string;
  /** The request for the same model by its name at the host. */
  renamed(model: string): LocalRequest;
}

/** OpenAI's and LM Studio's: one of the list, by its name. */
const ONE_OF_LIST = /^((?:\/v1|\/api\/v0|\/api\/v1)\/models\/)(.+)$/;

/** `body`: all of it, where there is one. Undefined: the request names none that we could see. */
export async function modelIn(
  request: LocalRequest,
  body: Uint8Array<ArrayBuffer> | undefined,
): Promise<ModelInRequest | undefined> {
  const type = request.headers.get('content-type') ?? '';
  if (body !== undefined && body.length > 0) {
    // Programs name other types, or none, and servers read JSON all the same.
    return /^multipart\/form-data\b/i.test(type) ? inForm(request, body, type) : inJson(request, body);
  }
  return inTarget(request);
}

function inJson(request: LocalRequest, body: Uint8Array<ArrayBuffer>): ModelInRequest | undefined {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined;
  // `name` is Ollama's older word.
  for (const key of request.target.startsWith('/api/') ? ['model', 'name'] : ['model']) {
    const model: unknown = Reflect.get(json, key);
    if (typeof model !== 'string' || model === '') continue;
    const renamed = (other: string) => {
      const bytes = new TextEncoder().encode(JSON.stringify({ ...json, [key]: other }));
      const headers = new Headers(request.headers);
      headers.set('content-length', String(bytes.length));
      return { ...request, headers, body: bytes };
    };
    return { model, renamed };
  }
  return undefined;
}

async function inForm(
  request: LocalRequest,
  body: Uint8Array<ArrayBuffer>,
  type: string,
): Promise<ModelInRequest | undefined> {
  let form: FormData;
  try {
    form = await new Response(body, { headers: { 'content-type': type } }).formData();
  } catch {
    return undefined;
  }
  const model = form.get('model');
  if (typeof model !== 'string' || model === '') return undefined;
  const renamed = (other: string) => {
    form.set('model', other);
    const { headers: made, body: stream } = new Response(form);
    const headers = new Headers(request.headers);
    headers.delete('content-length');
    headers.set('content-type', made.get('content-type') ?? type);
    return { ...request, headers, body: stream };
  };
  return { model, renamed };
}

/** Also of a WebSocket, as for OpenAI's realtime API. */
export function inTarget<T extends { target: string }>(
  request: T,
): { model: string; renamed(model: string): T } | undefined {
  const url = new URL(request.target, 'http://host');
  const [, list, encoded] = ONE_OF_LIST.exec(url.pathname) ?? [];
  if (list !== undefined && encoded !== undefined) {
    const renamed = (other: string) => ({ ...request, target: list + encodeName(other) + url.search });
    return { model: decodeURIComponent(encoded), renamed };
  }
  const model = url.searchParams.get('model');
  if (model === null || model === '') return undefined;
  const renamed = (other: string) => {
    url.searchParams.set('model', other);
    return { ...request, target: url.pathname + url.search };
  };
  return { model, renamed };
}

/** Slashes stay: servers have models with names such as `org/model`, and take them as they are. */
function encodeName(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/');
}
