/** UPnP-IGD (UPnP Forum, WANIPConnection:1 and :2, WANPPPConnection:1): what most home routers speak. IPv4 only. */
import { randomInt } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { boundedText } from '../bounded-text.ts';
import { checkedExternal } from './ip-address.ts';
import { type Ask, grantedLifetimeMs, type Lease, LIFETIME_SECONDS, NoAnswer, Refused } from './lease.ts';
import { findDescriptions, urlAt } from './ssdp.ts';
import { parseDescription, parseSoap } from './upnp-xml.ts';

/** In the order in which they are tried. */
const SERVICES = [2, 1]
  .map((version) => `urn:schemas-upnp-org:service:WANIPConnection:${version}`)
  .concat('urn:schemas-upnp-org:service:WANPPPConnection:1');
const CAN_CHOOSE_PORT = SERVICES[0];

/** The longest descriptions are about 20 kB; bounds the memory that whoever answers for the router can take. */
const MAX_BODY_BYTES = 128 * 1024;
const HTTP_MS = 5000;
/** Taking back what may have been granted after all; `PortMapper.close` has a second for everything. */
const UNDO_MS = 800;

/** Another machine has the port (718); some routers say only that it failed (501). */
const PORT_IS_TAKEN: readonly number[] = [718, 501];
const ONLY_PERMANENT = 725;
/** Ports to try on a router that does not choose itself. */
const PORT_ATTEMPTS = 4;

interface Service {
  type: string;
  control: URL;
  /** The address to ask from. */
  from: string;
}

type Arguments = readonly (readonly [name: string, value: string | number])[];

/** What a router answers in place of doing it. */
class SoapFault extends Error {
  readonly code: number;

  constructor(code: number, description: string) {
    super(`error ${code}${description === '' ? '' : ` (${description.slice(0, 80)})`}`);
    this.code = code;
  }
}

/** The `Protocol`. */
export async function askUpnp(ask: Ask): Promise<Lease> {
  let problem: unknown;
  for (const location of await findDescriptions(ask)) {
    try {
      for (const service of await findServices(location, ask)) {
        try {
          return await askService(service, ask);
        } catch (error) {
          // A router that can do PPP as well has a service for each, of which one is connected.
          problem = error;
        }
      }
    } catch (error) {
      problem ??= error;
    }
    ask.signal.throwIfAborted();
  }
  if (problem === undefined) throw new NoAnswer('the router’s UPnP device maps no ports');
  if (problem instanceof Refused || problem instanceof NoAnswer) throw problem;
  throw new Refused(problem instanceof Error ? problem.message : String(problem));
}

/** @throws Error if it cannot be had. */
async function findServices(location: URL, { local, gateway, signal }: Ask): Promise<Service[]> {
  const { status, body } = await http(location, local.address, signal);
  if (status !== 200) throw new NoAnswer(`the router describes itself with HTTP status ${status}`);
  const { baseUrl, services } = parseDescription(body);
  const base = urlAt(gateway.address, baseUrl ?? '') ?? location;
  return SERVICES.flatMap((type) =>
    services.flatMap((service) => {
      const control = service.type === type ? urlAt(gateway.address, service.controlUrl, base) : undefined;
      return control === undefined ? [] : [{ type, control, from: local.address }];
    }),
  );
}

async function askService(service: Service, ask: Ask): Promise<Lease> {
  const { local, gateway, suggested, signal } = ask;
  const answer = await call(service, 'GetExternalIPAddress', [], signal);
  const address = answer.get('NewExternalIPAddress') ?? '';
  // Before anything is mapped that would be of no use.
  checkedExternal(address, local.port);
  const external = checkedExternal(address, await addMapping(service, ask, suggested?.port ?? local.port));
  return {
    protocol: 'UPnP-IGD',
    gateway: gateway.address,
    external,
    lifetimeMs: grantedLifetimeMs(LIFETIME_SECONDS),
    epoch: undefined,
    renew: (signal) => askService(service, { ...ask, suggested: external, signal }),
    release: (signal) => removeMapping(service, external.port, signal),
  };
}

