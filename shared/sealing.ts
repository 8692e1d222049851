/**
 * The cryptography of the relay path (PROTOCOL.md, section 8): HPKE (RFC 9180) in base mode. The client's messages are
 * sealed by HPKE's own context, the agent's with a key from its exporter, as RFC 9180, section 9.8, does it.
 */
import {
  AEAD_AES_256_GCM,
  CipherSuite,
  type CryptoKey,
  KDF_HKDF_SHA256,
  KEM_DHKEM_X25519_HKDF_SHA256,
  type KeyPair,
  type RecipientContext,
  type SenderContext,
} from 'hpke';
import type { RelayRecipient } from './host-identity.ts';
import { PROTOCOL_VERSION } from './limits.ts';
import { transcript } from './transcript.ts';

/**
 * X25519, because every runtime has it and its keys are short. AES-GCM, because WebCrypto has no ChaCha20; with 256
 * bits, because that costs nothing that can be measured, and one who collects many sessions gains nothing from having
 * many keys to guess at.
 */
const SUITE = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);

/** Names one of the agent's few relay keys; who has the announcement can compute it, so it tells nobody anything. */
const KEY_ID_BYTES = 8;
const BINDING_BYTES = 32;
/** What the client's first message begins with: key id and encapsulated key. */
export const PREFACE_BYTES = KEY_ID_BYTES + SUITE.KEM.Nenc;

/** The keys of one end of one path. Both functions count, so that each message is sealed and opened in its place. */
export interface SealingKeys {
  /** 32 bytes that both ends of the path have and nobody else: what is said about them is said about this path. */
  readonly binding: Uint8Array;
  /** May be called before the one before has finished; `plaintext` must not change until it has. */
  seal(plaintext: Uint8Array): Promise<Uint8Array>;
  /** Rejects what the other end did not seal as its next message. */
  open(ciphertext: Uint8Array): Promise<Uint8Array>;
}

export type RelayKeyPair = KeyPair<CryptoKey>;

/** A relay key; its private half never leaves the runtime. */
export function generateRelayKeyPair(): Promise<RelayKeyPair> {
  return SUITE.GenerateKeyPair();
}

/** The public half as its 32 bytes. */
export function relayKeyBytes(keys: RelayKeyPair): Promise<Uint8Array> {
  return SUITE.SerializePublicKey(keys.publicKey);
}

/** The short name of a relay key. */
export async function relayKeyId(relayKey: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', relayKey)).subarray(0, KEY_ID_BYTES);
}

/** The two parts of a preface. */
export function splitPreface(preface: Uint8Array): { keyId: Uint8Array; encapsulated: Uint8Array } {
  return { keyId: preface.subarray(0, KEY_ID_BYTES), encapsulated: preface.subarray(KEY_ID_BYTES) };
}

/** The client's end: new keys, and the preface by which the host gets the same. */
export async function encapsulate(
  { hostKey, relayKey }: RelayRecipient,
  sessionId: string,
): Promise<{ preface: Uint8Array; keys: SealingKeys }> {
  const recipient = await SUITE.DeserializePublicKey(relayKey);
  const { encapsulatedSecret, ctx } = await SUITE.SetupSender(recipient, { info: info(hostKey, sessionId) });
  const reply = await ReplyCipher.from(ctx);
  const preface = new Uint8Array(PREFACE_BYTES);
  preface.set(await relayKeyId(relayKey));
  preface.set(encapsulatedSecret, KEY_ID_BYTES);
  return {
    preface,
    keys: {
      binding: await exportBinding(ctx),
      seal: (plaintext) => ctx.Seal(plaintext),
      open: (ciphertext) => reply.open(ciphertext),
    },
  };
}

/** The agent's end: the keys behind `encapsulated`. They may be wrong ones; then nothing can be opened with them. */
export async function decapsulate(
  relayKeyPair: RelayKeyPair,
  encapsulated: Uint8Array,
  hostKey: Uint8Array,
  sessionId: string,
): Promise<SealingKeys> {
  const ctx = await SUITE.SetupRecipient(relayKeyPair, encapsulated, { info: info(hostKey, sessionId) });
  const reply = await ReplyCipher.from(ctx);
  return {
    binding: await exportBinding(ctx),
    seal: (plaintext) => reply.seal(plaintext),
    open: (ciphertext) => ctx.Open(ciphertext),
  };
}

function exportBinding(context: SenderContext | RecipientContext): Promise<Uint8Array> {
  return context.Export(new TextEncoder().encode('direct-agent relay path v1'), BINDING_BYTES);
}

/**
 * What the keys are bound to. The host key is in it because a host can sign another one's relay key as its own, and its
 * clients would talk to the other one without knowing.
 */
function info(hostKey: Uint8Array, sessionId: string): Uint8Array {
  return transcript(
    'direct-agent relay v1',
    Uint8Array.of(PROTOCOL_VERSION),
    hostKey,
    new TextEncoder().encode(sessionId),
  );
}

/** The agent's messages: AES-GCM with nonces that count, made as HPKE makes its own (RFC 9180, section 5.2). */
class ReplyCipher {
  readonly #key: CryptoKey;
  readonly #baseNonce: Uint8Array;
  #sequence = 0;

  private constructor(key: CryptoKey, baseNonce: Uint8Array) {
    this.#key = key;
    this.#baseNonce = baseNonce;
  }

  static async from(context: SenderContext | RecipientContext): Promise<ReplyCipher> {
    const secret = (label: string, length: number) => context.Export(new TextEncoder().encode(label), length);
    const bytes = await secret('direct-agent reply key', SUITE.AEAD.Nk);
    const key = await crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt']);
    return new ReplyCipher(key, await secret('direct-agent reply nonce', SUITE.AEAD.Nn));
  }

  async seal(plaintext: Uint8Array): Promise<Uint8Array> {
    return new Uint8Array(await crypto.subtle.encrypt(this.#next(), this.#key, plaintext));
  }

  async open(ciphertext: Uint8Array): Promise<Uint8Array> {
    return new Uint8Array(await crypto.subtle.decrypt(this.#next(), this.#key, ciphertext));
  }

  /** Counts before the first wait, so that calls at the same time cannot get the same nonce. */
  #next(): { name: 'AES-GCM'; iv: Uint8Array } {
    const iv = new Uint8Array(this.#baseNonce);
    const view = new DataView(iv.buffer, iv.length - 8);
    view.setBigUint64(0, view.getBigUint64(0) ^ BigInt(this.#sequence++));
    return { name: 'AES-GCM', iv };
  }
}
