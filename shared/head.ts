/** Heads of HTTP messages as JSON (PROTOCOL.md, section 6), validated where they come in. */
import { ProtocolError } from './errors.ts';
import { isHoldId, isResume, type Resume } from './hold.ts';
import { MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES } from './limits.ts';

/** Header fields in order, repeated ones repeated; names in lower case as in HTTP/2 and HTTP/3. */
export type HeaderList = [name: string, value: string][];

export interface RequestHead {
  method: string;
  /** Origin form: absolute path and query (RFC 9112, section 3.2.1). Checked by the agent, see target.ts. */
  path: string;
  /** Asks for a WebSocket, as extended CONNECT does in HTTP/2 (RFC 8441, section 4); the method is GET. */
  protocol?: 'websocket';
  /** The agent keeps the response under this id for its client to come back for. */
  hold?: string;
  /** No request to an upstream: asks for a kept response (GET), or gives it up (DELETE). `path` is `/`. */
  resume?: Resume;
  /** What of the host is asked: its own web UI. Absent: its models. */
  service?: Service;
  headers: HeaderList;
}

export type Service = 'web_ui';

export interface ResponseHead {
  /** 200 to 599, or 101 when the stream is a WebSocket from here on; interim responses are not forwarded. */
  status: number;
  statusText: string;
  headers: HeaderList;
}

// RFC 9110, section 5.6.2.
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// RFC 9110, section 5.5, with obs-text as Latin-1, which is what Fetch's ByteString allows.
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const REASON_PHRASE = /^[\t\x20-\x7e\x80-\xff]{0,256}$/;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** @throws ProtocolError `E_HEAD_TOO_LARGE` when the JSON is over MAX_HEAD_BYTES or has over MAX_HEADERS fields. */
export function encodeHead(head: RequestHead | ResponseHead | HeaderList): Uint8Array {
  const fields = Array.isArray(head) ? head : head.headers;
  const bytes = encoder.encode(JSON.stringify(head));
  if (bytes.length > MAX_HEAD_BYTES || fields.length > MAX_HEADERS) {
    throw new ProtocolError(`${bytes.length} bytes, ${fields.length} fields`, 'E_HEAD_TOO_LARGE');
  }
  return bytes;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes)) as unknown;
  } catch {
    throw new ProtocolError('a head is not JSON');
  }
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  const raw = parseJson(bytes);
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) throw new ProtocolError('a head is no object');
  return raw as Record<string, unknown>;
}

function parseFields(raw: unknown): HeaderList {
  if (!Array.isArray(raw)) throw new ProtocolError('header fields must be a list');
  if (raw.length > MAX_HEADERS) throw new ProtocolError(`${raw.length} header fields`, 'E_HEAD_TOO_LARGE');
  return raw.map((field: unknown): [string, string] => {
    if (!Array.isArray(field) || field.length !== 2) throw new ProtocolError('a header field must be a pair');
    const [name, value] = field as [unknown, unknown];
    if (typeof name !== 'string' || !TOKEN.test(name)) throw new ProtocolError('a header name is malformed');
    if (typeof value !== 'string' || !FIELD_VALUE.test(value)) throw new ProtocolError('a header value is malformed');
    return [name.toLowerCase(), value];
  });
}

/** @throws ProtocolError */
export function parseRequestHead(bytes: Uint8Array): RequestHead {
  const { method, path, protocol, service, hold, resume, headers } = parseObject(bytes);
  if (typeof method !== 'string' || method.length > 32 || !TOKEN.test(method)) {
    throw new ProtocolError('the method is malformed');
  }
  // Twice the limit on purpose: target.ts says with its own code what is wrong with a path.
  if (typeof path !== 'string' || path.length > 2 * MAX_TARGET_BYTES) throw new ProtocolError('the path is malformed');
  const head: RequestHead = { method, path, headers: parseFields(headers) };
  if (service !== undefined) {
    if (service !== 'web_ui') throw new ProtocolError('a service that is not known');
    head.service = service;
  }
  const special = [protocol, hold, resume].filter((asked) => asked !== undefined).length;
  if (special > 1 || (service !== undefined && protocol === undefined && special > 0)) {
    throw new ProtocolError('a head asks for two things at once');
  }
  if (protocol !== undefined) {
    if (protocol !== 'websocket' || method !== 'GET') throw new ProtocolError('an upgrade to something else');
    return { ...head, protocol };
  }
  if (hold !== undefined) {
    if (!isHoldId(hold)) throw new ProtocolError('hold is no id');
    return { ...head, hold };
  }
  if (resume === undefined) return head;
  if (!isResume(resume)) throw new ProtocolError('resume is malformed');
  if ((method !== 'GET' && method !== 'DELETE') || path !== '/') throw new ProtocolError('resume with a target');
  return { ...head, resume: { id: resume.id, from: resume.from } };
}

/** @throws ProtocolError */
export function parseResponseHead(bytes: Uint8Array): ResponseHead {
  const { status, statusText, headers } = parseObject(bytes);
  if (typeof status !== 'number' || !Number.isInteger(status) || status > 599 || (status < 200 && status !== 101)) {
    throw new ProtocolError('the status is malformed');
  }
  if (typeof statusText !== 'string' || !REASON_PHRASE.test(statusText)) {
    throw new ProtocolError('the reason phrase is malformed');
  }
  return { status, statusText, headers: parseFields(headers) };
}

/** @throws ProtocolError */
export function parseTrailers(bytes: Uint8Array): HeaderList {
  return parseFields(parseJson(bytes));
}
