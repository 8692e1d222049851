/** What is said in a conversation, as this device keeps it. Nothing here knows of a page or a database. */
import type { Parameters } from './parameters.ts';

export interface Conversation {
  id: string;
  /** As it stands in the list: of the first message, or what the person called it. */
  title: string;
  /** Milliseconds since 1970, as all times here. */
  createdAt: number;
  updatedAt: number;
  /** Asked last. */
  model: string;
  /** The system prompt; empty: none. */
  system: string;
  parameters: Parameters;
}

/** Of one question. */
export const MAX_ATTACHMENTS = 8;

export type Attachment =
  | { kind: 'image'; name: string /** `data:image/…;base64,…` */; url: string }
  | { kind: 'audio'; name: string; format: 'wav' | 'mp3' /** Base64. */; data: string };

interface Said {
  id: string;
  conversation: string;
  /** When the question of its turn was asked: a question and its answer have the same, and their order by it. */
  turn: number;
  /** What was written; of an answer as it came, with `<think>` where the server leaves that in. */
  text: string;
}

export interface Question extends Said {
  role: 'user';
  attachments: Attachment[];
}

/**
 * - `running`: comes, or did when this was written: the page may have been closed since.
 * - `broken`: the rest of it is lost.
 */
export type AnswerState = 'running' | 'done' | 'stopped' | 'failed' | 'broken';

/** Where the rest of a running answer can be had. */
export interface Held {
  /** The host that holds it. */
  host: string;
  id: string;
  /** Of the response’s body: all before this are in the text. */
  bytes: number;
}

export interface Answer extends Said {
  role: 'assistant';
  state: AnswerState;
  model: string;
  reasoning: string;
  startedAt: number;
  /** Until its end. */
  durationMs?: number;
  tokens?: number;
  /** Of the server, or measured between the first token and the last. */
  tokensPerSecond?: number;
  error?: { message: string; hint?: string };
  held?: Held;
}

export type Message = Question | Answer;

export interface Kept {
  conversation: Conversation;
  messages: Message[];
}

const TITLE_CHARACTERS = 60;

export function newConversation(id: string, now: number): Conversation {
  return { id, title: '', createdAt: now, updatedAt: now, model: '', system: '', parameters: {} };
}

/** In the order in which they were said; two tabs may have added to it at once. */
export function inOrder(messages: readonly Message[]): Message[] {
  const rank = ({ role }: Message) => (role === 'user' ? 0 : 1);
  return messages.toSorted((a, b) => a.turn - b.turn || rank(a) - rank(b) || (a.id < b.id ? -1 : 1));
}

/** After every turn that there is, also when the device’s clock went back. */
export function nextTurn(messages: readonly Message[], now: number): number {
  return Math.max(now, ...messages.map(({ turn }) => turn + 1));
}

/** The first words of the first message. */
export function titleFrom({ text, attachments }: Question): string {
  const line = text.trim().replace(/\s+/g, ' ');
  if (line === '') return attachments.some(({ kind }) => kind === 'image') ? 'An image' : 'A recording';
  if (line.length <= TITLE_CHARACTERS) return line;
  const cut = line.slice(0, TITLE_CHARACTERS);
  const space = cut.lastIndexOf(' ');
  return `${space > TITLE_CHARACTERS / 2 ? cut.slice(0, space) : cut.replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** Newest first. */
export function byAge(conversations: readonly Conversation[]): Conversation[] {
  return conversations.toSorted((a, b) => b.updatedAt - a.updatedAt || (a.id < b.id ? -1 : 1));
}
