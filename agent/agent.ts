/** Puts the agent together: link to the edge, WebRTC connections, proxy to the local servers. */
import type { DirectError } from '../shared/errors.ts';
import { generateHostKeys, type HostKeys, hostKeyBytes } from '../shared/host-identity.ts';
import { hostInfoMessage } from '../shared/host-info.ts';
import { hostReportMessage } from '../shared/host-report.ts';
import { RelayKeys } from '../shared/relay-keys.ts';
import { sealedAgentPath } from '../shared/sealed-path.ts';
import { type AcceptOptions, Sessions } from '../shared/sessions.ts';
import { signAnswer } from '../shared/signed-answer.ts';
import type { AgentReport } from './agent-report.ts';
import { Channels } from './channels.ts';
import type { Config } from './config.ts';
import { Connections } from './connections.ts';
import { Devices } from './devices.ts';
import type { LocalServer } from './discovery.ts';
import { Door } from './door.ts';
import { collectWhenIdle } from './idle-memory.ts';
import { Link, type LinkOptions, type Transport } from './link.ts';
import { type Log, shownId } from './log.ts';
import { Meter, type MeteredPath } from './meter.ts';
import { upstreamLabel } from './metrics.ts';
import { PairingDesk } from './pairing.ts';
import { createPortMapper } from './port-mapping.ts';
import { UpstreamProxy } from './proxy.ts';
import { hostReportOf, measure, reportOf } from './reporting.ts';
import { nodeEnvironment } from './runtime.ts';
import { Upstreams } from './upstreams.ts';
import { WebRtc, type WebRtcOptions } from './webrtc.ts';

export interface AgentOptions {
  config: Config;
  servers: readonly LocalServer[];
  /** Looks for local servers again. */
  search(): Promise<readonly LocalServer[]>;
  /** Base URLs at which servers may start, which are then served as well. */
  candidates?: readonly string[];
  /** Who the host is. Without them it is somebody new each time, whom no client that has pinned a key believes. */
  hostKeys?: HostKeys;
  /** Where devices.json and pairing.json are; it need not exist. */
  folder: string;
  log: Log;
  /** This machine's network; the system's unless told otherwise. */
  interfaces?: WebRtcOptions['interfaces'];
  /** Tests shorten the link's times. */
  linkTiming?: LinkOptions['timing'];
  /** Gives back memory while nobody uses the agent. */
  collect?(): void;
  /** The link came up; called for each time. */
  up?(transport: Transport): void;
  /** The agent cannot go on without a person; it has stopped, and this says why. */
  refused(error: DirectError): void;
}

export interface RunningAgent {
  /** Connections in use. */
  readonly connections: number;
  /** What is counted; it goes on to change. */
  readonly meter: Meter;
  /** How it is now. */
  report(): AgentReport;
  /** Asks the clients for round-trip times that are not known, where that costs nothing; true if it did. */
  measure(): boolean;
  close(): Promise<void>;
}

/** Who looks every second need not ask the clients each time. */
const MEASURE_MS = 5_000;
/** Time for the messages that say goodbye. */
const GOODBYE_MS = 300;

