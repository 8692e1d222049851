/** What a browser shows before the secrets are set. Static text without script or style, and no other page's look. */
import { DirectError, ERRORS } from '../shared/errors.ts';

const page = (reason: string) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>direct-agent: set up this edge</title>
</head>
<body>
<h1>This edge is deployed, and refuses everything until it has its secret</h1>
<p>Reason: ${reason}.</p>
<p>In the folder from which you deployed, make a random token, which the terminal shows you, and set it:</p>
<pre>openssl rand -hex 32 | tee /dev/tty | npx wrangler secret put OWNER_TOKEN</pre>
<p>Keep it where you keep passwords: you sign in with it. Then, on your home machine, run this with the address of this
page:</p>
<pre>npx direct-agent login &lt;this edge’s URL&gt;</pre>
<p>Then load this page again.</p>
<p>On your own machine (<code>npx wrangler dev</code>) copy <code>.dev.vars.example</code> to <code>.dev.vars</code> instead.</p>
</body>
</html>
`;

/** The page for an `E_NOT_CONFIGURED`. @throws whatever else `error` is */
export function setUpPage(error: unknown): Response {
  if (!(error instanceof DirectError)) throw error;
  // Our own words (settings.ts), so there is nothing to escape.
  return new Response(page(error.detail ?? error.entry.message), {
    status: ERRORS.E_NOT_CONFIGURED.http,
    headers: {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cache-Control': 'no-store',
    },
  });
}
