/**
 * Answers that the host signs (PROTOCOL.md, section 8). DTLS trusts the fingerprints in offer and answer, and the edge
 * carries both: without a signature it could put its own into each, and sit in between.
 */
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import { DirectError } from './errors.ts';
import { type HostKeys, hostKeyBytes, isSigned } from './host-identity.ts';
import { PROTOCOL_VERSION } from './limits.ts';
import { transcript } from './transcript.ts';

/** What the host says of an answer, as far as the signer or the verifier knows it by itself. */
export interface AnsweredOffer {
  /** The id by which the client asks the edge for the host. */
  hostId: string;
  /** Of the signaling session. */
  sessionId: string;
  /** The SDP texts as they were sent and received, to the byte. */
  offer: string;
  answer: string;
}

/** Fields of the answer's message, base64url. */
export interface AnswerSignature {
  /** Ed25519, 32 bytes. */
  host_key: string;
  /** Ed25519, 64 bytes. */
  signature: string;
}

export async function signAnswer(keys: HostKeys, answered: AnsweredOffer): Promise<AnswerSignature> {
  const hostKey = await hostKeyBytes(keys);
  const signature = await crypto.subtle.sign('Ed25519', keys.privateKey, await statement(hostKey, answered));
  return { host_key: encodeBase64url(hostKey), signature: encodeBase64url(new Uint8Array(signature)) };
}

/**
 * The host key that has signed the answer, once it has proved that.
 * @param hostKey the pinned one, base64url. Without it any host's passes, and the caller asks a person.
 * @throws DirectError `E_HOST_KEY_CHANGED` when another key is pinned, `E_HOST_KEY` when the signature is wrong or missing.
 */
export async function verifyAnswer(
  { host_key, signature }: Partial<AnswerSignature>,
  answered: AnsweredOffer,
  hostKey?: string,
): Promise<string> {
  if (host_key === undefined || signature === undefined) {
    throw new DirectError('E_HOST_KEY', 'the answer is not signed; an old agent must be updated');
  }
  if (hostKey !== undefined && hostKey !== host_key) throw new DirectError('E_HOST_KEY_CHANGED');
  const [key, signed] = [decodeBase64url(host_key), decodeBase64url(signature)];
  if (key === undefined || signed === undefined || !(await isSigned(key, signed, await statement(key, answered)))) {
    throw new DirectError('E_HOST_KEY', 'the host did not sign this answer to this offer');
  }
  return host_key;
}

/** `PathOptions.binding` of the path that comes of an offer and its answer. */
export async function directBinding(offer: string, answer: string): Promise<Uint8Array> {
  return sha256(transcript('direct-agent direct path v1', await digestOf(offer), await digestOf(answer)));
}

async function statement(
  hostKey: Uint8Array,
  { hostId, sessionId, offer, answer }: AnsweredOffer,
): Promise<Uint8Array> {
  const utf8 = (text: string) => new TextEncoder().encode(text);
  const texts = [utf8(hostId), utf8(sessionId)];
  const digests = await Promise.all([digestOf(offer), digestOf(answer)]);
  return transcript('direct-agent answer v1', Uint8Array.of(PROTOCOL_VERSION), hostKey, ...texts, ...digests);
}

function digestOf(text: string): Promise<Uint8Array> {
  return sha256(new TextEncoder().encode(text));
}

async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}
