/** The edge's own API, as the page uses it: the cookie goes along by itself. */
import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from '@simplewebauthn/browser';
import type {
  ApiKey,
  ApprovedHost,
  AuditEvent,
  Device,
  Host,
  IceStatus,
  Invitation,
  InvitationScope,
  KeyScope,
  ListedWebSession,
  Login,
  Me,
  Passkey,
} from '../../shared/account-api.ts';
import type { HostReport } from '../../shared/host-report.ts';
import { ApiError, apiError } from './api-error.ts';

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** Every method throws ApiError with the edge's code, or the TypeError of `fetch`. */
export class EdgeApi {
  readonly #fetch: (url: string, init: RequestInit) => Promise<Response>;

  constructor(fetch: (url: string, init: RequestInit) => Promise<Response>) {
    this.#fetch = fetch;
  }

  readonly me = (): Promise<Me> => this.#ask('GET', '/me');
  readonly signIn = (token: string): Promise<void> => this.#ask('POST', '/sign-in', { token });
  readonly signOut = (): Promise<void> => this.#ask('POST', '/sign-out', {});

  readonly passkeySignInOptions = (): Promise<PublicKeyCredentialRequestOptionsJSON> =>
    this.#ask('POST', '/sign-in/passkey/options', {});
  readonly signInByPasskey = (response: AuthenticationResponseJSON): Promise<void> =>
    this.#ask('POST', '/sign-in/passkey', { response });
  readonly passkeyOptions = (): Promise<PublicKeyCredentialCreationOptionsJSON> =>
    this.#ask('POST', '/passkeys/options', {});
  readonly addPasskey = (name: string, response: RegistrationResponseJSON): Promise<Passkey> =>
    this.#ask('POST', '/passkeys', { name, response });
  readonly passkeys = (): Promise<{ passkeys: Passkey[] }> => this.#ask('GET', '/passkeys');
  readonly removePasskey = (id: string): Promise<void> => this.#ask('DELETE', `/passkeys/${part(id)}`);

  readonly hosts = (): Promise<{ hosts: Host[] }> => this.#ask('GET', '/hosts');
  readonly renameHost = (id: string, name: string): Promise<Host> => this.#ask('PATCH', `/hosts/${part(id)}`, { name });
  readonly switchWebUi = (id: string, web_ui: boolean): Promise<Host> =>
    this.#ask('PATCH', `/hosts/${part(id)}`, { web_ui });
  /** Which host's web UI this browser shows at the root. */
  readonly chooseWebUi = (host: string): Promise<void> => this.#ask('POST', '/ui/host', { host });
  /** Lets this browser in at the host name of a web UI: the address to go to. */
  readonly webUiCode = (to: string, challenge: string): Promise<{ location: string }> =>
    this.#ask('POST', '/ui/code', { to, challenge });
  readonly removeHost = (id: string): Promise<void> => this.#ask('DELETE', `/hosts/${part(id)}`);
  /** Null where its agent does not say. */
  readonly report = (host: string): Promise<{ report: HostReport | null }> =>
    this.#ask('GET', `/hosts/${part(host)}/report`);
  readonly devices = (host: string): Promise<{ devices: Device[] }> => this.#ask('GET', `/hosts/${part(host)}/devices`);
  readonly removeDevice = (host: string, id: string): Promise<void> =>
    this.#ask('DELETE', `/hosts/${part(host)}/devices/${part(id)}`);

  readonly ice = (): Promise<IceStatus> => this.#ask('GET', '/ice');

  readonly lookUpLogin = (code: string): Promise<Login> => this.#ask('POST', '/device/lookup', { user_code: code });
  readonly approveLogin = (code: string, name: string): Promise<ApprovedHost> =>
    this.#ask('POST', '/device/approve', { user_code: code, name });
  readonly denyLogin = (code: string): Promise<void> => this.#ask('POST', '/device/deny', { user_code: code });

  readonly keys = (): Promise<{ keys: ApiKey[] }> => this.#ask('GET', '/keys');
  readonly createKey = (scope: KeyScope): Promise<ApiKey & { key: string }> => this.#ask('POST', '/keys', scope);
  readonly revokeKey = (id: string): Promise<void> => this.#ask('DELETE', `/keys/${part(id)}`);

  readonly invitations = (): Promise<{ invitations: Invitation[] }> => this.#ask('GET', '/invitations');
  readonly createInvitation = (scope: InvitationScope): Promise<Invitation & { secret: string }> =>
    this.#ask('POST', '/invitations', scope);
  readonly revokeInvitation = (id: string): Promise<void> => this.#ask('DELETE', `/invitations/${part(id)}`);
  readonly acceptInvitation = (secret: string): Promise<void> => this.#ask('POST', '/invitations/accept', { secret });

  readonly sessions = (): Promise<{ sessions: ListedWebSession[] }> => this.#ask('GET', '/sessions');
  readonly endSession = (id: string): Promise<void> => this.#ask('DELETE', `/sessions/${part(id)}`);

  /** Newest first; `before` is the id of the last one seen. */
  readonly audit = (before?: number): Promise<{ events: AuditEvent[] }> =>
    this.#ask('GET', before === undefined ? '/audit' : `/audit?before=${before}`);

  async #ask<Answer>(method: Method, path: string, body?: unknown): Promise<Answer> {
    const response = await this.#fetch(`/_direct/api${path}`, {
      method,
      ...(body === undefined
        ? {}
        : { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) as string }),
      credentials: 'same-origin',
      cache: 'no-store',
      // The API redirects nowhere; Cloudflare Access does when its own session has ended.
      redirect: 'manual',
    });
    if (response.type === 'opaqueredirect') {
      throw new ApiError('Cloudflare Access wants you to sign in again.', 401, undefined, 'Reload the page.');
    }
    if (!response.ok) throw await apiError(response);
    if (response.status === 204) return undefined as Answer;
    return (await response.json()) as Answer;
  }
}

const part = encodeURIComponent;
