/**
 * A log of the connection's life for people, switched on by the page's address or by the program. It shows methods,
 * paths, sizes and times. It never shows header values, query strings or bodies: those hold secrets and prompts.
 */

export type LogLine = (line: string) => void;

export interface Diagnostics {
  readonly enabled: boolean;
  /** Writes one line with the milliseconds since `connect`. */
  log(event: string): void;
}

/** The page's global switch, which may also be set later from the developer tools. */
function switchedOn(): boolean {
  return (globalThis as { __WEBRTC_DIAGNOSTICS__?: unknown }).__WEBRTC_DIAGNOSTICS__ === true;
}

/** `setting` true or a function to write with: on. Undefined: as the page's global switch says. */
export function createDiagnostics(now: () => number, setting: boolean | LogLine | undefined): Diagnostics {
  const start = now();
  const write: LogLine = typeof setting === 'function' ? setting : (line) => console.log(line);
  const enabled = () => (setting === undefined ? switchedOn() : setting !== false);
  return {
    get enabled() {
      return enabled();
    },
    log(event) {
      if (enabled()) write(`[webrtc] +${Math.round(now() - start)}ms ${event}`);
    },
  };
}

/** A URL as the log may show it. */
export function loggedPath(url: string | URL): string {
  return new URL(url).pathname;
}

/** What the page's address asks for. */
export interface AddressFlags {
  /** `?webrtc_diag=1` */
  diagnostics?: true;
  /** `?webrtc_turn=1`: TURN only, to test it. */
  iceTransportPolicy?: 'relay';
  /** `?no_webrtc`: no direct path, only the relay and HTTPS. */
  webrtc?: false;
}

/** Reads the flags from the query of `href`; none where there is no address. */
export function addressFlags(href: string | undefined): AddressFlags {
  if (href === undefined || !URL.canParse(href)) return {};
  const query = new URL(href).searchParams;
  const on = (name: string) => query.has(name) && query.get(name) !== '0';
  return {
    ...(on('webrtc_diag') ? { diagnostics: true } : {}),
    ...(on('webrtc_turn') ? { iceTransportPolicy: 'relay' } : {}),
    ...(on('no_webrtc') ? { webrtc: false } : {}),
  };
}
