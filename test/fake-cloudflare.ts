/**
 * As much of Cloudflare's API as wrangler asks for when it deploys, and an account with one workers.dev name. What was
 * uploaded can be run: the script, the files, the bindings and the secrets, and nothing from this repository.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type LocalEdge, startEdge } from '../scripts/edge.ts';

export const ACCOUNT = { id: 'a'.repeat(32), name: 'Someone’s account' } as const;
export const SUBDOMAIN = 'someone';

/** What wrangler puts beside the script; its names are Cloudflare's. */
interface Metadata {
  main_module: string;
  bindings: {
    name: string;
    type: string;
    text?: string;
    class_name?: string;
    namespace_id?: string;
    simple?: object;
  }[];
  compatibility_date: string;
  compatibility_flags: string[];
  exports: object;
  keep_bindings: string[];
  assets: { jwt: string; config: { run_worker_first?: string[]; _headers?: string } };
}

interface Worker {
  metadata: Metadata;
  script: string;
  files: ReadonlyMap<string, Buffer>;
  secrets: Record<string, string>;
  /** workers.dev is switched on. */
  isPublic: boolean;
}

interface Upload {
  worker: string;
  manifest: Record<string, { hash: string; size: number }>;
  files: Map<string, Buffer>;
}

/** A number of Cloudflare's and its HTTP status. */
class Refusal extends Error {
  readonly status: number;
  readonly code: number;

  constructor(status: number, code: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class FakeCloudflare {
  readonly apiToken = randomBytes(20).toString('hex');
  readonly workers = new Map<string, Worker>();
  /** Method and path of each call, and those that are not known here. */
  readonly calls: string[] = [];
  readonly unknown: string[] = [];
  readonly #server: Server;
  /** By the token that Cloudflare gave for it. */
  readonly #uploads = new Map<string, Upload>();
  readonly #complete = new Map<string, Upload>();

  static async start(): Promise<FakeCloudflare> {
    const fake = new FakeCloudflare();
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** For wrangler. */
  get env(): Record<string, string> {
    const { port } = this.#server.address() as AddressInfo;
    return {
      CLOUDFLARE_API_BASE_URL: `http://127.0.0.1:${port}/client/v4`,
      CLOUDFLARE_API_TOKEN: this.apiToken,
      CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    };
  }

  /** Runs Worker `name` in workerd, at a port of this machine in place of its workers.dev name. */
  async run(name: string, variables: Record<string, string> = {}): Promise<LocalEdge> {
    const worker = this.workers.get(name);
    if (worker?.isPublic !== true) throw new Error(`there is no Worker ${name} with an address`);
    const folder = mkdtempSync(join(tmpdir(), 'fake-cloudflare-'));
    const { metadata, script, files, secrets } = worker;
    const write = (path: string, content: string | Buffer) => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), content);
    };
    write(metadata.main_module, script);
    for (const [path, content] of files) write(join('files', path), content);
    const { run_worker_first, _headers } = metadata.assets.config;
    if (_headers !== undefined) write('files/_headers', _headers);
    const of = (type: string) => metadata.bindings.filter((binding) => binding.type === type);
    const config = {
      name,
      main: metadata.main_module,
      compatibility_date: metadata.compatibility_date,
      compatibility_flags: metadata.compatibility_flags,
      exports: metadata.exports,
      durable_objects: {
        bindings: of('durable_object_namespace').map((binding) => ({
          name: binding.name,
          class_name: binding.class_name,
        })),
      },
      ratelimits: of('ratelimit').map((binding) => ({
        name: binding.name,
        namespace_id: binding.namespace_id,
        simple: binding.simple,
      })),
      assets: { directory: 'files', binding: of('assets')[0]?.name, run_worker_first },
    };
    write('wrangler.json', JSON.stringify(config));
    const edge = await startEdge({
      port: 0,
      config: join(folder, 'wrangler.json'),
      variables: { ...secrets, ...variables },
    });
    return {
      ...edge,
      close: async () => {
        await edge.close();
        rmSync(folder, { recursive: true });
      },
    };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { method = '', headers } = request;
    const path = (request.url ?? '').replace(/^\/client\/v4/, '').replace(/\?.*/, '');
    this.calls.push(`${method} ${path}`);
    const form = () =>
      new Response(Buffer.concat(parts), { headers: { 'content-type': headers['content-type'] ?? '' } }).formData();
    const json = () => JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>;
    response.setHeader('content-type', 'application/json');
    try {
      const result = await this.#call(`${method} ${path}`, headers.authorization ?? '', { form, json });
      const page = { page: 1, per_page: 50, count: 1, total_count: 1, total_pages: 1 };
      response.end(JSON.stringify({ success: true, errors: [], messages: [], result, result_info: page }));
    } catch (error) {
      const { status, code } = error instanceof Refusal ? error : { status: 500, code: 10013 };
      response.statusCode = status;
      const errors = [{ code, message: error instanceof Error ? error.message : String(error) }];
      response.end(JSON.stringify({ success: false, errors, messages: [], result: null }));
    }
  }

