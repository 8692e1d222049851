/** Whether the edge is there: its name, its certificate, its answer, and both ways of signaling. */
import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls, type DetailedPeerCertificate, rootCertificates } from 'node:tls';
import WebSocket from 'ws';
import { isErrorCode } from '../../shared/errors.ts';
import { plain } from '../command-error.ts';
import { isLoopback } from '../edge-address.ts';
import { unbracketed } from '../ip-address.ts';
import { causeOf, codeOf, isTimeout } from './errors.ts';
import { type Finding, failure, ok, skipped, warning } from './finding.ts';
import { hostOf, type Lookup, type Named, named } from './names.ts';
import { within } from './once.ts';

/** Name servers and handshakes answer within a second or have a problem worth telling. */
const CALL_MS = 5_000;
const SLOW_DNS_MS = 1_000;
/** Certificates are renewed weeks before their end. */
const EXPIRES_SOON_MS = 14 * 24 * 3_600_000;
const DAY_MS = 24 * 3_600_000;

export async function checkDns(edge: string, look: Lookup, signal: AbortSignal): Promise<Finding[]> {
  const host = hostOf(edge);
  const literal = isIP(host);
  if (literal !== 0)
    return [skipped('edge.dns', `The edge’s address ${host} is a number: no name has to be looked up.`)];
  const [v4, v6] = await Promise.all([named(look, host, 4, signal), named(look, host, 6, signal)]);
  const data = { host, ipv4: v4.addresses, ipv6: v6.addresses, ipv4_ms: v4.ms, ipv6_ms: v6.ms };
  if (v4.addresses.length + v6.addresses.length === 0) {
    return [
      failure('edge.dns', `The name ${host} has no address (${v4.problem ?? v6.problem ?? 'none found'}).`, {
        meaning: 'This machine cannot find the edge, so nobody reaches it.',
        fix: 'Check the spelling of the edge’s address, and whether other names work here; if none does, the network’s name server has a problem.',
        data,
      }),
    ];
  }
  const count = (family: string, { addresses, ms }: Named) =>
    `${addresses.length === 0 ? 'none' : addresses.length} of ${family} (${ms} ms)`;
  const what = `The name ${host} has addresses: ${count('IPv4', v4)}, ${count('IPv6', v6)}.`;
  if (Math.max(v4.ms, v6.ms) > SLOW_DNS_MS) {
    const meaning = 'Each new connection waits that long.';
    return [
      warning('edge.dns', what, { meaning, fix: 'Use a faster name server in the router or in this system.', data }),
    ];
  }
  return [ok('edge.dns', what, { data })];
}

/** Certificate and handshake of an edge with HTTPS. `now`: milliseconds since 1970. */
export async function checkTls(edge: string, now: number, signal: AbortSignal): Promise<Finding[]> {
  const url = new URL(edge);
  if (url.protocol === 'http:') {
    const local = isLoopback(url.hostname);
    return [
      local
        ? ok('edge.tls', 'The edge is on this machine, without TLS.', { meaning: 'That is for trying things out.' })
        : failure('edge.tls', 'The edge is not HTTPS.', { fix: 'Use its https:// address.' }),
    ];
  }
  const start = performance.now();
  const met = await handshake(url, within(CALL_MS, signal));
  const ms = Math.round(performance.now() - start);
  if ('problem' in met) {
    return [
      failure('edge.tls', `No TLS connection to ${url.host} (${met.problem}).`, {
        meaning: 'Nothing of this machine reaches the edge.',
        fix: 'Check this machine’s connection, and whether a firewall here lets TCP to port 443 out.',
      }),
    ];
  }
  const { certificate, refusal, isOwn, protocol } = met;
  const issuer = plain(String(certificate.issuer?.O ?? certificate.issuer?.CN ?? 'unknown'));
  const left = Date.parse(certificate.valid_to) - now;
  const data = { issuer, valid_to: certificate.valid_to, protocol, handshake_ms: ms, error: refusal ?? null };
  if (refusal !== undefined) return [distrusted(refusal, issuer, data)];
  if (left < EXPIRES_SOON_MS) {
    const days = Math.max(0, Math.floor(left / DAY_MS));
    const what = `The edge’s certificate ends in ${days} days.`;
    return [warning('edge.tls', what, { meaning: 'Then nobody connects.', fix: 'See why it is not renewed.', data })];
  }
  const what = `TLS works (${protocol}, ${ms} ms); the certificate is by ${issuer}.`;
  if (!isOwn) return [ok('edge.tls', what, { data })];
  return [
    warning('edge.tls', what, {
      meaning:
        'That authority is none of the public ones but one added here: either the edge has a certificate of your own, or a company proxy or antivirus program reads what passes between this machine and the edge.',
      fix: 'If you did not set that up, find the program that does. Paths other than the tunnel stay encrypted to the client all the same.',
      data,
    }),
  ];
}

function distrusted(code: string, issuer: string, data: Record<string, unknown>): Finding {
  const what = `The certificate that answers as the edge is not trusted (${code}, issued by ${issuer}).`;
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return failure('edge.tls', what, {
      meaning: 'The certificate has ended, or this machine’s clock is wrong.',
      fix: 'Compare the clock with the line about it; if it is right, renew the certificate.',
      data,
    });
  }
  return failure('edge.tls', what, {
    meaning:
      'Something between here and the edge answers in its place: a company proxy, an antivirus program, a Wi-Fi’s sign-in page.',
    fix: 'Sign in to the network, or let this connection pass uninspected. If the authority is your own, name its file in NODE_EXTRA_CA_CERTS.',
    data,
  });
}