/** @returns the external port. */
async function addMapping(service: Service, { local, signal }: Ask, wanted: number): Promise<number> {
  const add = async (action: string, port: number, lifetimeSeconds: number) => {
    try {
      return await call(
        service,
        action,
        [
          ['NewRemoteHost', ''],
          ['NewExternalPort', port],
          ['NewProtocol', 'UDP'],
          ['NewInternalPort', local.port],
          ['NewInternalClient', local.address],
          ['NewEnabled', 1],
          // Some routers refuse one without.
          ['NewPortMappingDescription', 'direct-agent'],
          ['NewLeaseDuration', lifetimeSeconds],
        ],
        signal,
      );
    } catch (error) {
      // Without an answer it may have been done.
      if (!(error instanceof SoapFault))
        await removeMapping(service, port, AbortSignal.timeout(UNDO_MS)).catch(() => {});
      throw error;
    }
  };
  if (service.type === CAN_CHOOSE_PORT) {
    try {
      return Number((await add('AddAnyPortMapping', wanted, LIFETIME_SECONDS)).get('NewReservedPort'));
    } catch (error) {
      // Some say that they are of version 2, and are not.
      if (!(error instanceof SoapFault)) throw error;
    }
  }
  let lifetimeSeconds = LIFETIME_SECONDS;
  let port = wanted;
  for (let attempt = 1; ; ) {
    try {
      await add('AddPortMapping', port, lifetimeSeconds);
      return port;
    } catch (error) {
      const code = error instanceof SoapFault ? error.code : undefined;
      if (code === ONLY_PERMANENT && lifetimeSeconds !== 0) {
        // It stays if the agent is killed: until the router starts anew, or the agent has this port again.
        lifetimeSeconds = 0;
        continue;
      }
      if (code === undefined || !PORT_IS_TAKEN.includes(code) || attempt++ === PORT_ATTEMPTS) throw error;
      // IANA's dynamic ports (RFC 6335, section 6), where nobody has a service.
      port = randomInt(49_152, 65_536);
    }
  }
}

async function removeMapping(service: Service, port: number, signal: AbortSignal): Promise<void> {
  const values: Arguments = [
    ['NewRemoteHost', ''],
    ['NewExternalPort', port],
    ['NewProtocol', 'UDP'],
  ];
  await call(service, 'DeletePortMapping', values, signal);
}

/** SOAP 1.1 (UPnP Device Architecture 2.0, section 3.2). Names and values are ours, so none needs escaping. */
async function call({ type, control, from }: Service, action: string, values: Arguments, signal: AbortSignal) {
  const list = values.map(([name, value]) => `<${name}>${value}</${name}>`).join('');
  const xml = `<?xml version="1.0"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:${action} xmlns:u="${type}">${list}</u:${action}></s:Body></s:Envelope>
`;
  const { status, body } = await http(control, from, signal, { action: `"${type}#${action}"`, xml });
  if (status !== 200 && status !== 500) throw new Error(`HTTP status ${status}`);
  const answer = parseSoap(body);
  const code = Number(answer.get('errorCode') ?? Number.NaN);
  if (status !== 200) throw new SoapFault(Number.isInteger(code) ? code : 0, answer.get('errorDescription') ?? '');
  return answer;
}

/** Follows no redirection. @throws Error if there is no answer, or more than MAX_BODY_BYTES of it. */
async function http(url: URL, from: string, signal: AbortSignal, soap?: { action: string; xml: string }) {
  signal.throwIfAborted();
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = httpRequest(url, {
      method: soap === undefined ? 'GET' : 'POST',
      headers:
        soap === undefined
          ? {}
          : {
              'Content-Type': 'text/xml; charset="utf-8"',
              'Content-Length': Buffer.byteLength(soap.xml),
              SOAPAction: soap.action,
            },
      localAddress: from,
      // No connection outlives its request.
      agent: false,
      signal: AbortSignal.any([signal, AbortSignal.timeout(HTTP_MS)]),
    });
    request.on('socket', (socket) => socket.unref());
    request.on('error', reject);
    request.on('response', resolve);
    request.end(soap?.xml);
  });
  const body = await boundedText(response, MAX_BODY_BYTES);
  if (body === undefined) throw new Error('the router’s answer is too long');
  return { status: response.statusCode ?? 0, body };
}
