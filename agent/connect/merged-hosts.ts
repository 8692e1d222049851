/**
 * Several hosts behind one port: lists of models are the union, and the model of a request decides who answers it. The
 * first host that has a model keeps its name as it is; the same model of another one is `host/model`. Every host also
 * takes its own models by that longer name.
 */

import type { Client } from '#client';
import { DirectError } from '../../shared/errors.ts';
import { boundedText } from '../bounded-text.ts';
import { plainName } from '../model-names.ts';
import {
  type Destination,
  type HostClient,
  type LocalRequest,
  type LocalSocketRequest,
  oneHost,
  type SocketLink,
} from './host-client.ts';
import { inTarget, modelIn } from './request-model.ts';

export interface MergedHost {
  name: string;
  client: HostClient & Pick<Client, 'path'>;
}

export interface MergedHostsOptions {
  /** In the order of their precedence. */
  hosts: readonly MergedHost[];
  /** Monotonic milliseconds. */
  now(): number;
}

/** A body whose model has to be read. Pictures are the largest, and the agent takes 10 MB by default. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;
/** All of them together: this is somebody's laptop. */
const MAX_HELD_BYTES = 128 * 1024 * 1024;
/** A list of a thousand models has under 1 MB. */
const MAX_LIST_BYTES = 4 * 1024 * 1024;
/** One host that does not answer must not keep the models of the others. */
const LIST_PATIENCE_MS = 5_000;
/** Requests come in bursts; models do not. */
const LIST_AGE_MS = 5_000;

/** Lists by the path that asks for them: where the entries are, and what they call a model. */
const LISTS: Readonly<Record<string, { field: string; names: readonly string[] }>> = {
  '/v1/models': { field: 'data', names: ['id'] },
  '/api/tags': { field: 'models', names: ['name', 'model'] },
  '/api/ps': { field: 'models', names: ['name', 'model'] },
  '/api/v0/models': { field: 'data', names: ['id'] },
};

interface Known {
  host: MergedHost;
  destination: Destination;
  /** Of `/v1/models`, the last time that it answered. */
  models: readonly string[];
}

interface Owner {
  known: Known;
  /** As the host calls it; undefined: as in the request. */
  model: string | undefined;
}

export class MergedHosts implements Destination {
  readonly #now: () => number;
  readonly #all: readonly Known[];
  readonly #first: Known;
  #looked: { at: number; done: Promise<void> } | undefined;
  /** Of MAX_HELD_BYTES. */
  #heldBytes = 0;

  /** @throws TypeError without hosts. */
  constructor({ hosts, now }: MergedHostsOptions) {
    this.#now = now;
    this.#all = hosts.map((host) => ({ host, destination: oneHost(host.client), models: [] }));
    const [first] = this.#all;
    if (first === undefined) throw new TypeError('no host');
    this.#first = first;
  }

  async request(request: LocalRequest): Promise<Response> {
    const path = request.target.split('?', 1)[0] ?? '';
    const list = request.method === 'GET' || request.method === 'HEAD' ? LISTS[path] : undefined;
    if (list !== undefined) return this.#list(request, list);
    const held = await this.#hold(request);
    try {
      const found = modelIn(held.request, held.bytes);
      const owner = await this.#owner(found?.model);
      const { destination } = owner.known;
      const named = found !== undefined && owner.model !== undefined && owner.model !== found.model;
      // Until there is a response the client may need the body again.
      return await destination.request(named ? found.renamed(owner.model ?? '') : held.request);
    } finally {
      held.release();
    }
  }

  async socket(request: LocalSocketRequest): Promise<SocketLink> {
    const found = inTarget(request);
    const { known, model } = await this.#owner(found?.model);
    return known.destination.socket(found !== undefined && model !== undefined ? found.renamed(model) : request);
  }

  /** @throws DirectError `E_BODY_TOO_LARGE`, `E_RATE_LIMITED` */
  async #hold(request: LocalRequest) {
    const { body } = request;
    if (body === null || body instanceof Uint8Array) return { request, bytes: body ?? undefined, release: () => {} };
    const pieces: Uint8Array[] = [];
    let size = 0;
    const release = () => {
      this.#heldBytes -= size;
      size = 0;
    };
    try {
      for await (const piece of body) {
        size += piece.length;
        this.#heldBytes += piece.length;
        if (size > MAX_BODY_BYTES) {
          throw new DirectError(
            'E_BODY_TOO_LARGE',
            `--merge reads up to ${MAX_BODY_BYTES} bytes for the model; without it each host has a port of its own`,
          );
        }
        if (this.#heldBytes > MAX_HELD_BYTES)
          throw new DirectError('E_RATE_LIMITED', 'too many large bodies at a time');
        pieces.push(piece);
      }
    } catch (error) {
      release();
      throw error;
    }
    const bytes = new Uint8Array(Buffer.concat(pieces));
    return { request: { ...request, body: bytes }, bytes, release };
  }

