/** An authenticator in software (WebAuthn Level 3): ES256, discoverable, without attestation. CBOR is made by hand. */
import { encodeBase64url } from '../shared/base64url.ts';

export interface Ceremony {
  origin: string;
  rpID: string;
  challenge: string;
  /** `webauthn.create` or `webauthn.get`. */
  type?: string;
  userPresent?: boolean;
  userVerified?: boolean;
  /** The signature counter; without it, 0, as synchronised passkeys have it. */
  counter?: number;
}

const PRESENT = 0x01;
const VERIFIED = 0x04;
const ATTESTED = 0x40;

const utf8 = (text: string) => new TextEncoder().encode(text);
const concat = (...parts: (Uint8Array | number[])[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const sha256 = async (data: Uint8Array) => new Uint8Array(await crypto.subtle.digest('SHA-256', data));

/** RFC 8949, section 3: major type 3 for short texts, 2 for 24 to 255 bytes. */
const cborText = (text: string) => concat([0x60 + text.length], utf8(text));
const cborBytes = (bytes: Uint8Array) => concat([0x58, bytes.length], bytes);

export class Authenticator {
  readonly id: string = encodeBase64url(crypto.getRandomValues(new Uint8Array(16)));
  readonly #idBytes: Uint8Array;
  readonly #keys: CryptoKeyPair;

  private constructor(keys: CryptoKeyPair) {
    this.#keys = keys;
    this.#idBytes = Uint8Array.from(atob(this.id.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  }

  static async make(): Promise<Authenticator> {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
    return new Authenticator((await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair);
  }

  /** What `navigator.credentials.create` answers, as JSON. */
  async create(ceremony: Ceremony) {
    const credential = concat([...Array(16).fill(0), 0, this.#idBytes.length], this.#idBytes, await this.#coseKey());
    const authData = concat(await authenticatorData(ceremony, ATTESTED), credential);
    const attestation = concat(
      [0xa3],
      cborText('fmt'),
      cborText('none'),
      cborText('attStmt'),
      [0xa0],
      cborText('authData'),
      cborBytes(authData),
    );
    return {
      ...this.#answer(),
      response: {
        clientDataJSON: encodeBase64url(clientData({ type: 'webauthn.create', ...ceremony })),
        attestationObject: encodeBase64url(attestation),
        transports: ['internal'],
      },
    };
  }

  /** What `navigator.credentials.get` answers, as JSON. */
  async get(ceremony: Ceremony) {
    const authData = await authenticatorData(ceremony, 0);
    const data = clientData({ type: 'webauthn.get', ...ceremony });
    const algorithm = { name: 'ECDSA', hash: 'SHA-256' };
    const signed = concat(authData, await sha256(data));
    const signature = new Uint8Array(await crypto.subtle.sign(algorithm, this.#keys.privateKey, signed));
    return {
      ...this.#answer(),
      response: {
        clientDataJSON: encodeBase64url(data),
        authenticatorData: encodeBase64url(authData),
        signature: encodeBase64url(der(signature)),
        userHandle: encodeBase64url(utf8('owner')),
      },
    };
  }

  #answer() {
    return { id: this.id, rawId: this.id, type: 'public-key', clientExtensionResults: {} };
  }

  /** RFC 9053, section 7.1.1: EC2 on P-256 for ES256. */
  async #coseKey(): Promise<Uint8Array> {
    const raw = new Uint8Array((await crypto.subtle.exportKey('raw', this.#keys.publicKey)) as ArrayBuffer);
    const [x, y] = [raw.slice(1, 33), raw.slice(33)];
    return concat([0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21], cborBytes(x), [0x22], cborBytes(y));
  }
}

function clientData({ type, challenge, origin }: Ceremony): Uint8Array {
  return utf8(JSON.stringify({ type, challenge, origin, crossOrigin: false }));
}

async function authenticatorData(ceremony: Ceremony, more: number): Promise<Uint8Array> {
  const { rpID, counter = 0, userPresent = true, userVerified = true } = ceremony;
  const flags = (userPresent ? PRESENT : 0) | (userVerified ? VERIFIED : 0) | more;
  const count = new Uint8Array(4);
  new DataView(count.buffer).setUint32(0, counter);
  return concat(await sha256(utf8(rpID)), [flags], count);
}

/** From WebCrypto's `r` and `s` in a row to a DER sequence of two integers, as authenticators sign. */
function der(signature: Uint8Array): Uint8Array {
  const integer = (bytes: Uint8Array) => {
    const start = bytes.findIndex((byte) => byte !== 0);
    const short = bytes.slice(start);
    const value = (short[0] ?? 0) >= 0x80 ? concat([0], short) : short;
    return concat([0x02, value.length], value);
  };
  const integers = concat(integer(signature.slice(0, 32)), integer(signature.slice(32)));
  return concat([0x30, integers.length], integers);
}
