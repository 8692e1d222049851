/** All conversations in one file of JSON, and back. Anybody may have made the file that comes back. */
import { type Answer, type Attachment, type Conversation, inOrder, type Kept, type Message } from './conversation.ts';
import { parametersFrom } from './parameters.ts';

const FORMAT = 'direct-agent.chats';
const VERSION = 1;
/** Bounds what a file makes the page hold; people have some hundreds of conversations. */
export const MAX_ARCHIVE_BYTES = 256 * 1024 * 1024;
const MAX_CONVERSATIONS = 20_000;
const MAX_MESSAGES = 20_000;
const MAX_TEXT = 4 * 1024 * 1024;
const MAX_SHORT_TEXT = 300;
const MAX_ATTACHMENTS = 16;
/** What this page itself makes is under 2 MB; recordings may be longer. */
const MAX_ATTACHMENT = 16 * 1024 * 1024;

export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

export function toArchive(kept: readonly Kept[], now: number): string {
  const conversations = kept.map(({ conversation, messages }) => ({
    ...conversation,
    messages: inOrder(messages).map(withoutHeld),
  }));
  const exported_at = new Date(now).toISOString();
  return JSON.stringify({ format: FORMAT, version: VERSION, exported_at, conversations });
}

/** The name under which a host holds an answer is for this browser alone. */
function withoutHeld(message: Message): Message {
  if (message.role === 'user') return message;
  const { held: _, ...answer } = message;
  return answer;
}

/** @throws ArchiveError, in words for the person, when any part is not what it should be. */
export function fromArchive(text: string): Kept[] {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new ArchiveError('The file is no JSON.');
  }
  const { format, version, conversations } = record(file, 'file');
  if (format !== FORMAT) throw new ArchiveError('The file is no export of this page.');
  if (version !== VERSION) throw new ArchiveError('The file is of another version of this page.');
  return list(conversations, MAX_CONVERSATIONS, 'conversations').map(keptFrom);
}

function keptFrom(value: unknown): Kept {
  const given = record(value, 'conversation');
  const id = idFrom(given.id);
  const conversation: Conversation = {
    id,
    title: string(given.title, MAX_SHORT_TEXT, 'title').trim() || 'Untitled',
    createdAt: time(given.createdAt),
    updatedAt: time(given.updatedAt),
    model: string(given.model, MAX_SHORT_TEXT, 'model'),
    system: string(given.system, MAX_TEXT, 'system'),
    parameters: parametersFrom(given.parameters),
  };
  const messages = list(given.messages, MAX_MESSAGES, 'messages').map((message) => messageFrom(message, id));
  return { conversation, messages };
}

function messageFrom(value: unknown, conversation: string): Message {
  const given = record(value, 'message');
  const said = {
    id: idFrom(given.id),
    conversation,
    turn: time(given.turn),
    text: string(given.text, MAX_TEXT, 'text'),
  };
  if (given.role === 'user') {
    const attachments = list(given.attachments, MAX_ATTACHMENTS, 'attachments').map(attachmentFrom);
    return { ...said, role: 'user', attachments };
  }
  if (given.role !== 'assistant') throw new ArchiveError('A message of the file is of nobody.');
  const answer: Answer = {
    ...said,
    role: 'assistant',
    state: stateFrom(given.state),
    model: string(given.model, MAX_SHORT_TEXT, 'model'),
    reasoning: string(given.reasoning, MAX_TEXT, 'reasoning'),
    startedAt: time(given.startedAt),
  };
  for (const name of ['durationMs', 'tokens', 'tokensPerSecond'] as const) {
    const number = given[name];
    if (typeof number === 'number' && Number.isFinite(number) && number >= 0) answer[name] = number;
  }
  if (answer.state !== 'failed') return answer;
  const error = record(given.error ?? {}, 'error');
  // Servers may say a lot, and what they said was kept as it was.
  const message = string(error.message ?? 'The answer failed.', MAX_TEXT, 'error').slice(0, MAX_SHORT_TEXT);
  return { ...answer, error: { message } };
}

/** What was running when the file was made does so nowhere any more. */
function stateFrom(state: unknown): Answer['state'] {
  if (state === 'done' || state === 'stopped' || state === 'failed' || state === 'broken') return state;
  if (state === 'running') return 'broken';
  throw new ArchiveError('An answer of the file has no known state.');
}

/** Only what this page itself makes: nothing that the browser would fetch, and no markup as SVG is. */
function attachmentFrom(value: unknown): Attachment {
  const given = record(value, 'attachment');
  const name = string(given.name, MAX_SHORT_TEXT, 'name');
  if (given.kind === 'image') {
    const url = string(given.url, MAX_ATTACHMENT, 'url');
    if (/^data:image\/(?:png|jpeg|webp);base64,[A-Za-z0-9+/]+=*$/.test(url)) return { kind: 'image', name, url };
  } else if (given.kind === 'audio' && (given.format === 'wav' || given.format === 'mp3')) {
    const data = string(given.data, MAX_ATTACHMENT, 'data');
    if (/^[A-Za-z0-9+/]+=*$/.test(data)) return { kind: 'audio', name, format: given.format, data };
  }
  throw new ArchiveError('An attachment of the file is of no kind that this page knows.');
}

function record(value: unknown, what: string): Partial<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new ArchiveError(`The file’s ${what} is not as it should be.`);
}

function list(value: unknown, most: number, what: string): unknown[] {
  if (Array.isArray(value) && value.length <= most) return value;
  throw new ArchiveError(`The file’s ${what} are missing or too many.`);
}

function string(value: unknown, most: number, what: string): string {
  if (typeof value === 'string' && value.length <= most) return value;
  throw new ArchiveError(`In the file a ${what} is missing or too long.`);
}

function idFrom(value: unknown): string {
  if (typeof value === 'string' && /^[\w-]{1,64}$/.test(value)) return value;
  throw new ArchiveError('In the file an id is missing.');
}

function time(value: unknown): number {
  // What `Date` can show (ECMA-262, section 21.4.1.1).
  if (typeof value === 'number' && Number.isFinite(value) && Math.abs(value) <= 8.64e15) return value;
  throw new ArchiveError('In the file a time is missing.');
}
