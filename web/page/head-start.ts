/**
 * The page's first steps towards its host, before the client library is there to take them: asks the edge for a session,
 * offers it a connection, gathers candidates and opens the sockets. The library then finds all of it begun, through the
 * environment that it gets, and does nothing twice.
 *
 * It imports nothing: each module would be a file to wait for. What it knows of the protocol is what the client would
 * do, as the test compares; where it errs, the client begins anew.
 */
import type { ClientEnvironment } from '../client/environment.ts';
import type { PeerConfiguration } from '../client/webrtc.ts';

type Environment = Pick<ClientEnvironment, 'RTCPeerConnection' | 'WebSocket' | 'fetch' | 'newId'>;

/** STUN servers of the last visit: such without credentials, which would end. */
export interface KnownServers {
  get(): RTCIceServer[] | undefined;
  set(servers: RTCIceServer[] | undefined): void;
}

/** What it takes from the browser. */
export interface Platform {
  RTCPeerConnection: new (configuration: RTCConfiguration) => RTCPeerConnection;
  WebSocket: new (url: string, protocols?: string[]) => WebSocket;
  fetch(request: Request): Promise<Response>;
  randomBytes(count: number): Uint8Array;
}

export interface HeadStart {
  /** For the one client that goes on with it. */
  readonly environment: Environment;
  /** Nobody goes on with it. */
  drop(): void;
}

/** What happens to `target` before somebody listens; `replay` makes it happen again for who does. */
class Early {
  readonly #target: EventTarget;
  readonly #types: readonly string[];
  readonly #events: Event[] = [];
  readonly #note = (event: Event) => void this.#events.push(event);

  constructor(target: EventTarget, ...types: string[]) {
    this.#target = target;
    this.#types = types;
    for (const type of types) target.addEventListener(type, this.#note);
  }

  /** Whoever calls it listens before the next microtask. */
  replay(): void {
    for (const type of this.#types) this.#target.removeEventListener(type, this.#note);
    queueMicrotask(() => {
      for (const event of this.#events) {
        const Again = event.constructor as new (type: string, init: Event) => Event;
        this.#target.dispatchEvent(new Again(event.type, event));
      }
    });
  }
}

/** Begins a session with `host` for who is signed in at the edge of this page. */
export function headStart(origin: string, host: string, servers: KnownServers, platform: Platform): HeadStart {
  const newId = () =>
    btoa(String.fromCharCode(...platform.randomBytes(18))).replace(/[+/]/g, (c) => (c === '+' ? '-' : '_'));
  const id = newId();
  const base = `${origin}/_direct/h/${encodeURIComponent(host)}`;
  const socketBase = base.replace(/^http/, 'ws');
  const giveUp = new AbortController();

  const sockets = new Map<string, { socket: WebSocket; early: Early }>();
  const [signalUrl, relayUrl] = [`${socketBase}/signal?session_id=${id}`, `${socketBase}/relay?session_id=${id}`];
  for (const url of [signalUrl, relayUrl]) {
    const socket = new platform.WebSocket(url);
    sockets.set(url, { socket, early: new Early(socket, 'open', 'message', 'error', 'close') });
  }

  const connection = new platform.RTCPeerConnection({ iceTransportPolicy: 'all' });
  const channel = connection.createDataChannel('direct-agent', { negotiated: true, id: 0, ordered: true });
  const candidates = new Early(connection, 'icecandidate');
  const offered = connection.createOffer();
  const post = (path: string, body: unknown) => {
    const headers = { 'Content-Type': 'application/json' };
    // With the page's cookie, though a session's id would do: without it the browser opens another connection.
    const options = { method: 'POST', headers, cache: 'no-store', credentials: 'same-origin' } as const;
    return platform.fetch(
      new Request(`${base}/${path}`, { ...options, body: JSON.stringify(body), signal: giveUp.signal }),
    );
  };
  const asked = offered.then(({ sdp }) => post('session', { offer: sdp, session_id: id }));
  // A copy, made before the client can read the answer; and kept though the servers of before are of no use to gather.
  const named = asked.then(async (response) => {
    const { ice_servers: list } = (await response.clone().json()) as { ice_servers: RTCIceServer[] };
    servers.set(list.every(({ credential }) => credential === undefined) ? list : undefined);
    return list;
  });
  named.catch(() => {});
  // Bound now: the client gets the connection with its own methods.
  const create = connection.createDataChannel.bind(connection);
  const configure = connection.setConfiguration.bind(connection);
  const describe = connection.setLocalDescription.bind(connection);
  const begin = async (iceServers: RTCIceServer[]) => {
    configure({ iceServers, iceTransportPolicy: 'all' });
    await describe(await offered);
  };
  const gather = async () => {
    const known = servers.get();
    if (known !== undefined) await begin(known);
    const list = await named;
    if (known === undefined) await begin(list);
    // Candidates of servers that the edge has added would be missing.
    else if (JSON.stringify(known) !== JSON.stringify(list)) throw new Error('the edge names other ICE servers now');
  };
  const gathered = gather();
  const unsent: object[] = [];
  let isCreated = false;
  /** Tells the agent where this browser is to be seen; the client says it again, and all the rest. */
  const tell = () => {
    const signal = sockets.get(signalUrl)?.socket;
    const isUseful = unsent.some((message) => / typ (srflx|relay) /.test(JSON.stringify(message)));
    if (!isUseful || signal === undefined) return;
    // The socket takes more round trips to open, and a NAT lets in only whom it has sent to.
    if (signal.readyState === 1) signal.send(JSON.stringify(unsent.splice(0)));
    else if (isCreated) post('signal', unsent.splice(0)).catch(() => {});
  };
  sockets.get(signalUrl)?.socket.addEventListener('open', tell);
  connection.addEventListener('icecandidate', ({ candidate }) => {
    if (candidate) unsent.push({ session_id: id, type: 'candidate', candidate: candidate.toJSON() });
    tell();
  });
  asked.then(
    ({ ok }) => {
      isCreated = ok;
      tell();
    },
    () => {},
  );
  // Whoever goes on with it hears of the one by the other.
  gathered.catch(() => {});

  const [ids, connections, channels, responses] = [[id], [connection], [channel], [asked]];
  const begun = {
    createDataChannel: (...its: Parameters<typeof create>) => channels.shift() ?? create(...its),
    createOffer: () => offered,
    setConfiguration: () => {},
    setLocalDescription: () => gathered,
  };
  function Peer(configuration: PeerConfiguration): RTCPeerConnection {
    const first = connections.shift();
    if (first === undefined) return new platform.RTCPeerConnection(configuration);
    candidates.replay();
    return Object.assign(first, begun);
  }
  function Socket(url: string, protocols?: string[]): WebSocket {
    const known = sockets.get(url);
    if (known === undefined) return new platform.WebSocket(url, protocols);
    sockets.delete(url);
    known.early.replay();
    return known.socket;
  }
  const environment = {
    newId: () => ids.shift() ?? newId(),
    fetch: (request: Request) =>
      (request.url === `${base}/session` ? responses.shift() : undefined) ?? platform.fetch(request),
    // Functions may be called with `new`, and then what they return counts.
    RTCPeerConnection: Peer,
    WebSocket: Socket,
  } as unknown as Environment;
  const drop = () => {
    giveUp.abort();
    for (const left of connections.splice(0)) left.close();
    for (const { socket } of sockets.values()) socket.close();
    sockets.clear();
  };
  return { environment, drop };
}
