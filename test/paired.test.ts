/** A host with `access: paired`: real edge, agent and clients. Who is not one of its devices reaches nothing by any way. */
import { randomBytes } from 'node:crypto';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { RTCPeerConnection } from 'werift';
import WebSocket from 'ws';
import { listDevices, removeDevice } from '../agent/devices.ts';
import { createPairing } from '../agent/pairing.ts';
import { codeFromNumber, type ErrorCode } from '../shared/errors.ts';
import { decodeFrames, encodeFrames, type Frame } from '../shared/frame.ts';
import { encodeHead } from '../shared/head.ts';
import { generateHostKeys, verifyAnnouncement } from '../shared/host-identity.ts';
import { sealedClientPath } from '../shared/sealed-path.ts';
import type { SessionReady, SessionSignal } from '../shared/signal.ts';
import { memoryDeviceKeys } from '../web/client/device-key.ts';
import { completeEnvironment } from '../web/client/environment.ts';
import { type Client, type ConnectOptions, connect } from '../web/client/index.ts';
import { RelayPath } from '../web/client/relay-path.ts';
import { launchChromium, withoutChromium } from './chromium.ts';
import { openLibraryPage } from './client-page.ts';
import { onPath } from './on-path.ts';
import { SLOW_CLOCK } from './slow-clock.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

