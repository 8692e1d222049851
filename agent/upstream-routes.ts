/**
 * Which server a request goes to, and as what. With one server everything passes as it is; with several the model
 * decides, then the path, and lists of models are those of all.
 */
import { Readable } from 'node:stream';
import { DirectError } from '../shared/errors.ts';
import type { RequestHead } from '../shared/head.ts';
import { hasBody } from '../shared/semantics.ts';
import type { Target } from '../shared/target.ts';
import { type Answer, filtered } from './answer.ts';
import { mergedList, unknownModel } from './merged-lists.ts';
import { isSame, type ModelNames, type NamedModel, plainName } from './model-names.ts';
import {
  checkBody,
  type ModelUse,
  modelInForm,
  modelInJson,
  modelInQuery,
  modelUse,
  NAMED_IN_BODY,
  notOn,
  type Refuses,
} from './model-scope.ts';
import type { Access } from './policy.ts';
import { type WholeBodies, WholeBody } from './request-body.ts';
import { type Asked, prefixOf } from './routed.ts';
import { ownersOf, usualFor } from './server-paths.ts';
import type { Upstream } from './upstream.ts';
import type { Upstreams } from './upstreams.ts';

export interface Inquiry {
  readonly head: RequestHead;
  readonly target: Target;
  readonly access: Access;
  readonly signal: AbortSignal;
  /** Called once at most. */
  body(): Promise<Readable | null>;
}

/** A server for a request. */
export interface Route {
  readonly server: Upstream;
  readonly asked: Asked;
  /** Another server for the same request, when nobody was at this one. */
  next(): Promise<Route | undefined>;
}

/** A request of which the body, as far as it must be, is known. */
interface Known {
  readonly inquiry: Inquiry;
  readonly body: Asked['body'];
  readonly use: ModelUse | undefined;
  readonly refuses: Refuses | undefined;
  readonly named?: Named | undefined;
}

/** The model that a request names, and the request with another name in its place. */
interface Named {
  readonly model: string;
  as(model: string, inquiry: Inquiry): Inquiry;
}

/** Audio and pictures come in forms, and their model in a part of them. */
const NAMED_IN_FORM = /^(?:\/v1)?\/(?:audio\/(?:transcriptions|translations)|images\/(?:edits|variations))$/;
/** Ollama's management, which names a model as well. */
const MANAGED_IN_BODY = /^\/api\/(?:pull|push|create|delete)$/;

export class UpstreamRoutes {
  readonly #upstreams: Upstreams;
  readonly #bodies: WholeBodies;

  constructor(upstreams: Upstreams, bodies: WholeBodies) {
    this.#upstreams = upstreams;
    this.#bodies = bodies;
  }

  /** Where to, or the answer itself. @throws DirectError `E_NO_UPSTREAM`, `E_FORBIDDEN`, or one of the body's */
  async find(inquiry: Inquiry): Promise<Route | Answer> {
    const [first, ...others] = await this.#upstreams.ready();
    if (first === undefined) throw new DirectError('E_NO_UPSTREAM');
    const limits = inquiry.access.models;
    // A list that names the server's models by the server means them also while there is no other one.
    const isNamed = limits.some(({ models }) => models.some((model) => model.startsWith(`${first.name}/`)));
    const isMerged = others.length > 0 || isNamed;
    const refuses = limits.length === 0 ? undefined : isMerged ? this.#refuses(inquiry) : notOn(limits);
    const use = refuses && modelUse(inquiry.head, inquiry.target, refuses);
    const list = isMerged ? this.#list(inquiry) : undefined;
    if (list !== undefined) {
      if ((await inquiry.body()) !== null) throw new DirectError('E_FORBIDDEN', 'a body where none belongs');
      return await list();
    }
    const body = await this.#body(inquiry, use, refuses);
    const known = { inquiry, body, use, refuses };
    if (!isMerged) return this.#to(first, known);
    try {
      return await this.#byModel(known);
    } catch (error) {
      if (body instanceof WholeBody) body.free();
      throw error;
    }
  }

