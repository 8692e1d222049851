/**
 * Every quantity that a peer controls, with its limit and the reason for it.
 * Sizes are bytes and times are milliseconds unless the name says otherwise.
 */

/** Version of everything in PROTOCOL.md; peers with another version refuse each other. */
export const PROTOCOL_VERSION = 1;

// ---- signaling -------------------------------------------------------------------------------

/** A data-channel SDP is under 1 kB without candidates and under 4 kB with 30 of them. */
export const MAX_SDP_BYTES = 32 * 1024;
/** One signaling message or batch; an SDP plus JSON escaping fits, a memory attack does not. */
export const MAX_SIGNAL_BYTES = 64 * 1024;
/** An honest candidate line is under 200 bytes (RFC 8839, section 5.1); relay ones are the longest. */
export const MAX_CANDIDATE_BYTES = 512;
/** An honest peer sends under 20; bounds what a session stores and what the other end must try. */
export const MAX_CANDIDATES_PER_SESSION = 64;
/** Messages waiting for a peer that polls; offer, answer and candidates of one session fit. */
export const MAX_QUEUED_SIGNALS = 128;
/**
 * Messages for an agent that is not there to take them. Clients give up soon after their offer (term-llm's page after
 * 8 s, ours after 15 s), and an agent that comes back must not spend its slots and polls on those that are gone.
 */
export const QUEUED_SIGNAL_TTL_MS = 10_000;
/** A session that saw no message for this long is deleted; a connection takes under 10 s. */
export const SIGNALING_SESSION_TTL_MS = 60_000;
/** term-llm's agent gives up a poll after 15 s and its browser after 12 s, so answer before both. */
export const POLL_HOLD_MS = 10_000;
/**
 * An agent that has not polled for this long is offline. term-llm's pauses 2 s between polls; this forgives it a slow
 * network and two failures of 10 s.
 */
export const POLL_PRESENCE_MS = 30_000;
/** The agent pings its WebSocket this often; Cloudflare's auto-response answers without waking the object. */
export const AGENT_PING_INTERVAL_MS = 25_000;
/** Three missed pings: a host that was not heard from for this long is offline. */
export const HOST_OFFLINE_AFTER_MS = 75_000;
/** Sessions that one host accepts per minute, from all clients: a page reload costs one, a flood stops here. */
export const MAX_SESSIONS_PER_HOST_PER_MINUTE = 120;
/** `host id` and `session id` in URLs: base64url of at most 32 bytes, or a name that the owner chose. */
export const MAX_ID_LENGTH = 64;

// ---- session layer ---------------------------------------------------------------------------

/** One message on a path. Chrome and werift accept more, but a longer one delays every other stream. */
export const MAX_MESSAGE_BYTES = 65_536;
/** Stream credit before the first MAX_STREAM_DATA: one bandwidth-delay product of 25 MB/s at 40 ms. */
export const INITIAL_STREAM_CREDIT = 1024 * 1024;
/** Session credit before the first MAX_DATA: bounds what one peer makes the other hold; eight stalled streams fill it. */
export const INITIAL_SESSION_CREDIT = 8 * 1024 * 1024;
/**
 * Bytes that an end keeps to send them again, whatever credit the peer grants: a peer that grants much and
 * acknowledges nothing must not make it hold a whole response.
 */
export const MAX_UNACKNOWLEDGED_STREAM_BYTES = INITIAL_STREAM_CREDIT;
export const MAX_UNACKNOWLEDGED_SESSION_BYTES = INITIAL_SESSION_CREDIT;
/** Streams a client may have open at once; a browser page rarely has 10. Opening more is a violation. */
export const MAX_CONCURRENT_STREAMS = 128;
/**
 * Lanes of one path: a lane of its own for each stream that a client may have open, and one for what belongs to none. They
 * are SCTP streams below one association, of which browsers have 1,024.
 */
export const MAX_LANES = MAX_CONCURRENT_STREAMS + 1;
/** A request or response head as JSON. Node's own HTTP parser stops at 16 KiB; cookies may be larger behind proxies. */
export const MAX_HEAD_BYTES = 64 * 1024;
/** Header fields in one head; nginx and Node stop at 100 and 2,000. Bounds the work per head. */
export const MAX_HEADERS = 256;
/**
 * One message of a tunnelled WebSocket; a Realtime API's audio comes in messages of under 100 kB. It is collected
 * while it is read, so no credit is too small for it. Unlike bytes that wait under credit, its beginning is held for
 * as long as its end does not come: a stream can make its receiver hold this much beside its credit, and as much again
 * while the buffer grows.
 */
export const MAX_SOCKET_MESSAGE_BYTES = 1024 * 1024;
/**
 * What a client of the tunnel may have sent into its WebSocket that the host has not taken. A Durable Object cannot
 * stop a WebSocket from delivering (workerd took 100 MB in a second), so more than this closes it. The object has
 * 128 MB; a few messages of the greatest length, sent at once over a faster line than the host's, fit.
 */
