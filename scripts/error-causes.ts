/**
 * What usually brings each error about, for docs/troubleshooting.md. What happened and what to do are in shared/
 * (errors.ts, error-hints.ts), which pages load; this is longer, and no page needs it.
 */
import type { ErrorCode } from '../shared/errors.ts';

export const CAUSES: Readonly<Record<ErrorCode, string>> = {
  E_PROTOCOL:
    'A client or an agent that is much older or newer than the other end, or a program that speaks the protocol wrongly. The part in brackets names the rule.',
  E_VERSION: 'Page, agent and edge are of different releases, such as a tab that was open during an update.',
  E_FLOW_CONTROL: 'A mistake in the program at the other end: it sends without waiting for room.',
  E_HANDSHAKE_TIMEOUT:
    'UDP is blocked at one end, no TURN server is set up, or one of the two went to sleep in the middle. In 15 seconds no path came about.',
  E_HOST_OFFLINE: 'The home machine is off, asleep or without internet, or the agent does not run there.',
  E_HOST_BUSY: 'More pages and programs are connected than `max_conns`, or more than 8 by the relay.',
  E_STREAM_LIMIT: 'More than 128 requests at once from one client. Usually a loop that does not wait for answers.',
  E_HEAD_TOO_LARGE: 'More than 64 kB or 256 fields in a head. Usually cookies, or a token that is a whole document.',
  E_BAD_TARGET: 'A program joins a base URL and a path wrongly, such as `/v1//chat`.',
  E_FORBIDDEN_TARGET:
    'The path is none of the inference routes: one that manages models (`/api/pull`), a base URL without `/v1`, or a route of a server that the agent does not know.',
  E_BODY_TOO_LARGE: 'Images, audio or a long document in the request, more than `max_body_bytes`.',
  E_NO_UPSTREAM:
    'The LLM server was not started, listens at a port that the agent does not know, or runs on another machine. For a web UI: `web_ui` is not set.',
  E_UPSTREAM_UNREACHABLE: 'The LLM server has stopped since it was found, or `upstream` names the wrong port.',
  E_UPSTREAM_FAILED: 'The LLM server crashed, was restarted, or ran out of memory while it answered.',
  E_CANCELLED: 'Somebody pressed Stop, closed the page, or a program gave up waiting.',
  E_PATH_LOST:
    'Both the direct path and the relay were gone for a minute, or a program without our client was cut off by the network.',
  E_OUTCOME_UNKNOWN:
    'The connection broke after the request was sent and before its answer began. Sent again, it might run twice.',
  E_GOING_AWAY: 'The agent was stopped, by you, by an update, or with its machine.',
  E_BAD_REQUEST: 'A program that speaks the edge’s own API wrongly, or a page that is older than the edge.',
  E_TOO_LARGE: 'A message of the signaling, or of the edge’s own API, that no honest program sends.',
  E_RATE_LIMITED:
    'The API key’s `requests_per_minute`, more than 120 new sessions of one host a minute, more than 600 requests a minute from one address, wrong guesses of a token, code or link, or more requests in the [queue](llm-servers.md#taking-turns) than may wait.',
  E_HOST_KEY:
    'A signature that does not fit. Honest reasons are a wrong clock on this device, or an agent that is too old; the other one is that somebody in between answers in the host’s name.',
  E_HOST_RESTARTED: 'The agent was restarted, or the machine slept, while the request ran.',
  E_HOST_KEY_CHANGED:
    'The host was set up anew (`logout --forget-key`, a lost folder, a container without a volume), or somebody else answers for it.',
  E_HOST_KEY_UNCONFIRMED:
    'This device has never opened the link that the agent prints, and nobody has compared the fingerprint.',
  E_DEVICE_UNKNOWN:
    'The host has `access: paired`, and this browser is not paired: another profile, a private window, or deleted site data. Programs without our client never are.',
  E_PAIRING:
    'A pairing link works once and for ten minutes. Private windows keep no keys; a host has 100 devices at most.',
  E_UNAUTHORIZED:
    'A sign-in that has ended, an API key that was revoked or is of another edge, or a host that was removed in the dashboard.',
  E_FORBIDDEN:
    'An API key or an invitation for other hosts, paths or models; a tunnel request to a host with `tunnel: no`; or a web UI that is not switched on.',
  E_NOT_CONFIGURED:
    'The edge was deployed and `OWNER_TOKEN` is not set yet, or two of its settings contradict each other; its page says which.',
  E_NOT_FOUND:
    'A slip in the address, an invitation or login that is used or expired, or an answer that is no longer held.',
  E_METHOD: 'A program that uses GET where POST is meant, or the other way round.',
  E_ORIGIN: 'A page of yours at another address uses the edge, or a link leads from elsewhere into a web UI.',
  E_SESSION_UNKNOWN: 'The signaling session, which lives for a minute, is over; for instance after sleep.',
  E_REPLACED: 'The same login runs twice: on two machines, or as a service and in a terminal.',
  E_INTERNAL: 'A mistake in direct-agent, or Cloudflare is in trouble.',
};
