/** Passkeys in this browser (WebAuthn). */
import {
  browserSupportsWebAuthn,
  startAuthentication,
  startRegistration,
  WebAuthnError,
} from '@simplewebauthn/browser';
import type { Passkey } from '../../shared/account-api.ts';
import type { EdgeApi } from './edge-api.ts';

export const passkeysWork = (): boolean => browserSupportsWebAuthn();

/** @throws ApiError of the edge, or an Error in plain words when the browser or the person gave up */
export async function signInByPasskey(api: EdgeApi): Promise<void> {
  const optionsJSON = await api.passkeySignInOptions();
  const response = await startAuthentication({ optionsJSON }).catch((error: unknown) => {
    throw plain(error, 'No passkey was used.');
  });
  await api.signInByPasskey(response);
}

/** @throws as `signInByPasskey` */
export async function addPasskey(api: EdgeApi, name: string): Promise<Passkey> {
  const optionsJSON = await api.passkeyOptions();
  const response = await startRegistration({ optionsJSON }).catch((error: unknown) => {
    throw plain(error, 'No passkey was made.');
  });
  return api.addPasskey(name, response);
}

/** What browsers say here speaks to programmers. */
function plain(error: unknown, text: string): Error {
  if (error instanceof WebAuthnError && error.code === 'ERROR_AUTHENTICATOR_PREVIOUSLY_REGISTERED') {
    return new Error('This device already has a passkey for this edge.', { cause: error });
  }
  const name = error instanceof Error ? error.name : '';
  if (name === 'SecurityError') {
    return new Error('This browser allows passkeys only at an https address or at localhost.', { cause: error });
  }
  return new Error(text, { cause: error });
}
