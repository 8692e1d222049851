/** TURN providers' servers for tests: they answer as the documents of Cloudflare and Metered say, and note requests. */

export interface Asked {
  method: string;
  url: string;
  authorization: string | null;
  body: string;
  redirect: string | undefined;
  signal: AbortSignal | null | undefined;
}

export const KEY_ID = '0123456789abcdef0123456789abcdef';
export const TOKEN = 'cloudflare-token-that-nobody-may-see';
export const API_KEY = 'metered-key-that-nobody-may-see';
export const SECRET = 'coturn-secret-that-nobody-may-see';
export const SECRETS = [TOKEN, API_KEY, SECRET];

export const CLOUDFLARE = { CLOUDFLARE_TURN_KEY_ID: KEY_ID, CLOUDFLARE_TURN_KEY_TOKEN: TOKEN };
export const METERED = { METERED_APP_NAME: 'my-app', METERED_API_KEY: API_KEY };
export const COTURN = { TURN_URLS: 'turn:turn.example:3478?transport=udp', TURN_SECRET: SECRET };

type Answer = (asked: Asked) => Response | Promise<Response>;

/** In place of the network; `answers` by the host name, which may change between requests. */
export class TurnApi {
  readonly asked: Asked[] = [];
  readonly revoked: string[] = [];
  /** How many Cloudflare has made. */
  made = 0;
  cloudflare: Answer = (asked) => this.#cloudflare(asked);
  metered: Answer = () => Response.json(meteredServers());
  readonly fetch: typeof fetch;

  constructor() {
    this.fetch = async (input, init) => {
      if (typeof input !== 'string') throw new Error('providers are asked by URL');
      const asked = {
        method: init?.method ?? 'GET',
        url: input,
        authorization: new Headers(init?.headers).get('authorization'),
        body: typeof init?.body === 'string' ? init.body : '',
        redirect: init?.redirect,
        signal: init?.signal,
      };
      this.asked.push(asked);
      const { hostname } = new URL(input);
      return hostname === 'rtc.live.cloudflare.com' ? this.cloudflare(asked) : this.metered(asked);
    };
  }

  #cloudflare({ url }: Asked): Response {
    const revoked = /\/credentials\/([^/]+)\/revoke$/.exec(url)?.[1];
    if (revoked !== undefined) {
      this.revoked.push(decodeURIComponent(revoked));
      return new Response(null, { status: 204 });
    }
    return Response.json(cloudflareAnswer(`user ${++this.made}/é`), { status: 201 });
  }
}

/** As developers.cloudflare.com/realtime/turn/generate-credentials has it. */
export function cloudflareAnswer(username: string) {
  const turn = [
    'turn:turn.cloudflare.com:3478?transport=udp',
    'turn:turn.cloudflare.com:53?transport=udp',
    'turn:turn.cloudflare.com:3478?transport=tcp',
    'turn:turn.cloudflare.com:80?transport=tcp',
    'turns:turn.cloudflare.com:5349?transport=tcp',
    'turns:turn.cloudflare.com:443?transport=tcp',
  ];
  return {
    iceServers: [
      { urls: ['stun:stun.cloudflare.com:3478', 'stun:stun.cloudflare.com:53'] },
      { urls: turn, username, credential: 'password' },
    ],
  };
}

/** As metered.ca/docs/turn-rest-api/get-credential has it, and one on port 53. */
export function meteredServers() {
  const credentials = { username: 'metered-user', credential: 'password' };
  return [
    { urls: 'stun:stun.relay.metered.ca:80' },
    { urls: 'turn:global.relay.metered.ca:53', ...credentials },
    { urls: 'turn:global.relay.metered.ca:80?transport=tcp', ...credentials },
    { urls: 'turns:global.relay.metered.ca:443?transport=tcp', ...credentials },
  ];
}
