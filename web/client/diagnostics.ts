/**
 * The connection's life for people: kept for the client's report, and as a log that is switched on by the page's address
 * or by the program. It shows methods, paths, sizes and times. It never shows header values, query strings or bodies:
 * those hold secrets and prompts.
 */
import type { ClientPath } from './connector.ts';
import { type Fact, type Kept, Memory } from './report.ts';

export type LogLine = (line: string) => void;

export interface Diagnostics {
  readonly enabled: boolean;
  /** Keeps an event, and writes it as one line with the milliseconds since `connect`. */
  log(event: string, fact?: Fact): void;
  /** A request begins; `remark` follows its name in the log. */
  request(method: string, url: string | URL, way: ClientPath, remark: string): RequestLog;
  /** Milliseconds since `connect`. */
  readonly elapsed: number;
  /** A copy of what is remembered. */
  readonly kept: Kept;
}

/** What becomes of a request. */
export interface RequestLog {
  /** The head of the response is here, by this way. */
  head(status: number, way: ClientPath): void;
  /** The response has ended; `bytes` undefined: nobody counts them. */
  end(bytes: number | undefined, failed: boolean): void;
}

/** The page's global switch, which may also be set later from the developer tools. */
function switchedOn(): boolean {
  return (globalThis as { __WEBRTC_DIAGNOSTICS__?: unknown }).__WEBRTC_DIAGNOSTICS__ === true;
}

/**
 * `setting` true or a function to write with: the log is on. Undefined: as the page's global switch says. `changed` is
 * called when there is more to report.
 */
export function createDiagnostics(
  now: () => number,
  setting: boolean | LogLine | undefined,
  changed: () => void = () => {},
): Diagnostics {
  const start = now();
  const memory = new Memory();
  const write: LogLine = typeof setting === 'function' ? setting : (line) => console.log(line);
  const enabled = () => (setting === undefined ? switchedOn() : setting !== false);
  const elapsed = () => now() - start;
  const line = (text: string) => {
    if (enabled()) write(`[webrtc] +${Math.round(elapsed())}ms ${text}`);
    changed();
  };
  return {
    get enabled() {
      return enabled();
    },
    get elapsed() {
      return elapsed();
    },
    get kept() {
      return memory.kept;
    },
    log(event, fact) {
      memory.event(elapsed(), event, fact);
      line(event);
    },
    request(method, url, way, remark) {
      const path = loggedPath(url);
      const record = memory.request({ at: elapsed(), method, path, way });
      const ms = () => elapsed() - record.at;
      line(`→ ${method} ${path} ${remark}`);
      return {
        head(status, way) {
          Object.assign(record, { status, way, firstByteMs: ms() });
          changed();
        },
        end(bytes, failed) {
          Object.assign(record, bytes === undefined ? {} : { bytes, durationMs: ms() }, failed ? { failed } : {});
          const { status = 'failed' } = record;
          const size = bytes === undefined ? '' : ` ${bytes}b${failed ? ' incomplete' : ''}`;
          const how = record.way === 'tunnel' ? ' over HTTPS' : '';
          line(`← ${status}${size} ${method} ${path}${how}, ${Math.round(ms())}ms`);
        },
      };
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
