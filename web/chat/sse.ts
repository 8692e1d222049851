/** Server-sent events (WHATWG HTML, section 9.2.6), from text in whatever pieces it arrives. */

export interface ServerSentEvent {
  /** `message` unless the server named it. */
  type: string;
  data: string;
  /** The last one that the server has given to this or an earlier event; who reconnects names it. */
  id: string;
}

/** Beyond this a server never ends its line; a token with its JSON has some hundred characters. */
const MAX_EVENT_CHARACTERS = 16 * 1024 * 1024;

export class SseParser {
  #rest = '';
  #data: string[] = [];
  #type = '';
  #id = '';
  #retryMs: number | undefined;
  #size = 0;
  /** The last piece ended with CR: an LF at the beginning of the next one belongs to it. */
  #afterCr = false;
  #begun = false;

  /** What the server has asked for: the pause before who has lost the stream comes back. */
  get retryMs(): number | undefined {
    return this.#retryMs;
  }

  /** The events that `text` completes. @throws RangeError when an event does not end. */
  push(text: string): ServerSentEvent[] {
    let input = text;
    if (input === '') return [];
    if (!this.#begun && input.startsWith('\uFEFF')) input = input.slice(1);
    this.#begun = true;
    if (this.#afterCr && input.startsWith('\n')) input = input.slice(1);
    this.#afterCr = input.endsWith('\r');
    const lines = (this.#rest + input).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? '';
    const events = lines.flatMap((line) => this.#line(line));
    if (this.#size + this.#rest.length > MAX_EVENT_CHARACTERS) throw new RangeError('an event is too long');
    return events;
  }

  /** The event that was not ended by an empty line. The standard drops it, but some LLM servers leave the line out. */
  end(): ServerSentEvent[] {
    const rest = this.#rest;
    this.#rest = '';
    return [...(rest === '' ? [] : this.#line(rest)), ...this.#line('')];
  }

  #line(line: string): ServerSentEvent[] {
    if (line === '') return this.#dispatch();
    this.#size += line.length;
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    // A comment has an empty name.
    if (name === 'data') this.#data.push(value);
    else if (name === 'event') this.#type = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
    else if (name === 'retry' && /^[0-9]+$/.test(value)) this.#retryMs = Number(value);
    return [];
  }

  #dispatch(): ServerSentEvent[] {
    const event = { type: this.#type === '' ? 'message' : this.#type, data: this.#data.join('\n'), id: this.#id };
    const empty = this.#data.length === 0;
    this.#data = [];
    this.#type = '';
    this.#size = 0;
    return empty ? [] : [event];
  }
}
