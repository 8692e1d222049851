/** What `connect` says: to people on stderr, to programs on stdout. */
import type { DirectError } from '../../shared/errors.ts';
import { plain } from '../command-error.ts';
import type { Context } from '../commands/context.ts';
import { type HostState, hintOf } from './host-connection.ts';

export interface Listening {
  /** Of the hosts behind it. */
  names: readonly string[];
  /** `http://127.0.0.1:11434` */
  url: string;
}

/** As the client says it (web/client/signaling.ts). What it calls the tunnel then is the way that is left to try. */
const EDGE_UNREACHABLE = 'the edge cannot be reached';

export class ConnectDisplay {
  readonly #out: (line: string) => void;
  readonly #err: (line: string) => void;
  readonly #json: boolean;

  constructor({ out, err }: Pick<Context, 'out' | 'err'>, json: boolean) {
    this.#out = out;
    this.#err = err;
    this.#json = json;
  }

  listening({ names, url }: Listening): void {
    if (this.#json) {
      this.#event({ event: 'listening', names, url });
      return;
    }
    this.#err(`${names.join(' and ')}: set programs to one of these`);
    this.#err(`  OPENAI_BASE_URL=${url}/v1   (any OPENAI_API_KEY)`);
    this.#err(`  OLLAMA_HOST=${url}`);
    this.#out(url);
  }

  state(name: string, { path, rtt, error }: HostState): void {
    const ms = rtt === undefined ? null : Math.max(1, Math.round(rtt));
    if (this.#json) {
      const code = path === 'direct' ? undefined : error?.code;
      this.#event({ event: 'path', name, path, rtt_ms: ms, ...(code !== undefined && { code }) });
      return;
    }
    if (path === 'tunnel' && error?.detail === EDGE_UNREACHABLE) {
      this.#err(`${name}: the edge cannot be reached. It is tried again by itself.`);
      return;
    }
    const measured = ms === null ? '' : `, ${ms} ms`;
    if (path === 'tunnel') this.#err(`${name}: tunnel, plain HTTPS that the edge could read${reason(error)}`);
    else if (path !== 'offline') this.#err(`${name}: ${path}${measured}`);
    else {
      this.#err(`${name}: offline${reason(error)}`);
      if (error !== undefined) this.#err(`  ${hintOf(error, name)} It is tried again by itself.`);
    }
  }

  refused(name: string, error: DirectError): void {
    if (this.#json) this.#event({ event: 'refused', name, code: error.code, message: error.message });
    for (const line of refusal(name, error)) this.#err(line);
  }

  /** What a person should know, and no program needs. */
  note(line: string): void {
    this.#err(line);
  }

  #event(event: object): void {
    this.#out(JSON.stringify(event));
  }
}

function reason(error: DirectError | undefined): string {
  return error === undefined ? '' : `. ${plain(error.message)}`;
}

/** Why a host is given up, and what to do. */
export function refusal(name: string, error: DirectError): string[] {
  if (error.code !== 'E_HOST_KEY_CHANGED' && error.code !== 'E_HOST_KEY') {
    return [`${name}: ${plain(error.message)} (${error.code})`, `  ${hintOf(error, name)}`];
  }
  const what =
    error.code === 'E_HOST_KEY_CHANGED'
      ? `“${name}” does not have the key that this machine knows.`
      : `“${name}” could not prove its key (${plain(error.detail ?? 'its signature is wrong')}).`;
  return [
    `WARNING: ${what} (${error.code})`,
    'Somebody may be answering in its place: the edge, or whoever controls it. Nothing was sent to it.',
    'If you have set the host up anew, give its new link, from direct-agent status on the home machine, to',
    'direct-agent connect. If you have not, do not go on.',
  ];
}
