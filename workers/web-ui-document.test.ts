import { describe, expect, it } from 'vitest';
import { injectClient } from './web-ui-document.ts';
import { webUiResponse } from './web-ui-response.ts';

const SCRIPT = 'https://edge.example/_direct/ui.js';
const CLIENT = '<script src="/_direct/ui.js" data-host="home" data-https-paths="[]" nonce="N"></script>';

const inject = (html: string, type = 'text/html') =>
  injectClient(new Response(html, { headers: { 'content-type': type } }), {
    host: 'home',
    httpsPaths: [],
    script: SCRIPT,
    nonce: 'N',
  });

describe('the client', () => {
  it.each([
    ['<!doctype html><html><head><script>1</script></head><body></body></html>', '<!doctype html><html><head>'],
    ['<html><HEAD lang="en"><title>x</title></HEAD></html>', '<html><HEAD lang="en">'],
    // Without a head: before what could run.
    ['<!doctype html><title>x</title><script>1</script><script>2</script>', '<!doctype html><title>x</title>'],
    ['<!doctype html><title>x</title><body><script>1</script></body>', '<!doctype html><title>x</title>'],
    ['<html><body onload="x()">', '<html>'],
    // Nothing of the kind: at the end.
    ['<p>hello', '<p>hello'],
    ['', ''],
    // Not what only looks like it.
    ['<!-- <head> --><head></head>', '<!-- <head> --><head>'],
    ['<script>"<head>"</script>', ''],
    ['<header>x</header><head></head>', '<header>x</header><head>'],
  ])('stands once in %s', async (html, before) => {
    expect(await inject(html).text()).toBe(before + CLIENT + html.slice(before.length));
  });

  it('is told the host and its paths, which end no attribute', async () => {
    const injection = { host: 'home', httpsPaths: ['/a"b', '/<&>'], script: SCRIPT, nonce: 'N' };
    const html = await injectClient(new Response('<head>'), injection).text();
    expect(html).toContain('data-https-paths="[&quot;/a\\&quot;b&quot;,&quot;/&lt;&amp;>&quot;]"');
  });

  it('is in the document before the document has ended', async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const response = injectClient(new Response(readable, { headers: { 'content-type': 'text/html' } }), {
      host: 'home',
      httpsPaths: [],
      script: SCRIPT,
      nonce: 'N',
    });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    void writer.write(new TextEncoder().encode('<html><head><title>x</title>'));
    let text = '';
    while (!text.includes('</title>')) text += new TextDecoder().decode((await reader.read()).value);
    expect(text).toContain(CLIENT);
    await writer.close();
    while (!(await reader.read()).done);
  });
});

describe('a policy in the document', () => {
  it.each([
    [
      `<meta http-equiv="Content-Security-Policy" content="script-src 'self'">`,
      `content="script-src 'self' ${SCRIPT}"`,
    ],
    // As frameworks write it.
    [
      '<meta content="default-src &#39;none&#39;; img-src a?b&amp;c" http-equiv=content-security-policy>',
      `content="default-src 'none'; img-src a?b&amp;c; script-src-elem ${SCRIPT}; connect-src 'self'"`,
    ],
    [
      `<meta http-equiv="content-security-policy" content="script-src &#x27;none&apos;">`,
      `content="script-src ${SCRIPT}"`,
    ],
    [`<meta http-equiv="refresh" content="script-src 'self'">`, `content="script-src 'self'"`],
    [`<meta name="x" content="script-src 'self'">`, `content="script-src 'self'"`],
  ])('%s', async (meta, expected) => {
    expect(await inject(`<head>${meta}</head>`).text()).toContain(expected);
  });
});

