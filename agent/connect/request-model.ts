/** Which model a request names, and the same request with another name. */
import { modelInForm, modelInJson, modelInQuery, type NamedInBody, ONE_OF_LIST } from '../model-scope.ts';
import type { LocalRequest } from './host-client.ts';

export interface ModelInRequest {
  model: string;
  /** The request for the same model by its name at the host. */
  renamed(model: string): LocalRequest;
}

/** `body`: all of it, where there is one. Undefined: the request names none that we could see. */
export function modelIn(request: LocalRequest, body: Uint8Array | undefined): ModelInRequest | undefined {
  if (body === undefined || body.length === 0) return inTarget(request);
  const type = request.headers.get('content-type') ?? '';
  // Programs name other types, or none, and servers read JSON all the same.
  const found = /^multipart\/form-data\b/i.test(type) ? modelInForm(body, type) : inJson(request, body);
  if (found === undefined) return undefined;
  const renamed = (other: string) => {
    const bytes = new Uint8Array(found.with(other));
    const headers = new Headers(request.headers);
    headers.set('content-length', String(bytes.length));
    return { ...request, headers, body: bytes };
  };
  return { model: found.model, renamed };
}

/** `name` is Ollama's older word. */
function inJson({ target }: LocalRequest, body: Uint8Array): NamedInBody | undefined {
  return modelInJson(body) ?? (target.startsWith('/api/') ? modelInJson(body, 'name') : undefined);
}

/** Also of a WebSocket, as for OpenAI's realtime API. */
export function inTarget<T extends { target: string }>(
  request: T,
): { model: string; renamed(model: string): T } | undefined {
  // Not relative to a base: a target with two slashes at its beginning would name another host.
  const url = new URL(`http://host${request.target}`);
  const encoded = ONE_OF_LIST.exec(url.pathname)?.[1];
  if (encoded !== undefined) {
    const list = url.pathname.slice(0, -encoded.length);
    const renamed = (other: string) => ({ ...request, target: list + encodeName(other) + url.search });
    return { model: decodeURIComponent(encoded), renamed };
  }
  const found = modelInQuery(url.search);
  if (found === undefined) return undefined;
  return { model: found.model, renamed: (other) => ({ ...request, target: url.pathname + found.with(other) }) };
}

/** Slashes stay: servers have models with names such as `org/model`, and take them as they are. */
function encodeName(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/');
}
