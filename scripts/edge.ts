/** Runs the edge in workerd on this machine: the Worker that `wrangler deploy` ships, with its wrangler.toml. */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { unstable_getMiniflareWorkerOptions } from 'wrangler';
import { freePort } from './free-port.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

export interface LocalEdgeOptions {
  /** 0: any free port. */
  port: number;
  host?: string;
  /** A wrangler configuration in place of this repository's. */
  config?: string;
  /** Another entry module, around the Worker's own: the benchmarks count there. */
  main?: string;
  /** Besides those of wrangler.toml. */
  compatibilityFlags?: readonly string[];
  /** For tests that look at the memory of workerd. */
  inspected?: boolean;
  /** A folder for what the objects store, from one start to the next; a new one each time otherwise. */
  storage?: string;
  /** In PEM: HTTPS in place of HTTP. */
  tls?: { key: string; certificate: string };
  /** Variables and secrets, as `wrangler secret put` would set them. */
  variables: Record<string, string>;
}

export interface LocalEdge {
  /** Origin without a slash at the end, on loopback whatever the host. */
  url: string;
  /** At `host`. */
  port: number;
  /** Where Chrome's protocol is spoken, for each isolate, if they are `inspected`. */
  inspectorUrls: readonly string[];
  close(): Promise<void>;
}

/** @throws Error when the port is taken or workerd does not start. */
export async function startEdge(options: LocalEdgeOptions): Promise<LocalEdge> {
  const { host = '127.0.0.1', variables, config = `${root}wrangler.toml` } = options;
  const { workerOptions, main: ownMain } = unstable_getMiniflareWorkerOptions(config);
  const main = options.main ?? ownMain;
  if (main === undefined) throw new Error(`${config} has no main`);
  const bundle = await build({
    entryPoints: [main],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*', 'node:*'],
  });
  const script = bundle.outputFiles[0]?.text;
  if (script === undefined) throw new Error('esbuild made no file');
  // Miniflare takes any port for 0 as well, but then tells it only if the host is loopback.
  const port = options.port === 0 ? await freePort(0, host) : options.port;
  const edge = new Miniflare({
    // wrangler 4 still speaks of Miniflare 4's options.
    ...convertV4MiniflareOptions({
      ...workerOptions,
      compatibilityFlags: [
        ...((workerOptions.compatibilityFlags as string[] | undefined) ?? []),
        ...(options.compatibilityFlags ?? []),
      ],
      host,
      port,
      ...(options.tls === undefined
        ? {}
        : { https: true, httpsKey: options.tls.key, httpsCert: options.tls.certificate }),
      ...(options.inspected === true ? { inspectorPort: 0 } : {}),
      modules: [{ type: 'ESModule', path: 'index.mjs', contents: script }],
      modulesRoot: dirname(config),
      bindings: { ...(workerOptions.bindings as Record<string, string> | undefined), ...variables },
      // Nothing is fetched from Cloudflare.
      cf: false,
    }),
    ...(options.storage === undefined ? {} : { resourcePersistencePath: options.storage }),
  });
  const { origin } = await edge.ready;
  const inspectorUrls = options.inspected === true ? await inspectorsOf(await edge.getInspectorURL()) : [];
  return { url: origin, port, inspectorUrls, close: () => edge.dispose() };
}

/** The WebSockets of the Worker's isolate, and of Miniflare's own in front of it, through which all that passes goes. */
async function inspectorsOf({ href }: URL): Promise<string[]> {
  const response = await fetch(new URL('/json', href.replace(/^ws/, 'http')));
  const targets = (await response.json()) as { webSocketDebuggerUrl: string }[];
  const urls = targets.map(({ webSocketDebuggerUrl }) => webSocketDebuggerUrl);
  return urls.filter((url) => /\/core:(user:|entry)$/.test(url));
}
