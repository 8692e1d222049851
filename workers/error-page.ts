/**
 * Errors of ours where a person wanted to see what a host serves: the machine at home is off, or nobody is signed in any
 * more. Static text without script or style, with the ways that there are.
 */
import { isErrorCode } from '../shared/errors.ts';

/** Ours are under 1 kB. */
const MAX_ERROR_BYTES = 4096;

/** The error as a page, if it is one and a tab asked; else the response as it is. */
export async function withErrorPage(response: Response, { request, links }: { request: Request; links: boolean }) {
  const { body, headers } = response;
  const isTab = request.method === 'GET' && request.headers.get('sec-fetch-dest') === 'document';
  if (!isTab || response.status < 400 || body === null || headers.get('content-type') !== 'application/json') {
    return response;
  }
  const [copy, whole] = body.tee();
  const error = parseError(await beginningOf(copy));
  if (error === undefined) return new Response(whole, response);
  await whole.cancel();
  const page = new Response(pageOf(error, links), response);
  page.headers.delete('content-length');
  page.headers.set('content-type', 'text/html; charset=utf-8');
  page.headers.set('content-security-policy', "default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
  page.headers.set('cache-control', 'no-store');
  return page;
}

interface ShownError {
  message: string;
  hint: string;
}

/** In either form of `errorBody`. */
function parseError(text: string): ShownError | undefined {
  try {
    const body = JSON.parse(text) as { error?: unknown };
    const inner = typeof body.error === 'object' ? body.error : { ...body, message: body.error };
    const { code, message, hint } = inner as Partial<Record<string, unknown>>;
    return isErrorCode(code) && typeof message === 'string' && typeof hint === 'string' ? { message, hint } : undefined;
  } catch {
    return undefined;
  }
}

async function beginningOf(body: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_ERROR_BYTES) break;
  }
  return text;
}

function pageOf({ message, hint }: ShownError, links: boolean): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>direct-agent: this address cannot be shown</title>
</head>
<body>
<h1>This address cannot be shown</h1>
<p>${escaped(message)}</p>
<p>${escaped(hint)}</p>
<p><a href="">Try again</a>${links ? ', <a href="/_direct/chat">open the chat</a>, or <a href="/_direct/">go to the dashboard</a>' : ''}.</p>
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