  async #call(
    call: string,
    authorization: string,
    body: { form(): Promise<FormData>; json(): Record<string, unknown> },
  ): Promise<unknown> {
    if (call === `POST /accounts/${ACCOUNT.id}/workers/assets/upload`)
      return this.#takeFiles(authorization, await body.form());
    if (authorization !== `Bearer ${this.apiToken}`) throw new Refusal(403, 10000, 'Authentication error');
    if (call === 'GET /user') return { id: 'u', email: 'someone@example.com' };
    if (call === 'GET /user/tokens/verify') return { id: 't', status: 'active' };
    if (call === 'GET /accounts') return [ACCOUNT];
    if (call === 'GET /memberships') return [{ id: 'm', account: ACCOUNT, roles: [] }];
    if (call === `GET /accounts/${ACCOUNT.id}/workers/subdomain`) return { subdomain: SUBDOMAIN };
    const own = new RegExp(`^(\\w+) /accounts/${ACCOUNT.id}/workers/(\\w+)/([a-z0-9-]+)(?:/([a-z-]+))?$`).exec(call);
    if (own === null) return this.#refuseUnknown(call);
    const [, method, kind, name = '', part] = own;
    const worker = this.workers.get(name);
    switch (`${method} ${kind}${part === undefined ? '' : `/${part}`}`) {
      case 'POST scripts/assets-upload-session':
        return this.#openUpload(name, body.json().manifest as Upload['manifest']);
      case 'PUT scripts':
        return this.#deploy(name, await body.form());
    }
    if (worker === undefined) {
      throw kind === 'services'
        ? new Refusal(404, 10090, 'workers.api.error.service_not_found')
        : new Refusal(404, 10007, 'This Worker does not exist on your account.');
    }
    switch (`${method} ${kind}${part === undefined ? '' : `/${part}`}`) {
      case 'GET services':
        return {
          id: name,
          default_environment: {
            environment: 'production',
            script: { id: name, tags: [], last_deployed_from: 'wrangler' },
          },
        };
      case 'GET scripts/secrets':
        return Object.keys(worker.secrets).map((secret) => ({ name: secret, type: 'secret_text' }));
      case 'GET scripts/deployments':
        return { deployments: [] };
      case 'GET scripts/settings':
        return { bindings: [], tags: [] };
      case 'GET workers':
        return { id: name, name, subdomain: { enabled: worker.isPublic, previews_enabled: false } };
      case 'POST scripts/subdomain': {
        const { enabled } = body.json();
        worker.isPublic = enabled === true;
        return { enabled, previews_enabled: false };
      }
    }
    return this.#refuseUnknown(call);
  }

  #openUpload(worker: string, manifest: Upload['manifest']): unknown {
    const hashes = [...new Set(Object.values(manifest).map(({ hash }) => hash))];
    const jwt = randomUUID();
    this.#uploads.set(jwt, { worker, manifest, files: new Map() });
    return { jwt, buckets: [hashes] };
  }

  async #takeFiles(authorization: string, form: FormData): Promise<unknown> {
    const upload = this.#uploads.get(authorization.replace('Bearer ', ''));
    if (upload === undefined) throw new Refusal(401, 10000, 'no such upload');
    for (const [hash, value] of form) {
      const text = typeof value === 'string' ? value : await value.text();
      upload.files.set(hash, Buffer.from(text, 'base64'));
    }
    for (const [path, { hash, size }] of Object.entries(upload.manifest)) {
      const length = upload.files.get(hash)?.length;
      if (length !== size) throw new Refusal(400, 10304, `${path} has ${length} bytes in place of ${size}`);
    }
    const jwt = randomUUID();
    this.#complete.set(jwt, upload);
    return { jwt };
  }

  async #deploy(name: string, form: FormData): Promise<unknown> {
    const metadata = JSON.parse(String(form.get('metadata'))) as Metadata;
    const main = form.get(metadata.main_module);
    if (main === null) throw new Refusal(400, 10021, `${metadata.main_module} is missing`);
    const modules = [...form.keys()].filter((key) => key !== 'metadata');
    if (modules.length !== 1) throw new Refusal(400, 10021, `one module was expected, not ${modules.join(', ')}`);
    const upload = this.#complete.get(metadata.assets.jwt);
    if (upload?.worker !== name) throw new Refusal(400, 10021, 'the files are not uploaded');
    const before = this.workers.get(name);
    const kept = metadata.keep_bindings.includes('secret_text') ? before?.secrets : {};
    const given = metadata.bindings.filter(({ type }) => type === 'secret_text');
    this.workers.set(name, {
      metadata,
      script: typeof main === 'string' ? main : await main.text(),
      files: new Map(
        Object.entries(upload.manifest).map(([path, { hash }]) => [path, upload.files.get(hash) ?? Buffer.alloc(0)]),
      ),
      secrets: { ...kept, ...Object.fromEntries(given.map(({ name: secret, text = '' }) => [secret, text])) },
      isPublic: before?.isPublic ?? false,
    });
    return { id: name, etag: 'e', deployment_id: randomUUID().replaceAll('-', ''), startup_time_ms: 5 };
  }

  #refuseUnknown(call: string): never {
    this.unknown.push(call);
    throw new Refusal(404, 7003, `no route for ${call}`);
  }
}