export const MAX_SOCKET_BACKLOG_BYTES = 8 * 1024 * 1024;
/** The JSON of HELLO: versions, a token, and the proof of a device in under 600 bytes. */
export const MAX_HELLO_BYTES = 4096;
/** Characters of a device's name: “Firefox on a phone”. It is shown to people, and kept for each device. */
export const MAX_DEVICE_NAME_LENGTH = 64;
/**
 * What may arrive on a path between its HELLO and the agent's decision whether to admit it, each message with
 * UNOPENED_MESSAGE_BYTES for its object. The decision takes milliseconds; an honest client sends its first requests
 * meanwhile, under the first credit of a stream. From a stranger it is what he can make the agent hold for each path.
 */
export const MAX_UNADMITTED_BYTES = 2 * INITIAL_STREAM_CREDIT;
/** UTF-8 bytes of the reason in CONNECTION_CLOSE: a sentence for people. */
export const MAX_REASON_BYTES = 512;
/** Acknowledgements of ended streams that wait for a blocked path: an honest peer repeats frames of open streams only. */
export const MAX_QUEUED_ACKNOWLEDGEMENTS = 1024;

/** Channels have random numbers of at most four bytes, so that a late message of an earlier one hits no later one. */
export const MAX_CHANNEL_NUMBER = 2 ** 30 - 1;
/** One binary message between edge and agent: a message of the session layer after its channel's number. */
export const MAX_ENVELOPE_BYTES = MAX_MESSAGE_BYTES + 4;
/**
 * What one poll or POST carries where the agent polls. HTTP proxies, for which that is made, often stop at 1 MB (nginx
 * does); a quarter of it is little enough for a slow uplink and enough for several MB/s on a fast one.
 */
export const MAX_BATCH_BYTES = 256 * 1024;
/**
 * What waits in a HostObject for the next poll: sixteen streams with their whole first credit. Clients on relays cannot
 * be held back, so beyond it the channels end.
 */
export const MAX_POLL_QUEUE_BYTES = 16 * 1024 * 1024;
/** Channels that an agent serves at once; each may make it hold the session's credit. Tunnel and relays need fewer. */
export const MAX_CHANNELS = 32;
/**
 * Channels that one HostObject opens for its tunnel. Each may make it hold the session's credit twice (to receive, and
 * to send again), and the object has 128 MB.
 */
export const MAX_TUNNEL_CHANNELS = 4;
/**
 * Relays of one HostObject. What a client does not read waits in the object, up to the session's credit: eight of
 * them may fill the half of its 128 MB that the tunnel leaves.
 */
export const MAX_RELAYS = 8;

/** A client attaches to signaling and the relay while it asks for its session; they may overtake it by so much. */
export const RELAY_ADMISSION_MS = 1_000;
/** Characters of a session's id that a client chose: 120 bits and more, since knowing it is all that its owner shows. */
export const MIN_CHOSEN_ID_LENGTH = 20;

/** Nothing heard on a path for this long: send PING. */
export const LIVENESS_IDLE_MS = 10_000;
/** No answer to the PING for this long: the path is dead. */
export const LIVENESS_TIMEOUT_MS = 10_000;
/** While a client waits for bytes on a direct path, it asks sooner: a dead path is silence that people see. */
export const BUSY_DIRECT_IDLE_MS = 1_500;
/** The same on the relay, where each message costs and where there is rarely another path to move to. */
export const BUSY_RELAY_IDLE_MS = 3_000;
/**
 * On a direct path where nobody waits for anything: with LIVENESS_DOUBT_MS a dead direct path is left within 5 s all the
 * same, before the next request meets it. Consent checks (RFC 7675) are sent about as often, so this wakes no radio that
 * sleeps.
 */
export const RESTING_DIRECT_IDLE_MS = 3_000;
/** No answer to the PING for this long: another path is used, if there is one. SCTP and TCP resend after 1 s. */
export const LIVENESS_DOUBT_MS = 1_500;
/** A session without any path lives this long: a phone between two networks, an edge that is deployed again. */
export const SESSION_SURVIVAL_MS = 60_000;
/**
 * A client's session that no agent has answered ends so soon after its last path: there may be nothing to resume, and its
 * requests may find another way, or learn that the host is offline.
 */
export const UNANSWERED_SURVIVAL_MS = 10_000;
/** Paths of one session at once: one direct, one relay, and their successors while they overlap. */
export const MAX_PATHS = 6;
/** Sessions that an agent keeps, those between two paths included; each may make it hold the session's credit. */
export const MAX_SESSIONS = 64;
/** A path that was left so soon after it was chosen counts as unreliable, and is chosen later the next time. */
export const PATH_STABLE_MS = 30_000;
/** The longest time for which a better path must have worked before it is chosen again. */
export const MAX_PATH_PROOF_MS = 60_000;
/** After a network change the client wants to know now whether the path still works. */
export const LIVENESS_PROBE_MS = 2_000;

