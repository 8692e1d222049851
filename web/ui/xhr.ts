/**
 * XMLHttpRequest over the client. Pages keep the platform’s objects, which check what they are told and dispatch the
 * events; from `send` to the next `open` their members show a request of ours instead.
 */
import type { Client } from '../client/index.ts';
import { instead, type Patches } from './patches.ts';
import type { Reach } from './reach.ts';
import { tunnelField } from './tunnel-field.ts';
import { XhrRequest } from './xhr-request.ts';

const OPENED = 1;
const LOADING = 3;

type Members = typeof XMLHttpRequest.prototype;
type Getter = Exclude<
  { [K in keyof Members]: Members[K] extends (...args: never[]) => unknown ? never : K }[keyof Members],
  symbol
>;

export interface XhrOptions {
  client: Pick<Client, 'fetch'>;
  reach: Reach;
  /** Whether the platform’s own way is as good now: there is no session, and it would go through the tunnel. */
  usesTunnel(): boolean;
}

export function patchXhr(
  patches: Patches,
  XHR: typeof XMLHttpRequest,
  { client, reach, usesTunnel }: XhrOptions,
): void {
  const { prototype } = XHR;
  const requests = new WeakMap<XMLHttpRequest, XhrRequest>();
  /** Those whose `open` named an address of the host. */
  const hosts = new WeakSet<XMLHttpRequest>();
  /** The request of ours that the object shows. */
  const shown = (xhr: unknown): XhrRequest | undefined => {
    const request = requests.get(xhr as XMLHttpRequest);
    return request?.isSent === true ? request : undefined;
  };

  const method = (
    name:
      | 'open'
      | 'send'
      | 'abort'
      | 'setRequestHeader'
      | 'overrideMimeType'
      | 'getResponseHeader'
      | 'getAllResponseHeaders',
    apply: (xhr: XMLHttpRequest, args: unknown[], platforms: (...args: unknown[]) => unknown) => unknown,
  ) => {
    const value = instead(prototype[name] as (...args: never[]) => unknown, (platforms, self, args) =>
      apply(self as XMLHttpRequest, args, (...changed) => Reflect.apply(platforms, self, changed)),
    );
    patches.replace(prototype, name, { value });
  };
  const getter = (name: Getter, show: (request: XhrRequest, xhr: XMLHttpRequest) => unknown) => {
    const platforms = accessor(prototype, name, 'get');
    const get = instead(platforms, (call, self) => {
      const request = shown(self);
      return request === undefined ? Reflect.apply(call, self, []) : show(request, self as XMLHttpRequest);
    });
    patches.replace(prototype, name, { get });
  };
  const setter = (
    name: Getter,
    before: (request: XhrRequest) => void,
    after: (request: XhrRequest) => void = () => {},
  ) => {
    const platforms = accessor(prototype, name, 'set');
    const set = instead(platforms, (call, self, args) => {
      const request = shown(self);
      if (request !== undefined) before(request);
      Reflect.apply(call, self, args);
      if (request !== undefined) after(request);
    }) as (value: unknown) => void;
    patches.replace(prototype, name, { set });
  };

  method('open', (xhr, args, platforms) => {
    if (args.length < 2) return platforms(...args);
    const [method, url] = [String(args[0]), String(args[1])];
    const before = requests.get(xhr);
    const isAsync = args.length < 3 || Boolean(args[2]);
    const isAnonymous = (args[3] ?? null) === null && (args[4] ?? null) === null;
    const isMoved = isAsync && isAnonymous && reach.moves(url);
    // Before the platform’s `open`, which may tell of the new state.
    if (isMoved) requests.set(xhr, newRequest(xhr, method, url));
    else requests.delete(xhr);
    try {
      platforms(method, url, ...args.slice(2));
    } catch (error) {
      if (before === undefined) requests.delete(xhr);
      else requests.set(xhr, before);
      throw error;
    }
    if (reach.belongs(url)) hosts.add(xhr);
    else hosts.delete(xhr);
    if (before?.isSent !== true) return undefined;
    before.end();
    // The platform’s object was opened all the time, and says nothing.
    if (before.readyState !== OPENED) xhr.dispatchEvent(new Event('readystatechange'));
    return undefined;
  });

  const newRequest = (xhr: XMLHttpRequest, method: string, url: string) => {
    const known = /^(?:delete|get|head|options|post|put)$/i.test(method) ? method.toUpperCase() : method;
    return new XhrRequest({ xhr, method: known, url: new URL(url, document.baseURI).href, fetch: client.fetch });
  };

  method('setRequestHeader', (xhr, args, platforms) => {
    if (shown(xhr) !== undefined) throw invalidState('the request was sent already');
    if (args.length < 2) return platforms(...args);
    const [name, value] = [String(args[0]), String(args[1])];
    platforms(hosts.has(xhr) ? tunnelField(name) : name, value);
    requests.get(xhr)?.headers.append(name, value);
    return undefined;
  });

  method('send', (xhr, args, platforms) => {
    const request = requests.get(xhr);
    if (request === undefined) return platforms(...args);
    if (request.isSent) throw invalidState('the request was sent already');
    if (xhr.readyState !== OPENED) return platforms(...args);
    if (!usesTunnel()) return request.send(args[0]);
    requests.delete(xhr);
    return platforms(...args);
  });

  method('abort', (xhr, args, platforms) => {
    const request = shown(xhr);
    return request === undefined ? platforms(...args) : request.abort();
  });

  method('overrideMimeType', (xhr, args, platforms) => {
    if ((shown(xhr)?.readyState ?? 0) >= LOADING) throw invalidState('the response is there already');
    platforms(...args);
    const request = requests.get(xhr);
    if (request !== undefined) request.overriddenMimeType = String(args[0]);
    return undefined;
  });

  method('getResponseHeader', (xhr, args, platforms) => {
    const request = shown(xhr);
    if (request === undefined || args.length === 0) return platforms(...args);
    try {
      return request.head?.headers.get(String(args[0])) ?? null;
    } catch {
      // It is no name of a field.
      return null;
    }
  });

  method('getAllResponseHeaders', (xhr, args, platforms) => {
    const request = shown(xhr);
    if (request === undefined) return platforms(...args);
    return [...(request.head?.headers ?? [])].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  });

  getter('readyState', (request) => request.readyState);
  getter('status', (request) => request.head?.status ?? 0);
  getter('statusText', (request) => request.head?.statusText ?? '');
  getter('responseURL', (request) => request.head?.url ?? '');
  getter('responseText', (request, { responseType }) => {
    if (responseType !== '' && responseType !== 'text') throw invalidState(`the response is a “${responseType}”`);
    return request.response?.text ?? '';
  });
  getter('responseXML', (request, { responseType }) => {
    if (responseType !== '' && responseType !== 'document') throw invalidState(`the response is a “${responseType}”`);
    return request.response?.document(responseType === 'document') ?? null;
  });
  getter('response', (request, { responseType }) => {
    if (responseType === '' || responseType === 'text') return request.response?.text ?? '';
    return request.response?.as(responseType) ?? null;
  });

  setter('responseType', (request) => {
    if (request.readyState >= LOADING) throw invalidState('the response is there already');
  });
  setter('withCredentials', (request) => {
    if (request.readyState > 0) throw invalidState('the request was sent already');
  });
  const limit = (request: XhrRequest) => request.limit();
  setter('timeout', () => {}, limit);
}

function accessor(prototype: Members, name: string, kind: 'get' | 'set'): () => unknown {
  const found = Object.getOwnPropertyDescriptor(prototype, name)?.[kind] as (() => unknown) | undefined;
  if (found === undefined) throw new TypeError(`XMLHttpRequest has no ${name}`);
  return found;
}

function invalidState(text: string): DOMException {
  return new DOMException(text, 'InvalidStateError');
}