describe('a response', () => {
  const NAVIGATION = { 'Sec-Fetch-Dest': 'document' };
  const HTML = '<!doctype html><head></head>';
  interface Case {
    path?: string;
    method?: string;
    asked?: Record<string, string>;
    status?: number;
    fields?: Record<string, string>;
    body?: BodyInit | null;
  }
  const respond = ({ path = '/', method = 'GET', asked = NAVIGATION, status = 200, fields, body = HTML }: Case) =>
    webUiResponse(
      new Response(body, { status, headers: { 'content-type': 'text/html', 'direct-web-ui': '{}', ...fields } }),
      { request: new Request(`https://edge.example${path}`, { method, headers: asked }), host: 'home' },
    );
  const hasClient = async (given: Case) => (await respond(given).text()).includes('/_direct/ui.js');

  it.each<[string, Case]>([
    ['a document', {}],
    ['one in a frame', { asked: { 'Sec-Fetch-Dest': 'iframe' } }],
    ['one that a form asked for', { method: 'POST' }],
    ['one with an encoding', { fields: { 'content-type': 'Text/HTML; charset=ISO-8859-1' } }],
    ['an error', { status: 404 }],
    [
      'one beside an exempt path',
      { path: '/rawish', fields: { 'direct-web-ui': '{"https_paths":["/raw","nothing",7]}' } },
    ],
    ['one whose host says nonsense', { fields: { 'direct-web-ui': '{"https_paths":"/"}' } }],
    ['one whose host says less', { fields: { 'direct-web-ui': 'no JSON' } }],
  ])('gets the client: %s', async (_name, given) => {
    expect(await hasClient(given)).toBe(true);
    expect(respond(given).headers.get('direct-web-ui')).toBeNull();
  });

  it.each<[string, Case]>([
    ['what a script reads', { asked: { 'Sec-Fetch-Dest': 'empty' } }],
    ['what somebody reads who says nothing', { asked: {} }],
    ['another type', { fields: { 'content-type': 'application/xhtml+xml' } }],
    ['a download', { fields: { 'content-disposition': ' Attachment; filename=a.html' } }],
    ['a part', { status: 206, fields: { 'content-range': 'bytes 0-1/2' } }],
    ['a coding that the runtime does not know', { fields: { 'content-encoding': 'zstd' } }],
    ['an encoding that HTMLRewriter does not know', { fields: { 'content-type': 'text/html; charset=utf-16' } }],
    ['an exempt path', { path: '/raw', fields: { 'direct-web-ui': '{"https_paths":["/raw"]}' } }],
    ['one below it', { path: '/raw/x', fields: { 'direct-web-ui': '{"https_paths":["/raw/"]}' } }],
    ['all paths', { path: '/x', fields: { 'direct-web-ui': '{"https_paths":["/"]}' } }],
  ])('is left as it is: %s', async (_name, given) => {
    const policy = "script-src 'none'";
    const fields = {
      ...given.fields,
      'content-security-policy': policy,
      'content-length': String(HTML.length),
      etag: '"1"',
    };
    const response = respond({ ...given, fields });
    expect(response.headers.get('content-security-policy')).toBe(policy);
    expect(response.headers.get('content-length')).toBe(String(HTML.length));
    expect(response.headers.get('direct-web-ui')).toBeNull();
    if (given.fields?.['content-encoding'] === undefined) expect(await response.text()).toBe(HTML);
    else await response.body?.cancel();
  });

  it('to HEAD, and one without a body, says what the UI says', () => {
    for (const given of [
      { method: 'HEAD', body: null },
      { status: 204, body: null },
    ]) {
      const response = respond({
        ...given,
        fields: { 'content-security-policy': "script-src 'none'", 'content-length': '7' },
      });
      expect(response.headers.get('content-security-policy')).toBe("script-src 'none'");
      expect(response.headers.get('content-length')).toBe('7');
    }
  });

  it('to a browser that has the document leaves it its policy', () => {
    const response = respond({
      status: 304,
      body: null,
      fields: { 'content-security-policy': "script-src 'self'", etag: '"1"' },
    });
    expect([response.status, response.headers.has('content-security-policy')]).toEqual([304, false]);
    expect(response.headers.get('etag')).toBe('"1"');
  });

  it('loses what is not true of it any more, and keeps the rest', () => {
    const fields = { 'content-length': '28', 'accept-ranges': 'bytes', etag: 'W/"1"', 'set-cookie': 'a=1' };
    const { headers } = respond({ fields });
    expect([headers.get('content-length'), headers.get('accept-ranges')]).toEqual([null, null]);
    expect([headers.get('etag'), headers.get('set-cookie')]).toEqual(['W/"1"', 'a=1']);
  });

  it('has the UI’s policies, with the client admitted to each, and those that only report as they were', async () => {
    const response = respond({
      fields: {
        'content-security-policy': "script-src 'nonce-a' 'strict-dynamic', connect-src 'none'",
        'content-security-policy-report-only': "script-src 'none'",
      },
    });
    const policy = response.headers.get('content-security-policy') ?? '';
    const nonce = /nonce="([\w-]{43})"/.exec(await response.text())?.[1];
    expect(policy).toBe(`script-src 'nonce-a' 'strict-dynamic' 'nonce-${nonce}',connect-src 'self'`);
    expect(response.headers.get('content-security-policy-report-only')).toBe("script-src 'none'");
    expect(respond({}).headers.has('content-security-policy')).toBe(false);
  });

  it('in gzip is changed, and is in gzip still', async () => {
    const zipped = new Response(new Response(HTML).body?.pipeThrough(new CompressionStream('gzip')));
    const upstream = new Response(await zipped.arrayBuffer(), {
      headers: { 'content-type': 'text/html', 'content-encoding': 'gzip' },
      encodeBody: 'manual',
    });
    const request = new Request('https://edge.example/', { headers: NAVIGATION });
    const response = webUiResponse(upstream, { request, host: 'home' });
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(await response.text()).toContain('/_direct/ui.js');
  });

  it.each([
    ['text/html', 'public, max-age=31536000, immutable', 'no-cache'],
    ['image/svg+xml', 'max-age=5', 'no-cache'],
    ['application/xml', null, 'no-cache'],
    ['', 'No-Store', 'no-cache, no-store'],
    ['text/html', 'max-age=5, no-transform', 'no-cache, no-transform'],
    ['text/javascript; charset=utf-8', 'max-age=5', 'max-age=5'],
    ['image/png', 'immutable', 'immutable'],
    ['font/woff2', null, null],
  ])(
    'of type “%s” that may be kept by “%s” says “%s”: no document stays when the UI is switched off',
    (type, said, says) => {
      const fields: Record<string, string> = {
        'content-type': type,
        ...(said === null ? {} : { 'cache-control': said }),
      };
      expect(respond({ fields }).headers.get('cache-control')).toBe(says);
    },
  );

  it('that leads elsewhere is asked for again, whatever its type', () => {
    const fields = { location: '/ui/', 'content-type': 'image/png', 'cache-control': 'max-age=31536000' };
    expect(respond({ status: 301, fields, body: null }).headers.get('cache-control')).toBe('no-cache');
  });

  it('says where its forms come from, unless the UI says itself what to say', () => {
    expect(respond({}).headers.get('referrer-policy')).toBe('same-origin');
    expect(respond({ fields: { 'referrer-policy': 'origin' } }).headers.get('referrer-policy')).toBe('origin');
  });
});
