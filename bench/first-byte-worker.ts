/** The Worker of workers/index.ts with one page more, which measures as soon as it is loaded: see first-byte.ts. */
import worker from '../workers/index.ts';

export * from '../workers/index.ts';

const PAGE_PATH = '/_direct/bench/page';

/**
 * The fragment says what to do: `{"way", "host", "token"}`, the `path` and the `body` of the request, for “plain” the
 * `origin` to ask, and `untilOpen`, to wait for the direct path. `measured` is a promise of what came of it.
 */
const PAGE = `<!doctype html>
<title>first byte</title>
<script type="module">
  import { connect } from '/_direct/client.js';
  const asked = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  const { way, host, token, path, body, origin = '', untilOpen } = asked;
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const request = { method: body === undefined ? 'GET' : 'POST', headers, body };
  const edge = way !== 'relay';
  const client = ['tunnel', 'plain'].includes(way)
    ? undefined
    : connect({ url: location.origin, host, token, webrtc: edge, tunnel: edge });
  if (way === 'tunnel') {
    headers.authorization = 'Bearer ' + token;
    headers['direct-host'] = host;
  }
  async function open() {
    while (!['direct', 'turn'].includes(client.path)) await new Promise((resolve) => client.on('path', resolve));
    return performance.now();
  }
  async function measure() {
    const opening = untilOpen ? open() : undefined;
    if (way === 'client, WebRTC up') await open();
    const called = performance.now();
    const response = await (client ?? globalThis).fetch(origin + path, request);
    const reader = response.body.getReader();
    const { done } = await reader.read();
    const now = performance.now();
    if (done || !response.ok) throw new Error('no answer: ' + response.status);
    void reader.cancel();
    const taken = client?.path ?? way;
    return { sinceCall: now - called, sinceNavigation: now, path: taken, opened: await opening };
  }
  globalThis.measured = measure();
</script>
`;

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== PAGE_PATH) return worker.fetch(request, env, ctx);
    return new Response(PAGE, { headers: { 'content-type': 'text/html; charset=utf-8' } });
  },
} satisfies ExportedHandler<Cloudflare.Env>;
