/**
 * Counts the events of a streamed answer while it passes, without decoding or keeping it. Servers send about one event
 * per token, so this is what the agent knows of tokens: nobody's text is looked at.
 */

/** `sse`: text/event-stream (OpenAI's APIs). `lines`: JSON lines (Ollama's own API). */
export type EventForm = 'sse' | 'lines';

/** Of an answer's Content-Type; undefined when it is none that streams events. */
export function eventForm(contentType: string | undefined): EventForm | undefined {
  switch (contentType?.split(';', 1)[0]?.trim().toLowerCase()) {
    case 'text/event-stream':
      return 'sse';
    case 'application/x-ndjson':
    case 'application/jsonl':
      return 'lines';
    default:
      return undefined;
  }
}

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const FIELD = bytesOf('data:');
/** What OpenAI's APIs say after the last event. */
const DONE = bytesOf('[DONE]');

/**
 * Where in its line the counter is:
 * - `field`: all of it so far is the beginning of `data:`.
 * - `blank`: `data:` was there, and then at most one space.
 * - `done`: the data so far is the beginning of `[DONE]`.
 * - `rest`: what follows says nothing more.
 */
type Place = 'field' | 'blank' | 'done' | 'rest';

export class EventCounter {
  readonly #form: EventForm;
  #place: Place = 'field';
  /** Bytes of FIELD or DONE that were there. */
  #matched = 0;
  #hasSpace = false;

  constructor(form: EventForm) {
    this.#form = form;
  }

  /** How many events begin in this piece, or are known to be some by it. */
  count(bytes: Uint8Array): number {
    let events = 0;
    let carriageReturn = bytes.indexOf(CR);
    for (let at = 0; at < bytes.length; at++) {
      if (this.#place === 'rest') {
        // Most of all bytes: the next line is found without looking at each.
        const lineFeed = bytes.indexOf(LF, at);
        if (carriageReturn >= 0 && carriageReturn < at) carriageReturn = bytes.indexOf(CR, at);
        at = carriageReturn < 0 ? lineFeed : lineFeed < 0 ? carriageReturn : Math.min(lineFeed, carriageReturn);
        if (at < 0) break;
      }
      const byte = bytes[at] ?? LF;
      if (byte === LF || byte === CR) {
        // A part of the mark is none.
        if (this.#place === 'done' && this.#matched < DONE.length) events++;
        this.#place = 'field';
        this.#matched = 0;
        this.#hasSpace = false;
      } else if (this.#form === 'sse' ? this.#inData(byte) : this.#inLine(byte)) {
        events++;
        this.#place = 'rest';
      }
    }
    return events;
  }

  #inLine(byte: number): boolean {
    return byte !== SPACE && byte !== TAB;
  }

  /** Whether with `byte` the line is an event. */
  #inData(byte: number): boolean {
    if (this.#place === 'field') {
      if (byte !== FIELD[this.#matched]) this.#place = 'rest';
      else if (++this.#matched === FIELD.length) this.#place = 'blank';
      return false;
    }
    if (this.#place === 'blank') {
      if (byte === SPACE && !this.#hasSpace) {
        this.#hasSpace = true;
        return false;
      }
      this.#place = 'done';
      this.#matched = 0;
    }
    if (byte !== DONE[this.#matched]) return true;
    this.#matched++;
    return false;
  }
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
