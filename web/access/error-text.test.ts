import { expect, test } from 'vitest';
import { HINTS } from '../../shared/error-hints.ts';
import { DirectError, ERRORS } from '../../shared/errors.ts';
import { networkError } from '../client/network-error.ts';
import { ApiError } from './api-error.ts';
import { errorText, isUnauthorized } from './error-text.ts';

const { message } = ERRORS.E_OUTCOME_UNKNOWN;
const hint = HINTS.E_OUTCOME_UNKNOWN;

test.each<[string, unknown, string, string | undefined]>([
  ['our error', new DirectError('E_OUTCOME_UNKNOWN'), message, hint],
  ['our error out of fetch', networkError(new DirectError('E_OUTCOME_UNKNOWN')), message, hint],
  ['a server’s error with a hint', new ApiError('no', 503, undefined, 'start it'), 'no', 'start it'],
  ['a server’s error with our code', new ApiError('no', 503, 'E_HOST_OFFLINE'), 'no', HINTS.E_HOST_OFFLINE],
  ['a server’s error', new ApiError('no', 400, 'other'), 'no', undefined],
  ['the platform’s fetch', new TypeError('Failed to fetch'), 'The edge cannot be reached.', 'Check the network.'],
  ['anything', 'odd', 'odd', undefined],
])('%s in words', (_, error, text, advice) => {
  expect(errorText(error)).toEqual({ message: text, hint: advice });
});

test('a refused token is known in every wrapping', () => {
  expect(isUnauthorized(new DirectError('E_UNAUTHORIZED'))).toBe(true);
  expect(isUnauthorized(networkError(new DirectError('E_UNAUTHORIZED')))).toBe(true);
  expect(isUnauthorized(new ApiError('', 401, 'E_UNAUTHORIZED'))).toBe(true);
  // The upstream's own 401 is about its key, not about ours.
  expect(isUnauthorized(new ApiError('', 401, 'invalid_api_key'))).toBe(false);
  expect(isUnauthorized(new TypeError('Failed to fetch'))).toBe(false);
});