  /** The body as the request may have it. @throws DirectError */
  async #body({ head, target, access, body }: Inquiry, use?: ModelUse, refuses?: Refuses): Promise<Asked['body']> {
    const came = head.protocol === 'websocket' ? null : await body();
    if (refuses === undefined) return came;
    if (use !== 'body') {
      if (came !== null) throw new DirectError('E_FORBIDDEN', 'a body where none belongs');
      return null;
    }
    const whole = await this.#bodies.read(came, access.grant.subject);
    try {
      checkBody(whole.bytes, target.path, refuses);
      return whole;
    } catch (error) {
      whole.free();
      throw error;
    }
  }

  #to(server: Upstream, { inquiry, body, use, refuses }: Known, next: Route['next'] = async () => undefined): Route {
    const { head, target, signal } = inquiry;
    const base = new URL(server.url);
    const isList = ({ statusCode }: Answer) => hasBody(head.method, statusCode) && statusCode < 300;
    const asked: Asked = {
      head: use === 'body' ? withJson(head) : head,
      base,
      target: prefixOf(base) + target.path + target.query,
      own: this.#upstreams.headersOf(server),
      received: (fields) => fields,
      body,
      answered:
        use === 'list' && refuses !== undefined
          ? async (answer) => (isList(answer) ? filtered(answer, refuses) : answer)
          : undefined,
      signal,
    };
    return { server, asked, next };
  }

  // ---- several servers -----------------------------------------------------------------------

  #candidates(path: string): readonly Upstream[] {
    return ownersOf(path, this.#upstreams.known);
  }

  /** Of those that serve `path`. */
  #names(path: string): ModelNames<Upstream> {
    return this.#upstreams.names(this.#candidates(path));
  }

  /** Refuses by the model that a name leads to: another server's model of the same name is another model. */
  #refuses({ target, access }: Inquiry): Refuses {
    return (asked) => {
      const all = this.#upstreams.names();
      const found = this.#names(target.path).find(asked);
      return access.models.find(({ models }) => !models.some((entry) => isMeant(entry, asked, found, all)))?.whose;
    };
  }

  /** The list of models of several servers, if the request is for one. */
  #list({ head: { method, protocol }, target, access }: Inquiry): (() => Promise<Answer>) | undefined {
    if (protocol !== undefined || (method !== 'GET' && method !== 'HEAD')) return undefined;
    const list = mergedList(target.path.replace(/\/$/, ''), this.#candidates(target.path));
    return (
      list &&
      (async () => {
        await this.#upstreams.refresh();
        const all = this.#upstreams.names();
        const answer = await list({
          names: this.#names(target.path),
          shows: (model) =>
            access.models.every(({ models }) => models.some((entry) => isMeant(entry, model.id, model, all))),
          headersOf: (server) => this.#upstreams.headersOf(server),
        });
        return method === 'HEAD' ? { ...answer, body: Readable.from([]) } : answer;
      })
    );
  }

  async #byModel(known: Known): Promise<Route | Answer> {
    const request = await this.#read(known);
    const { inquiry, named } = request;
    const { path } = inquiry.target;
    if (named !== undefined && this.#names(path).find(named.model) === undefined) {
      // It may have been pulled a moment ago, or its server started.
      await this.#upstreams.refresh();
    }
    const route = this.#choose(request, []);
    if (route !== undefined) return route;
    if (request.body instanceof WholeBody) request.body.free();
    const refuses = known.refuses ?? (() => undefined);
    const others = this.#names(path).all.filter(({ id, server }) => server.isUp && refuses(id) === undefined);
    return unknownModel(named?.model ?? '', others, path);
  }

  /** Finds the model, for which it may have to read the body. */
  async #read(known: Known): Promise<Known> {
    const { inquiry, body } = known;
    const { head, target, access } = inquiry;
    const path = target.path.replace(/\/$/, '');
    const field = (wanted: string) => head.headers.find(([name]) => name === wanted)?.[1] ?? '';
    const isForm = NAMED_IN_FORM.test(path) && /^multipart\//i.test(field('content-type'));
    const isNamed = isForm || MANAGED_IN_BODY.test(path) || NAMED_IN_BODY.some((pattern) => pattern.test(path));
    const isPlain = /^(?:identity)?$/i.test(field('content-encoding'));
    if (!isNamed || body === null || !isPlain) return { ...known, named: inQuery(target) };
    const whole = body instanceof WholeBody ? body : await this.#bodies.read(body, access.grant.subject);
    const inBody = isForm ? modelInForm(whole.bytes, field('content-type')) : modelInJson(whole.bytes);
    if (inBody === undefined) return { ...known, body: whole, named: inQuery(target) };
    whole.renamed = inBody.with;
    const as: Named['as'] = (model, inquiry) => {
      whole.rename(model);
      return inquiry;
    };
    return { ...known, body: whole, named: { model: inBody.model, as } };
  }

  /** A server that was not tried yet. In one turn, so that what is checked is what is chosen. @throws DirectError */
  #choose(known: Known, tried: readonly string[]): Route | undefined {
    const { inquiry, named, use } = known;
    const { path } = inquiry.target;
    // The model that was checked must be the one that decides.
    if (use === 'body' && named === undefined) throw new DirectError('E_FORBIDDEN', 'the model cannot be read');
    const found = named && this.#names(path).find(named.model);
    const server = found?.server ?? this.#without(path, named, tried);
    if (server === undefined || tried.includes(server.name)) return undefined;
    const who = named && known.refuses?.(named.model);
    // The first one was allowed; that it is gone is what the client should hear.
    if (who !== undefined && tried.length > 0) return undefined;
    if (who !== undefined) throw new DirectError('E_FORBIDDEN', `${who} is not for this model at ${server.name}`);
    const isOther = named !== undefined && found !== undefined && named.model !== found.model;
    // To Ollama both are the same, and bytes that need no change get none.
    const isEqual = isOther && server.kind === 'ollama' && plainName(named.model) === plainName(found.model);
    // After another server the body may have that one's name for the model.
    const isRenamed = named !== undefined && found !== undefined && ((isOther && !isEqual) || tried.length > 0);
    const asked = isRenamed ? named.as(found.model, inquiry) : inquiry;
    return this.#to(server, { ...known, inquiry: asked }, async () => this.#choose(known, [...tried, server.name]));
  }

  /** A server for a request without a model, or with one that nobody lists. */
  #without(path: string, named: Named | undefined, tried: readonly string[]): Upstream | undefined {
    const candidates = this.#candidates(path);
    if (named !== undefined) {
      // The only one that it can be for, and that answers for itself.
      const possible =
        candidates.length === 1 ? candidates : candidates.filter(({ isListed, isUp }) => isUp && !isListed);
      return possible.length === 1 ? possible[0] : undefined;
    }
    const left = usualFor(path, candidates).filter(({ name }) => !tried.includes(name));
    return left.find(({ isUp, models }) => isUp && models.length > 0) ?? left[0];
  }
}

/** Whether `entry` of a list of models means the model `found`, which the client called `asked`. */
function isMeant(
  entry: string,
  asked: string,
  found: NamedModel<Upstream> | undefined,
  all: ModelNames<Upstream>,
): boolean {
  if (found === undefined) return plainName(entry) === plainName(asked);
  const meant = all.find(entry);
  return meant !== undefined && isSame(meant, found);
}

function inQuery(target: Target): Named | undefined {
  const named = modelInQuery(target.query);
  return (
    named && {
      model: named.model,
      as: (model, inquiry) => ({ ...inquiry, target: { path: target.path, query: named.with(model) } }),
    }
  );
}

/**
 * The head of a request whose body was read as JSON: whoever went by another type might read something else. LocalAI
 * takes a model that a bearer token names before the body's; the upstream's own key is `upstream_headers`' business.
 */
function withJson(head: RequestHead): RequestHead {
  const misleading = ['content-type', 'content-encoding', 'authorization'];
  const others = head.headers.filter(([name]) => !misleading.includes(name));
  return { ...head, headers: [...others, ['content-type', 'application/json']] };
}