/** Starts the agent; it stays connected until `close`. */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { config, log } = options;
  const { network } = config;
  const portMapper = network.portMapping ? createPortMapper({ log: (line) => log('info', line) }) : undefined;
  const webRtc = await WebRtc.open(network, {
    log: (line) => log('warn', line),
    ...(options.interfaces === undefined ? {} : { interfaces: options.interfaces }),
    ...(portMapper === undefined ? {} : { portMapper }),
  });
  log('info', `webrtc: direct connections by ${webRtc.choice.name}: ${webRtc.choice.why}`);
  const meter = new Meter();
  // Its cookie jars know all of the internet's public suffixes: nothing to load where there is no web UI.
  const webUi =
    config.webUi && new (await import('./web-ui.ts')).WebUi({ ...config.webUi, log: (line) => log('warn', line) });
  const upstreams = new Upstreams({
    servers: options.servers,
    configured: config.upstreams,
    names: config.upstreamNames,
    candidates: options.candidates ?? [],
    headers: config.upstreamHeaders,
    search: options.search,
    changed: () => link.inform(),
    log,
  });
  const { concurrentRequests: capacity } = config;
  const proxy = new UpstreamProxy({
    upstreams,
    policy: { ...config, rules: config.policy },
    capacityOf: (name) => (typeof capacity === 'object' ? capacity[name] : capacity),
    queue: config.queue,
    webUi,
    maxBodyBytes: config.maxBodyBytes,
    log: (line, fields) => log('debug', `proxy: ${line}`, fields),
  });
  const hostKeys = options.hostKeys ?? (await generateHostKeys());
  const relayKeys = await RelayKeys.create({
    hostKeys,
    environment: nodeEnvironment,
    wallClock: () => Date.now(),
    rotated: (next) => {
      announcement = next;
      link.announce();
    },
  });
  let announcement = await relayKeys.announcement();
  const devices = new Devices({
    folder: options.folder,
    now: () => Date.now(),
    log,
    // In a later turn: a path that was admitted in this one has its session by then.
    removed: (key) => void setImmediate(() => sessions.closeOf(key, 'E_DEVICE_UNKNOWN')),
    changed: () => link.inform(),
  });
  const door = new Door({
    ...config,
    hostKey: await hostKeyBytes(hostKeys),
    devices,
    pairing: new PairingDesk({
      folder: options.folder,
      wallClock: () => Date.now(),
      now: () => performance.now(),
      devices,
    }),
  });
  const sessions = new Sessions({
    environment: nodeEnvironment,
    admit: (path, device) => door.admit(path, device),
    neverBegan: (preface) => relayKeys.neverBegan(preface),
    stream: (stream, grant, session) => void proxy.serve(stream, grant, meter.request(session)),
  });
  const connections = new Connections({
    maxConnections: config.maxConns,
    prepare: () => webRtc.load(),
    makePeer: (offer, events) => webRtc.peer(offer.ice_servers ?? [], events),
    sessions,
    sign: (answered) => signAnswer(hostKeys, { ...answered, hostId: config.hostId }),
    send: (signal) => link.send(signal),
    log: (line, fields) => log('info', line, fields),
    opened: (path, ms) => meter.opened(path, ms),
    failed: (code) => meter.failed('connection', code),
  });
  const channels = new Channels({
    accept: (path, { session_id: sessionId, relay, grant, from }) => {
      const askedAt = meter.clock.now();
      let isOpen = false;
      const opened = (kind: MeteredPath) => () => {
        isOpen = true;
        meter.opened(kind, meter.clock.now() - askedAt);
      };
      const ended = (error: DirectError) => {
        if (!isOpen && !isOrdinary(error)) meter.failed('connection', error.code);
        if (!isOrdinary(error)) {
          const fields = { code: error.code, session: shownId(sessionId) };
          log('info', `channel: closed for ${error.code}: ${error.message}`, fields);
        }
      };
      // Where the client's end is not the edge itself, the edge must not read what passes.
      if (!relay) {
        sessions.accept(path, { sessionId, kind: 'relay', grant: 'in-heads' }, { opened: opened('tunnel'), ended });
        return;
      }
      const sealed = sealedAgentPath(path, relayKeys, sessionId);
      const options: AcceptOptions = { sessionId, kind: 'relay', binding: () => sealed.binding, grant, from };
      const toldOpened = opened('relay');
      const began = () => {
        toldOpened();
        if (sealed.preface !== undefined) relayKeys.began(sealed.preface);
      };
      sessions.accept(sealed, options, { opened: began, ended });
    },
    log: (line) => log('info', line),
    environment: nodeEnvironment,
  });
  const sayGoodbye = () => {
    sessions.close('E_GOING_AWAY');
    // Those that belong to no session yet.
    connections.close('E_GOING_AWAY');
  };
  const link = new Link({
    url: config.signalingUrl,
    token: config.token,
    channels,
    announcement: () => announcement,
    info: () =>
      hostInfoMessage({
        serves: upstreams.servers,
        ...(config.webUi === undefined ? {} : { web_ui: true }),
        access: config.access,
        devices: devices.all,
      }),
    report: () => hostReportMessage(hostReportOf(report())),
    forgetDevice: (id) => {
      log('info', `devices: the owner removes ${id}`);
      devices.remove(id).catch((error: unknown) => log('error', `devices: ${id} is not removed: ${error}`));
    },
    ...(options.linkTiming === undefined ? {} : { timing: options.linkTiming }),
    signal: (signal) => connections.handle(signal),
    revoked: (subject) => {
      connections.revoke(subject);
      sessions.revoke(subject);
      proxy.revoke(subject);
    },
    up: (transport) => {
      meter.linkUp(transport);
      const name = transport === 'websocket' ? 'WebSocket' : 'HTTPS polling';
      log('info', `link: connected to the edge by ${name}`, { transport });
      options.up?.(transport);
    },
    down: (reason, retryMs) => {
      meter.linkDown(reason);
      meter.failed('link', 'E_PATH_LOST');
      log('warn', `link: not connected (${reason}), next attempt in ${retryMs} ms`);
    },
    refused: (error) => {
      meter.linkDown(error.message);
      meter.failed('link', error.code);
      sayGoodbye();
      options.refused(error);
    },
  });
  meter.upstreamName = (base) => upstreamLabel(upstreams.servers, base);
  const report = () =>
    reportOf({
      config,
      meter,
      engine: webRtc.choice,
      sessions: sessions.all,
      upstreams: upstreams.reports((name) => proxy.load(name)),
    });
  let measuredAt = Number.NEGATIVE_INFINITY;
  link.start();
  upstreams.start();
  const { collect = () => {} } = options;
  const stopCollecting = collectWhenIdle({
    isBusy: () => sessions.all.some(({ session }) => session.streamCount > 0),
    every: (ms, look) => {
      const timer = setInterval(look, ms);
      return () => clearInterval(timer);
    },
    collect: () => collect(),
  });
  return {
    get connections() {
      return connections.size;
    },
    meter,
    report,
    measure() {
      const now = meter.clock.now();
      if (now - measuredAt < MEASURE_MS) return false;
      measuredAt = now;
      return measure(sessions.all);
    },
    async close() {
      stopCollecting();
      const busy = sessions.size + connections.size > 0;
      sayGoodbye();
      if (busy) await new Promise((resolve) => setTimeout(resolve, GOODBYE_MS));
      await link.close();
      upstreams.close();
      relayKeys.close();
      devices.close();
      await proxy.close();
      await webRtc.close();
      await portMapper?.close();
    },
  };
}

/** How a channel ends when its requests have ended, or the link has. */
function isOrdinary({ code }: DirectError): boolean {
  return code === 'E_CANCELLED' || code === 'E_PATH_LOST' || code === 'E_GOING_AWAY';
}
