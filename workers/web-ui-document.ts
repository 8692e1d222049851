/** Documents of a web UI, with the edge's client put into them: a stream in, a stream out. */
import { admitClient } from './web-ui-policy.ts';

export interface Injection {
  host: string;
  /** Path prefixes that stay on plain HTTPS. */
  httpsPaths: readonly string[];
  /** Address of the client's script. */
  script: string;
  nonce: string;
}

/**
 * Puts the client first into the document: into `<head>`, or before whatever script or body comes without one.
 * @throws TypeError for an encoding that HTMLRewriter does not know
 */
export function injectClient(response: Response, injection: Injection): Response {
  const element = scriptElement(injection);
  let done = false;
  const before = {
    element(found: Element) {
      if (!done) found.before(element, { html: true });
      done = true;
    },
  };
  return new HTMLRewriter()
    .on('head', {
      element(found) {
        if (!done) found.prepend(element, { html: true });
        done = true;
      },
    })
    .on('script', before)
    .on('body', before)
    .on('meta[http-equiv][content]', {
      element(found) {
        if (found.getAttribute('http-equiv')?.trim().toLowerCase() !== 'content-security-policy') return;
        const policy = unescaped(found.getAttribute('content') ?? '');
        found.setAttribute('content', admitClient(policy, injection).replaceAll('&', '&amp;'));
      },
    })
    .onDocument({
      end(end) {
        if (!done) end.append(element, { html: true });
      },
    })
    .transform(response);
}

function scriptElement({ host, httpsPaths, script, nonce }: Injection): string {
  const attributes = {
    src: new URL(script).pathname,
    'data-host': host,
    'data-https-paths': JSON.stringify(httpsPaths),
    nonce,
  };
  const written = Object.entries(attributes).map(([name, value]) => `${name}="${escaped(value)}"`);
  return `<script ${written.join(' ')}></script>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
}

/** Of an attribute, which HTMLRewriter tells as it is written: the characters that a policy has use for. */
function unescaped(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: '&', quot: '"', apos: "'", lt: '<', gt: '>' };
  return text.replace(/&(?:#(\d{1,6})|#[xX]([0-9a-fA-F]{1,5})|(amp|quot|apos|lt|gt));/g, (_, decimal, hex, name) =>
    name === undefined
      ? String.fromCodePoint(decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal))
      : (named[name] ?? ''),
  );
}