  /** Who answers for the model. One that nobody has is for the first host to refuse, in the words of its server. */
  async #owner(model: string | undefined): Promise<Owner> {
    const anybody = { known: this.#all.find(isOnline) ?? this.#first, model: undefined };
    if (model === undefined || this.#all.length === 1) return this.#byPrefix(model) ?? anybody;
    const known = this.#find(model);
    if (known !== undefined) return known;
    await this.#look();
    return this.#find(model) ?? anybody;
  }

  #find(model: string): Owner | undefined {
    const having = this.#all.filter(({ models }) => models.some((one) => plainName(one) === plainName(model)));
    const known = having.find(isOnline) ?? having[0];
    return known === undefined ? this.#byPrefix(model) : { known, model: undefined };
  }

  /** `host/model` */
  #byPrefix(model: string | undefined): Owner | undefined {
    const known = this.#all.find(({ host }) => model?.startsWith(`${host.name}/`));
    return known && { known, model: model?.slice(known.host.name.length + 1) };
  }

  /** Asks all hosts for their models, unless that was done just now. */
  #look(): Promise<void> {
    const { at = Number.NEGATIVE_INFINITY, done } = this.#looked ?? {};
    if (done !== undefined && this.#now() - at < LIST_AGE_MS) return done;
    const path = '/v1/models';
    const signal = AbortSignal.timeout(LIST_PATIENCE_MS);
    const asked = { method: 'GET', target: path, headers: new Headers(), body: null, signal };
    const looked = Promise.all(this.#all.map((known) => this.#entries(known, asked))).then(() => {});
    this.#looked = { at: this.#now(), done: looked };
    return looked;
  }

  /** The union, or what the first host says when none has a list. */
  async #list(request: LocalRequest, { field, names }: { field: string; names: readonly string[] }): Promise<Response> {
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(LIST_PATIENCE_MS)]);
    const answers = await Promise.all(
      this.#all.map((known) => this.#entries(known, { ...request, method: 'GET', signal })),
    );
    request.signal.throwIfAborted();
    if (answers.every((entries) => entries === undefined)) return this.#first.destination.request(request);
    const seen = new Set<string>();
    const union: object[] = [];
    for (const [index, entries] of answers.entries()) {
      const host = this.#all[index]?.host.name ?? '';
      const own = new Set<string>();
      for (const entry of entries ?? []) {
        const model = String(Reflect.get(entry, names[0] ?? ''));
        own.add(model);
        if (!seen.has(model)) union.push(entry);
        else union.push({ ...entry, ...Object.fromEntries(names.map((name) => [name, `${host}/${model}`])) });
      }
      for (const model of own) seen.add(model);
    }
    const body = JSON.stringify({ ...(field === 'data' && { object: 'list' }), [field]: union });
    return new Response(request.method === 'HEAD' ? null : body, { headers: { 'content-type': 'application/json' } });
  }

  /** The models of one host; undefined when it has no such list now. */
  async #entries(known: Known, request: LocalRequest): Promise<object[] | undefined> {
    const path = request.target.split('?', 1)[0] ?? '';
    const list = LISTS[path];
    if (list === undefined) return undefined;
    try {
      const response = await known.destination.request(request);
      const text = await boundedText(response.body, MAX_LIST_BYTES);
      if (!response.ok || text === undefined) return undefined;
      const all: unknown = Reflect.get(Object(JSON.parse(text)), list.field);
      if (!Array.isArray(all)) return undefined;
      const [key = ''] = list.names;
      const entries = all.filter((entry): entry is object => typeof Object(entry)[key] === 'string');
      if (path === '/v1/models') known.models = entries.map((entry) => String(Reflect.get(entry, key)));
      return entries;
    } catch {
      // Offline, or no list: the other hosts have theirs.
      return undefined;
    }
  }
}

function isOnline({ host }: Known): boolean {
  return host.client.path !== 'offline';
}