let stack: Stack;
/** Requests that the upstream had when the agent had found it. */
let before: number;
const clients: Client[] = [];
beforeAll(async () => {
  stack = await Stack.start({ flags: { access: 'paired' } });
  before = stack.fake.requests.length;
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(() => stack?.close());

function client({ environment, ...options }: Partial<ConnectOptions> = {}): Client {
  const made = connect({
    url: stack.edge.url,
    host: HOST_ID,
    token: OWNER_TOKEN,
    // Each with keys of its own, as on devices of their own.
    environment: { ...SLOW_CLOCK, RTCPeerConnection, deviceKeys: memoryDeviceKeys(), ...environment },
    ...options,
  });
  clients.push(made);
  return made;
}
const seen = () => stack.fake.requests.slice(before).map(({ url }) => url);
const authorization = { authorization: `Bearer ${OWNER_TOKEN}` };

/** The code with which a request fails. */
async function failure(request: Promise<Response>): Promise<ErrorCode | undefined> {
  try {
    await request;
  } catch (error) {
    return (error as { cause: { code: ErrorCode } }).cause.code;
  }
  return undefined;
}

describe('a device that the host does not know', () => {
  test.each<[what: string, options: () => Promise<Partial<ConnectOptions>>]>([
    ['the direct path and the relay', async () => ({})],
    ['the relay alone', async () => ({ webrtc: false })],
    ['the direct path alone', async () => ({ environment: { WebSocket: undefined } })],
    ['a key of its own', async () => ({ device: await generateHostKeys() })],
    ['a link that nobody made', async () => ({ pairing: randomBytes(32).toString('base64url') })],
  ])('is refused with %s, and every request says why', async (_what, options) => {
    const given = await options();
    const code = given.pairing === undefined ? 'E_DEVICE_UNKNOWN' : 'E_PAIRING';
    const stranger = client(given);
    await vi.waitUntil(() => stranger.error?.code === code, { timeout: 30_000 });
    for (const request of [stranger.fetch('/v1/models'), stranger.fetch('/v1/x', { method: 'POST', body: '{}' })]) {
      expect(await failure(request)).toBe(code);
    }
    expect([stranger.path, seen()]).toEqual(['offline', []]);
  });

  test('whose first request leaves with HELLO is refused before that runs', async () => {
    const stranger = client();
    const body = JSON.stringify({ model: 'fake', messages: [] });
    expect(await failure(stranger.fetch('/v1/chat/completions', { method: 'POST', body }))).toBe('E_DEVICE_UNKNOWN');
    expect(seen()).toEqual([]);
  });
});

describe('the tunnel, where no device can be shown', () => {
  test.each(['GET', 'POST'])('answers a %s at once with the error and what to do', async (method) => {
    const started = performance.now();
    const body = method === 'POST' ? { body: JSON.stringify({ model: 'fake', messages: [] }) } : {};
    const response = await fetch(`${stack.edge.url}/v1/models`, { method, headers: authorization, ...body });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({
      error: {
        code: 'E_DEVICE_UNKNOWN',
        message: expect.stringContaining('plain HTTPS cannot show which device it is'),
        hint: expect.stringContaining('direct-agent pair'),
      },
    });
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(seen()).toEqual([]);
  });

  test('opens no WebSocket', async () => {
    const socket = new WebSocket(`${stack.edge.url.replace('http', 'ws')}/v1/realtime`, { headers: authorization });
    const status = await new Promise((resolve) => {
      socket.on('unexpected-response', (_request, response) => resolve(response.statusCode));
      socket.on('open', () => resolve(101));
      socket.on('error', () => {});
    });
    expect([status, seen()]).toEqual([403, []]);
  });

  test('may be refused alone', async () => {
    await stack.stopAgent();
    await stack.startAgent({ access: 'edge', tunnel: 'no' });
    const response = await fetch(`${stack.edge.url}/v1/models`, { headers: authorization });
    expect([response.status, await response.json()]).toMatchObject([
      403,
      { error: { code: 'E_FORBIDDEN', message: expect.stringContaining('the host does not take the tunnel') } },
    ]);
    const direct = client();
    expect((await direct.fetch('/v1/models')).status).toBe(200);
    await stack.stopAgent();
    await stack.startAgent();
    before = stack.fake.requests.length;
  });
});

/** What a paired device sent, and where: all that anyone could ever have recorded of it. */
interface Recording {
  sessionId: string;
  hello: string;
}

describe('a device that the host was shown a link of', () => {
  /** Records what leaves by the data channel, before DTLS. */
  class Recorder extends RTCPeerConnection {
    static readonly sent: Uint8Array[] = [];

    /** The direct path waits for it. */
    static mayOpen = Promise.withResolvers<void>();

    override async setRemoteDescription(...given: Parameters<RTCPeerConnection['setRemoteDescription']>) {
      await Recorder.mayOpen.promise;
      return super.setRemoteDescription(...given);
    }

    override createDataChannel(...given: Parameters<RTCPeerConnection['createDataChannel']>) {
      const channel = super.createDataChannel(...given);
      const send = channel.send.bind(channel);
      channel.send = (message) => {
        Recorder.sent.push(Buffer.from(message as Buffer));
        send(message);
      };
      return channel;
    }
  }
  const deviceKeys = memoryDeviceKeys();
  let secret: string;
  let recording: Recording;
  beforeAll(async () => {
    ({ secret } = await createPairing(stack.folder));
  });

  test('is taken in by it once, on all paths', async () => {
    const mine = client({
      pairing: secret,
      deviceName: 'a phone',
      environment: { RTCPeerConnection: Recorder, deviceKeys },
    });
    expect((await mine.fetch('/v1/models')).status).toBe(200);
    Recorder.mayOpen.resolve();
    await onPath(mine, 'direct');
    expect((await mine.fetch('/v1/models')).status).toBe(200);
    expect((await listDevices(stack.folder)).map(({ name }) => name)).toEqual(['a phone']);
    expect(seen()).toEqual(['/v1/models', '/v1/models']);
    const [first] = decodeFrames(Recorder.sent[0] ?? new Uint8Array());
    if (first?.type !== 'HELLO') throw new Error('no HELLO');
    recording = { sessionId: (JSON.parse(first.json) as { session_id: string }).session_id, hello: first.json };
    // It was the second path: the link was used up and forgotten on the first.
    expect(JSON.parse(first.json)).toMatchObject({ device: { name: 'a phone' } });
    expect(first.json).not.toContain('pairing');
    expect(stack.log.join('\n')).not.toContain(secret);
  });

  test('is known from then on, without the link', async () => {
    for (const webrtc of [true, false]) {
      const mine = client({ device: 'auto', webrtc, environment: { deviceKeys } });
      expect((await mine.fetch('/v1/models')).status).toBe(200);
    }
  });

  test('was the last that the link takes in', async () => {
    before = stack.fake.requests.length;
    const other = client({ pairing: secret });
    expect(await failure(other.fetch('/v1/models'))).toBe('E_PAIRING');
    expect([other.error?.code, seen()]).toEqual(['E_PAIRING', []]);
  });

  describe('whose HELLO a dishonest edge has, with the id of its session', () => {
    // The edge makes itself the client of a session with the same id: it can, because it says who may.
    beforeAll(async () => {
      await stack.restartEdge();
      await vi.waitUntil(
        async () => (await fetch(stack.signalingUrl, { headers: authorization })).ok && (await online()),
        {
          timeout: 30_000,
          interval: 100,
        },
      );
      before = stack.fake.requests.length;
    });
    const online = async () => {
      const response = await fetch(stack.signalingUrl, { headers: authorization });
      return ((await response.json()) as { online: boolean }).online;
    };
    const frames = (): Frame[] => [
      { type: 'HELLO', json: recording.hello },
      { type: 'STREAM', id: 0, offset: 0, data: request(), fin: true },
    ];

    test('gets nothing for it on a direct path of its own', async () => {
      const path = await dial(recording.sessionId);
      path.send(encodeFrames(frames()));
      expect(await path.refusal).toBe('E_DEVICE_UNKNOWN');
      expect(seen()).toEqual([]);
      await path.close();
    });

    test('gets nothing for it on a relay path of its own', async () => {
      const path = await dialRelay(`${recording.sessionId}-relay`.slice(0, 64));
      const hello = { ...(JSON.parse(recording.hello) as object), session_id: path.sessionId };
      path.send(encodeFrames([{ type: 'HELLO', json: JSON.stringify(hello) }, ...frames().slice(1)]));
      expect(await path.refusal).toBe('E_DEVICE_UNKNOWN');
      expect(seen()).toEqual([]);
      await path.close();
    });
  });

  test('that is removed loses its session soon, and is a stranger', async () => {
    const mine = client({ device: 'auto', environment: { deviceKeys } });
    await onPath(mine, 'direct');
    const trickle = await mine.fetch('/v1/test/trickle?ms=50&n=100000');
    const started = performance.now();
    await removeDevice(stack.folder, 'a phone');
    const ended = await trickle.text().then(
      () => undefined,
      (error: { cause: { code: ErrorCode } }) => error.cause.code,
    );
    // The file is looked at each second; the rest is a busy machine's.
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(ended).toBe('E_DEVICE_UNKNOWN');
    before = stack.fake.requests.length;
    expect(await failure(mine.fetch('/v1/models'))).toBe('E_DEVICE_UNKNOWN');
    expect([mine.error?.code, mine.path, seen()]).toEqual(['E_DEVICE_UNKNOWN', 'offline', []]);
    const again = client({ device: 'auto', environment: { deviceKeys } });
    expect(await failure(again.fetch('/v1/models'))).toBe('E_DEVICE_UNKNOWN');
  });
});

describe.skipIf(withoutChromium)(`a browser (${withoutChromium || 'Chromium'})`, () => {
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    browser = await launchChromium();
    ({ page } = await openLibraryPage(browser, stack));
  });
  afterAll(() => browser?.close());

  const ask = (pairing?: string) =>
    page.evaluate(
      async ({ host, token, pairing }) => {
        const device = pairing === undefined ? {} : { pairing };
        const client = globalThis.library.connect({
          url: location.origin,
          host,
          token,
          device: 'auto',
          // A request waits for the relay, and not for two seconds at most.
          tunnel: false,
          ...device,
        });
        const code = await client.fetch('/v1/models').then(
          (response) => response.status,
          (error: { cause: { code: string } }) => error.cause.code,
        );
        client.close();
        return code;
      },
      { host: HOST_ID, token: OWNER_TOKEN, pairing },
    );

  test('keeps the key of its device over a reload, where no script reads it', async () => {
    expect(await ask()).toBe('E_DEVICE_UNKNOWN');
    const { secret } = await createPairing(stack.folder);
    expect(await ask(secret)).toBe(200);
    await page.reload();
    await page.addScriptTag({
      type: 'module',
      content: `import * as library from '/_direct/client.js'; globalThis.library = library;`,
    });
    await page.waitForFunction(() => globalThis.library !== undefined);
    expect(await ask()).toBe(200);
    const stored = await page.evaluate(async () => {
      const done = <T>(request: IDBRequest<T>) =>
        new Promise<T>((resolve) => {
          request.onsuccess = () => resolve(request.result);
        });
      const database = await done(indexedDB.open('direct-agent'));
      const table = database.transaction('device-keys').objectStore('device-keys');
      const [names, keys] = await Promise.all([done(table.getAllKeys()), done<CryptoKeyPair[]>(table.getAll())]);
      const extract = crypto.subtle.exportKey('pkcs8', (keys[0] as CryptoKeyPair).privateKey).then(
        () => 'extracted',
        (error: Error) => error.name,
      );
      return { names, extractable: keys[0]?.privateKey.extractable, extract: await extract };
    });
    expect(stored).toEqual({
      names: [`${stack.origin} ${HOST_ID}`],
      extractable: false,
      extract: 'InvalidAccessError',
    });
  });
});

