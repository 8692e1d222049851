/** What to do about each error; beside the table (errors.ts), because the client, which shows it nobody, has to be small. */
import type { ErrorCode } from './errors.ts';

export const HINTS: Readonly<Record<ErrorCode, string>> = {
  E_PROTOCOL: 'Update direct-agent on both ends; if it stays, report it with the reason in the log.',
  E_VERSION: 'Reload the page, and update the agent and the edge to the same release.',
  E_FLOW_CONTROL: 'Update direct-agent on both ends; if it stays, report it.',
  E_HANDSHAKE_TIMEOUT: 'A firewall may block UDP. Requests go over HTTPS meanwhile.',
  E_HOST_OFFLINE: 'Start the agent on the home machine: direct-agent up',
  E_HOST_BUSY: 'Close another page, or raise max_conns in the agent’s configuration.',
  E_STREAM_LIMIT: 'Wait until earlier requests have ended.',
  E_HEAD_TOO_LARGE: 'Send fewer or shorter header fields; cookies are the usual cause.',
  E_BAD_TARGET: 'Use an absolute path without “..”, “//”, backslashes or control characters.',
  E_FORBIDDEN_TARGET: 'Allow it in the agent’s configuration (allowed_prefixes, allow_management).',
  E_BODY_TOO_LARGE: 'Send less, or raise max_body_bytes in the agent’s configuration.',
  E_NO_UPSTREAM: 'Start Ollama, llama.cpp, LM Studio or another server, or set upstream in the agent’s configuration.',
  E_UPSTREAM_UNREACHABLE: 'Check that the server runs and that the agent’s upstream address is right.',
  E_UPSTREAM_FAILED: 'Look at the LLM server’s own log.',
  E_CANCELLED: 'Nothing to do: one side gave up the request on purpose.',
  E_PATH_LOST: 'The client reconnects by itself.',
  E_OUTCOME_UNKNOWN: 'Check the result before you send the request again.',
  E_GOING_AWAY: 'Start the agent again, or wait until it has restarted.',
  E_BAD_REQUEST: 'The text in brackets names what is wrong; shared/PROTOCOL.md has the messages and their limits.',
  E_TOO_LARGE: 'See shared/PROTOCOL.md for the messages and their limits.',
  E_RATE_LIMITED: 'Wait for as long as Retry-After says.',
  E_HOST_KEY:
    'Somebody between this device and the host may have changed something: do not trust this edge. If the key has expired, check this device’s clock.',
  E_HOST_RESTARTED: 'Check the result before you send the request again.',
  E_HOST_KEY_CHANGED:
    'If the host was set up anew, open the link that its agent prints; if it was not, somebody else answers for it.',
  E_HOST_KEY_UNCONFIRMED:
    'Open the link that the agent prints, or compare the fingerprint with that of: direct-agent status',
  E_DEVICE_UNKNOWN: 'On the home machine run: direct-agent pair, and open the link on this device.',
  E_PAIRING: 'Make another one on the home machine: direct-agent pair',
  E_UNAUTHORIZED: 'Sign in again; programs need an API key, and an agent: direct-agent login',
  E_FORBIDDEN: 'Ask the owner of the edge for one that does.',
  E_NOT_CONFIGURED: 'Run: openssl rand -hex 32 | npx wrangler secret put OWNER_TOKEN',
  E_NOT_FOUND: 'Check the URL.',
  E_METHOD: 'See the Allow header.',
  E_ORIGIN: 'If the page is yours, add its origin to ALLOWED_ORIGINS of the edge.',
  E_SESSION_UNKNOWN: 'Ask for a new session; clients do so by themselves.',
  E_REPLACED: 'Run one agent per host; stop the other one.',
  E_INTERNAL: 'Try again; if it stays, report it with the log.',
};
