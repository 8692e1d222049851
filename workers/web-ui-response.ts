/** What the edge changes in responses of a web UI. */
import { DIRECT_WEB_UI, isBelow } from '../shared/web-ui.ts';
import { newSecret } from './secret.ts';
import { injectClient } from './web-ui-document.ts';
import { admitClient } from './web-ui-policy.ts';

/** The client as a script for foreign documents. */
const SCRIPT_PATH = '/_direct/ui.js';
const POLICY = 'content-security-policy';
/** What is shown in a page, and not in frames of others only: each of these can have scripts. */
const DOCUMENTS = ['document', 'iframe', 'frame'];
/** Types that no browser runs as a document, as `nosniff` is said of all. */
const NO_DOCUMENT =
  /^(?:text\/(?:css|javascript)|application\/(?:javascript|json|wasm)|(?:audio|video|font)\/.+|image\/(?!svg\b).+)$/;

/** What the runtime undoes before HTMLRewriter sees it, and does again. */
const READABLE = ['identity', 'gzip', 'br'];

export interface WebUiContext {
  /** As it came from the browser. */
  request: Request;
  host: string;
}

/** The response as the browser gets it; its body is not read here. */
export function webUiResponse(response: Response, { request, host }: WebUiContext): Response {
  // A WebSocket has its own header fields already.
  if (response.webSocket !== null) return response;
  const { pathname, origin } = new URL(request.url);
  const headers = new Headers(response.headers);
  const httpsPaths = parseHttpsPaths(headers.get(DIRECT_WEB_UI));
  headers.delete(DIRECT_WEB_UI);
  // The edge's default would make the UI's forms say that they come from nowhere (Fetch, section 3.2).
  if (!headers.has('referrer-policy')) headers.set('referrer-policy', 'same-origin');
  // When the owner switches the UI off, no browser shall have kept a document that runs here, or a way to one.
  const isRedirect = headers.has('location');
  if (isRedirect || !NO_DOCUMENT.test(essence(headers)))
    headers.set('cache-control', revalidated(headers.get('cache-control')));
  // A browser that has the document takes the fields from here (RFC 9111, section 3.2), and the document's are changed.
  if (response.status === 304) headers.delete(POLICY);
  const unchanged = () =>
    new Response(response.body, { status: response.status, statusText: response.statusText, headers });
  if (!takesClient(request, response) || isBelow(pathname, httpsPaths)) return unchanged();
  const admission = { script: origin + SCRIPT_PATH, nonce: newSecret() };
  const changed = new Headers(headers);
  // What is true of the document as the UI sent it.
  for (const name of ['content-length', 'content-md5', 'content-digest', 'accept-ranges']) changed.delete(name);
  const policies = changed.get(POLICY);
  if (policies !== null) changed.set(POLICY, admitClient(policies, admission));
  const { body, status, statusText } = response;
  try {
    return injectClient(new Response(body, { status, statusText, headers: changed }), {
      host,
      httpsPaths,
      ...admission,
    });
  } catch {
    // In an encoding that HTMLRewriter does not know. The document works, by plain HTTPS.
    return unchanged();
  }
}

/** A whole document in a browser: what a script asks for it may show in part, or read. */
function takesClient({ method, headers }: Request, { status, headers: fields, body }: Response): boolean {
  return (
    (method === 'GET' || method === 'POST') &&
    DOCUMENTS.includes(headers.get('sec-fetch-dest') ?? '') &&
    body !== null &&
    status !== 206 &&
    essence(fields) === 'text/html' &&
    !/^\s*attachment/i.test(fields.get('content-disposition') ?? '') &&
    READABLE.includes(fields.get('content-encoding')?.toLowerCase() ?? 'identity')
  );
}

/** The media type without its parameters (RFC 9110, section 8.3.1). */
function essence(headers: Headers): string {
  const [type = ''] = (headers.get('content-type') ?? '').split(';', 1);
  return type.trim().toLowerCase();
}

/** `no-store` is stricter, and `no-transform` is our own (tunnel-exchange.ts). */
function revalidated(cacheControl: string | null): string {
  const known = (cacheControl ?? '').toLowerCase();
  const kept = ['no-store', 'no-transform'].filter((directive) => known.includes(directive));
  return ['no-cache', ...kept].join(', ');
}

/** What the host says; of anything else than a list of paths nothing counts. */
function parseHttpsPaths(json: string | null): string[] {
  try {
    const { https_paths: paths } = JSON.parse(json ?? '{}') as { https_paths?: unknown };
    return Array.isArray(paths) ? paths.filter((path) => typeof path === 'string' && path.startsWith('/')) : [];
  } catch {
    return [];
  }
}
