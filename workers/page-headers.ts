/** The field of the assets by which the build names the script in a document (web/build/head-script.ts). */
export const SCRIPT_FIELD = 'Direct-Script';

/** What every page of ours says to browsers; `script` is the hash of the only script that its document may hold. */
export function pageHeaders(script?: string): Record<string, string> {
  const inDocument = script !== undefined && /^sha256-[A-Za-z0-9+/]{43}=$/.test(script) ? ` '${script}'` : '';
  return {
    'Content-Security-Policy': [
      "default-src 'none'",
      `script-src 'self'${inDocument}`,
      "style-src 'self'",
      "img-src 'self' data:",
      // What a model reads aloud.
      "media-src 'self' blob:",
      // With WebSockets of the same origin, in Firefox and Chrome since 2018 and in Safari since 16 (w3c/webappsec-csp#7):
      // older browsers also lack the keys that the relay needs. Any `wss:` would let a script tell everyone everything.
      "connect-src 'self'",
      "manifest-src 'self'",
      "worker-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
      // The sanitiser of answers, which parses with it (web/markdown/sanitise.ts), and the one address of a worker
      // (web/pwa/register.ts). Nobody else makes nodes from text.
      'trusted-types dompurify direct-agent-worker',
    ].join('; '),
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Permissions-Policy': 'camera=(), display-capture=(), geolocation=(), microphone=(self), payment=(), usb=()',
  };
}
