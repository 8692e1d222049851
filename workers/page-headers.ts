/** What every page of ours says to browsers. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    // What a model reads aloud.
    "media-src 'self' blob:",
    // With WebSockets of the same origin, in Firefox and Chrome since 2018 and in Safari since 16 (w3c/webappsec-csp#7):
    // older browsers also lack the keys that the relay needs. Any `wss:` would let a script tell everyone everything.
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    // The sanitiser of answers, which parses with it (web/markdown/sanitise.ts). Nobody else makes nodes from text.
    'trusted-types dompurify',
  ].join('; '),
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), display-capture=(), geolocation=(), microphone=(self), payment=(), usb=()',
};
