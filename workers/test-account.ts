/** What tests of the account share: its clock, an agent that logs in, what the audit says. */
import { runInDurableObject } from 'cloudflare:test';
import type { AuditEvent } from '../shared/account-api.ts';
import { encodeBase64url } from '../shared/base64url.ts';
import { generateHostKeys, type HostKeys, hostKeyBytes } from '../shared/host-identity.ts';
import { transcript } from '../shared/transcript.ts';
import { accountStub, type Call, call, ORIGIN, OWNER, post } from './test-edge.ts';

export const API = '/_direct/api';

/** Sets the account's clock to that many milliseconds from now. */
export const setAccountClock = (ms: number): Promise<void> =>
  runInDurableObject(accountStub(), (object) => {
    object.now = () => Date.now() + ms;
  });

/** An address that no other test uses. */
export const newAddress = (): string => crypto.getRandomValues(new Uint8Array(4)).join('.');

/** As the owner. */
export const asOwner = (path: string, options: Call = {}): Promise<Response> =>
  call(`${API}${path}`, { token: OWNER, ...options });

export interface Granted {
  device_code: string;
  user_code: string;
  verification_uri: string;
  verification_uri_complete: string;
  expires_in: number;
  interval: number;
}

/** An agent that logs in. */
export class LoggingIn {
  readonly address = newAddress();
  readonly keys: HostKeys;
  readonly hostKey: string;
  readonly #hostKeyBytes: Uint8Array;

  private constructor(keys: HostKeys, bytes: Uint8Array) {
    this.keys = keys;
    this.#hostKeyBytes = bytes;
    this.hostKey = encodeBase64url(bytes);
  }

  static async make(): Promise<LoggingIn> {
    const keys = await generateHostKeys();
    return new LoggingIn(keys, await hostKeyBytes(keys));
  }

  async ask(more: Record<string, unknown> = {}): Promise<Granted> {
    const response = await this.tryToAsk(more);
    if (response.status !== 200) throw new Error(`POST /device/code: ${response.status} ${await response.text()}`);
    return response.json<Granted>();
  }

  tryToAsk(more: Record<string, unknown> = {}): Promise<Response> {
    const body = { client_id: 'direct-agent', host_key: this.hostKey, host_name: 'Home', ...more };
    return post(`${API}/device/code`, body, { headers: { 'CF-Connecting-IP': this.address } });
  }

  async sign(deviceCode: string, keys: HostKeys = this.keys, edge = ORIGIN): Promise<string> {
    const texts = [edge, deviceCode].map((text) => new TextEncoder().encode(text));
    const message = transcript('direct-agent login v1', this.#hostKeyBytes, ...texts);
    return encodeBase64url(new Uint8Array(await crypto.subtle.sign('Ed25519', keys.privateKey, message)));
  }

  async poll(deviceCode: string, more: Record<string, unknown> = {}): Promise<Response> {
    const body = {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      client_id: 'direct-agent',
      device_code: deviceCode,
      host_signature: await this.sign(deviceCode),
      ...more,
    };
    return post(`${API}/device/token`, body, { headers: { 'CF-Connecting-IP': this.address } });
  }

  /** Asks, is approved, and gets its credential. */
  async logIn(hostName = 'Home'): Promise<{ access_token: string; host_id: string; host_name: string }> {
    const { device_code, user_code } = await this.ask({ host_name: hostName });
    const approved = await asOwner('/device/approve', { method: 'POST', body: { user_code } });
    if (approved.status !== 200) throw new Error(`POST /device/approve: ${await approved.text()}`);
    return (await this.poll(device_code)).json();
  }
}

/** Someone who has logged in. */
export async function loggedIn(hostName?: string) {
  const agent = await LoggingIn.make();
  return { agent, ...(await agent.logIn(hostName)) };
}

/** Hosts in place of the real ones, which note what is revoked at them. */
export function notingHosts() {
  const revoked: { host: string; subject: string }[] = [];
  const getByName = (host: string) => ({ revoke: async (subject: string) => void revoked.push({ host, subject }) });
  return { revoked, env: { HOSTS: { getByName } as unknown as Cloudflare.Env['HOSTS'] } };
}

/** The newest events, actions and details alone. */
export async function audited(count: number): Promise<Pick<AuditEvent, 'action' | 'detail'>[]> {
  const { events } = await (await asOwner('/audit')).json<{ events: AuditEvent[] }>();
  return events.slice(0, count).map(({ action, detail }) => ({ action, detail }));
}
