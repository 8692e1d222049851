/** The Worker of workers/index.ts with one page more, which measures as soon as it is loaded: see first-byte.ts. */
import worker from '../workers/index.ts';

export * from '../workers/index.ts';

const PAGE_PATH = '/_direct/bench/page';

/** The fragment says what to do: `{"way", "host", "token", "body"}`, and `measured` is a promise of what came of it. */
const PAGE = `<!doctype html>
<title>first byte</title>
<script type="module">
  import { connect } from '/_direct/client.js';
  const { way, host, token, body } = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
  const client = way === 'tunnel' ? undefined : connect({ url: location.origin, host, token });
  if (client === undefined) {
    request.headers.authorization = 'Bearer ' + token;
    request.headers['direct-host'] = host;
  }
  async function measure() {
    if (way === 'client, WebRTC up') {
      while (!['direct', 'turn'].includes(client.path)) await new Promise((resolve) => client.on('path', resolve));
    }
    const called = performance.now();
    const response = await (client ?? globalThis).fetch('/v1/chat/completions', request);
    const reader = response.body.getReader();
    const { done } = await reader.read();
    const now = performance.now();
    if (done || !response.ok) throw new Error('no answer: ' + response.status);
    void reader.cancel();
    return { sinceCall: now - called, sinceNavigation: now, path: client?.path ?? 'tunnel' };
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