// ---- the relay's encryption ------------------------------------------------------------------

/** What a sealed message has more than its plaintext, at most: the first one's key id and encapsulated key, and the tag. */
export const SEAL_OVERHEAD_BYTES = 8 + 32 + 16;
/**
 * Messages sealed by one end of a path, which ends then. The limit of QUIC (RFC 9001, section 6.6) for AES-GCM and
 * packets of up to 2^16 bytes; at the 20 messages a second of a batched relay it is reached after five days.
 */
export const MAX_SEALED_MESSAGES = 2 ** 23;
/**
 * Bytes that have arrived and wait to be opened, each message with UNOPENED_MESSAGE_BYTES for its object. An honest
 * peer stays below its session's credit; tiny messages arrive faster than they can be opened, and would pile up.
 */
export const MAX_UNOPENED_BYTES = 2 * INITIAL_SESSION_CREDIT;
/** About what a waiting message costs besides its bytes. */
export const UNOPENED_MESSAGE_BYTES = 256;
/** The agent announces a new relay key this often: who steals one can open what came in the time before. */
export const RELAY_KEY_ROTATION_MS = 60 * 60_000;
/** Clients get the announcement when they ask for a session, so each may be used for an hour at least. */
export const RELAY_KEY_LIFETIME_MS = 2 * RELAY_KEY_ROTATION_MS;
/** How often the agent looks for keys that are due: a machine that slept has timers that are late. */
export const RELAY_KEY_CHECK_MS = 60_000;
/**
 * First messages that one relay key takes; all are remembered, so that none is taken twice. The edge lets
 * MAX_SESSIONS_PER_HOST_PER_MINUTE through, which are 14,400 in a key's lifetime, and 16,384 take about 2 MB.
 */
export const MAX_FIRST_MESSAGES_PER_RELAY_KEY = 16_384;

// ---- agent -----------------------------------------------------------------------------------

/** From the offer to HELLO on the data channel; an abandoned attempt frees its slot after this. */
export const HANDSHAKE_TIMEOUT_MS = 15_000;
/** Request bodies towards the upstream; images for vision models fit. Configurable. */
export const DEFAULT_MAX_BODY_BYTES = 10 * 1024 * 1024;
/** Simultaneous connections per agent. Configurable. */
export const DEFAULT_MAX_CONNECTIONS = 10;
/** Devices that a host accepts: a person has few. Their list fits into host_info, and a leaked link fills no disk. */
export const MAX_DEVICES = 100;
/** In host_info: upstreams, models of each, and characters of a name; hosts with more show the first ones. */
export const MAX_INFO_SERVERS = 16;
export const MAX_INFO_MODELS = 256;
export const MAX_INFO_TEXT_LENGTH = 128;
/**
 * What the agent keeps of a held response. Tokens come as server-sent events of about 250 bytes, so this is an answer of
 * 16,000 tokens that nobody reads meanwhile; of a longer one that is read, the latest part.
 */
export const MAX_HELD_RESPONSE_BYTES = 4 * 1024 * 1024;
/**
 * Of a response that is over its limit, so much stays behind what its reader was given: all that can have been on its
 * way to a page that was reloaded, and as much again that the page had and did not keep.
 */
export const HELD_BEHIND_BYTES = 2 * MAX_UNACKNOWLEDGED_STREAM_BYTES;
/** All held responses together: an agent lives on small machines, and a key must not fill their memory. */
export const MAX_HELD_BYTES = 32 * 1024 * 1024;
/** With MAX_HELD_BYTES in use, a response that is read goes on, so far ahead of its reader. */
export const HELD_AHEAD_BYTES = 64 * 1024;
/** Held responses of one subject: a page has one for each conversation that is being answered. */
export const MAX_HELD_RESPONSES_PER_SUBJECT = 16;
/** Held responses in all: as many sessions as an agent keeps; with HELD_AHEAD_BYTES each they need 4 MB. */
export const MAX_HELD_RESPONSES = 64;
/** A request path with its query, before anything is done with it. */
export const MAX_TARGET_BYTES = 8192;

// ---- client ----------------------------------------------------------------------------------

/** Without a direct path after this long, requests use HTTPS while the client keeps trying. */
export const DIRECT_DEADLINE_MS = 8_000;
/** Pauses before the relay is tried again, in order; the last one repeats. A session waits for it, so they are short. */
export const RELAY_RETRY_DELAYS_MS: readonly number[] = [100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
/** Pauses between attempts at a direct path in the background, in order; the last one repeats. */
export const RETRY_DELAYS_MS: readonly number[] = [2_000, 5_000, 10_000, 30_000, 60_000];
/**
 * While requests run and no path is open, attempts at each path begin at least so often: the longest pauses above are as
 * long as such a session lives (SESSION_SURVIVAL_MS), so that no more than that comes of it.
 */
export const STRANDED_RETRY_MS = 5_000;