/** A request for the models, as the bytes of a stream. */
function request(): Uint8Array {
  const head = encodeHead({ method: 'GET', path: '/v1/models', headers: [] });
  return Buffer.concat([Buffer.from([0x01, 0x40 | (head.length >> 8), head.length & 0xff]), head]);
}

interface Dialled {
  sessionId: string;
  send(message: Uint8Array): void;
  /** The code with which the agent refuses the path. */
  refusal: Promise<ErrorCode>;
  close(): Promise<void>;
}

async function newSession(sessionId: string, offer?: string): Promise<SessionReady> {
  const response = await fetch(`${stack.signalingUrl}/session`, {
    method: 'POST',
    headers: { ...authorization, 'content-type': 'application/json' },
    body: JSON.stringify({ session_id: sessionId, ...(offer === undefined ? {} : { offer }) }),
  });
  if (response.status !== 201) throw new Error(`POST /session: ${response.status} ${await response.text()}`);
  return (await response.json()) as SessionReady;
}

async function signal(message: unknown): Promise<void> {
  await fetch(`${stack.signalingUrl}/signal`, { method: 'POST', body: JSON.stringify(message) });
}

/** A data channel of a session with this id, by nobody's client. */
async function dial(sessionId: string): Promise<Dialled> {
  const connection = new RTCPeerConnection({ iceServers: [] });
  const channel = connection.createDataChannel('direct-agent', { negotiated: true, id: 0 });
  const refused = Promise.withResolvers<ErrorCode>();
  channel.onMessage.subscribe((message) => refused.resolve(refusalIn(Buffer.from(message as Buffer))));
  const opened = new Promise<void>((resolve) => {
    channel.stateChanged.subscribe((state) => {
      if (state === 'open') resolve();
    });
  });
  connection.onIceCandidate.subscribe((found) => {
    const candidate = found?.toJSON();
    if (candidate !== undefined) void signal({ session_id: sessionId, type: 'candidate', candidate });
  });
  const offer = await connection.createOffer();
  await newSession(sessionId, offer.sdp);
  await connection.setLocalDescription(offer);
  const stop = new AbortController();
  const listen = async () => {
    for (;;) {
      const url = `${stack.signalingUrl}/signal?session_id=${sessionId}&batch=1`;
      const response = await fetch(url, { signal: stop.signal });
      const signals = response.status === 200 ? ((await response.json()) as SessionSignal[]) : [];
      for (const signal of signals) {
        if (signal.type === 'answer') {
          await connection.setRemoteDescription({ type: 'answer', sdp: signal.sdp });
        } else if (signal.type === 'candidate' && signal.candidate.candidate !== '') {
          const { candidate, sdpMid, sdpMLineIndex } = signal.candidate;
          await connection.addIceCandidate({ candidate, sdpMid: sdpMid ?? '0', sdpMLineIndex: sdpMLineIndex ?? 0 });
        } else if (signal.type === 'error') {
          throw new Error(signal.code);
        }
      }
    }
  };
  await Promise.race([opened, listen()]);
  stop.abort();
  return {
    sessionId,
    send: (message) => channel.send(Buffer.from(message)),
    refusal: refused.promise,
    close: () => connection.close(),
  };
}

/** A relay path, sealed to the key that the host announces to everyone. */
async function dialRelay(sessionId: string): Promise<Dialled> {
  const { host } = await newSession(sessionId);
  if (host.announcement === undefined) throw new Error('no announcement');
  const recipient = await verifyAnnouncement(host.announcement, { now: Date.now() });
  const socket = new globalThis.WebSocket(`${stack.signalingUrl.replace('http', 'ws')}/relay?session_id=${sessionId}`);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('close', reject);
  });
  const path = sealedClientPath(new RelayPath(socket, completeEnvironment()), recipient, sessionId);
  const refused = Promise.withResolvers<ErrorCode>();
  path.start({
    message: (message) => refused.resolve(refusalIn(message)),
    drained: () => {},
    closed: (reason) => refused.reject(new Error(reason)),
  });
  return {
    sessionId,
    send: (message) => path.send(message),
    refusal: refused.promise,
    close: async () => path.close(),
  };
}

function refusalIn(message: Uint8Array): ErrorCode {
  const [frame] = decodeFrames(message);
  if (frame?.type !== 'CONNECTION_CLOSE') throw new Error(`the agent says ${frame?.type}`);
  return codeFromNumber(frame.code);
}