type Met =
  | { certificate: DetailedPeerCertificate; refusal: string | undefined; isOwn: boolean; protocol: string }
  | { problem: string };

function handshake({ hostname, port }: URL, signal: AbortSignal): Promise<Met> {
  const host = unbracketed(hostname);
  return new Promise((resolve) => {
    const socket = connectTls({
      host,
      port: Number(port || 443),
      ...(isIP(host) === 0 ? { servername: host } : {}),
      // Nothing is sent; what is wrong with the certificate is the finding.
      rejectUnauthorized: false,
    });
    const finish = (met: Met) => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      resolve(met);
    };
    const abort = () => finish({ problem: 'no answer in time' });
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    socket.on('error', (error) => finish({ problem: codeOf(error) }));
    socket.once('close', () => finish({ problem: 'closed' }));
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerCertificate(true);
      const error: unknown = socket.authorizationError;
      finish({
        certificate,
        refusal: socket.authorized ? undefined : codeOf(error),
        isOwn: !isPublic(certificate),
        protocol: socket.getProtocol() ?? 'TLS',
      });
    });
  });
}

/** Whether the chain ends at an authority that came with Node. */
function isPublic(certificate: DetailedPeerCertificate): boolean {
  let top = certificate;
  // A root is its own issuer.
  for (let i = 0; i < 10 && top.issuerCertificate !== undefined && top.issuerCertificate !== top; i++) {
    top = top.issuerCertificate;
  }
  if (top.raw === undefined) return false;
  const base64 = top.raw.toString('base64');
  return rootCertificates.some((pem) => pem.replace(/-----[^-]+-----|\s/g, '') === base64);
}

/** What is no id of a session: the edge answers at once, and wakes nothing. */
const NO_SESSION = 'direct-agent.doctor';

/** A WebSocket of a client, not the agent's own: a second one of that would end the first. */
export async function checkWebSocket(signalingUrl: string, signal: AbortSignal): Promise<Finding[]> {
  const start = performance.now();
  const result = await openSocket(
    `${signalingUrl.replace(/^http/, 'ws')}/signal?session_id=${NO_SESSION}`,
    within(CALL_MS, signal),
  );
  const ms = Math.round(performance.now() - start);
  if (result === undefined) return [ok('edge.websocket', `WebSockets to the edge work (${ms} ms).`, { data: { ms } })];
  return [
    warning('edge.websocket', `No WebSocket to the edge (${result}).`, {
      meaning: 'The agent falls back to polling by HTTPS, which is slower to answer and costs more requests.',
      fix: 'Let a proxy or firewall before this machine pass WebSockets (“Upgrade: websocket”).',
      data: { problem: result },
    }),
  ];
}

/** Undefined: it opened. */
function openSocket(url: string, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 65_536, followRedirects: false });
    const finish = (problem: string | undefined) => {
      signal.removeEventListener('abort', abort);
      // Its error event comes for a connection that is given up.
      socket.on('error', () => {});
      socket.terminate();
      resolve(problem);
    };
    const abort = () => finish('no answer in time');
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    socket.once('open', () => finish(undefined));
    socket.once('error', (error) => finish(codeOf(error)));
    socket.once('unexpected-response', (_request, response) => finish(`answered with status ${response.statusCode}`));
  });
}

/** A poll of a client that has no session: the edge says so at once, if it is the edge that answers. */
export async function checkPoll(signalingUrl: string, request: typeof fetch, signal: AbortSignal): Promise<Finding[]> {
  const start = performance.now();
  let problem: string;
  try {
    const limit = within(CALL_MS, signal);
    const response = await request(`${signalingUrl}/signal?session_id=${NO_SESSION}`, {
      redirect: 'manual',
      signal: limit,
    });
    const body: unknown = await response.json().catch(() => undefined);
    const ms = Math.round(performance.now() - start);
    if (isEdgeError(body)) return [ok('edge.poll', `Polling the edge works (${ms} ms).`, { data: { ms } })];
    problem = `status ${response.status}, and not as an edge of direct-agent answers`;
  } catch (error) {
    problem = isTimeout(error) ? 'no answer in time' : causeOf(error);
  }
  return [
    failure('edge.poll', `Polling the edge does not work (${plain(problem)}).`, {
      meaning: 'Where WebSockets are blocked, there is no other way to the edge.',
      fix: 'See the lines about the edge above.',
      data: { problem: plain(problem) },
    }),
  ];
}

function isEdgeError(body: unknown): boolean {
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  return typeof error === 'object' && error !== null && 'code' in error && isErrorCode(error.code);
}

/** TCP to the edge by one family; the time that it took in ms, or undefined. */
export function reaches(address: string, port: number, signal: AbortSignal): Promise<number | undefined> {
  const start = performance.now();
  return new Promise((resolve) => {
    const socket = connectTcp({ host: address, port });
    const finish = (ms: number | undefined) => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      resolve(ms);
    };
    const abort = () => finish(undefined);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    socket.on('error', () => finish(undefined));
    socket.once('connect', () => finish(Math.round(performance.now() - start)));
  });
}
