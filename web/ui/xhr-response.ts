/** What an XMLHttpRequest has received, in the forms in which pages ask for it. */

/** `responseType`, except for the empty one. */
type Kind = Exclude<XMLHttpRequestResponseType, ''>;

interface MimeType {
  essence: string;
  charset: string | undefined;
}

/** As far as it matters here (WHATWG MIME Sniffing, section 4.4). Undefined: it is none. */
function parseMimeType(text: string): MimeType | undefined {
  const [, essence] = /^\s*([^\s/;]+\/[^\s/;]+)\s*(?:;|$)/.exec(text) ?? [];
  if (essence === undefined) return undefined;
  const [, quoted, plain] = /;\s*charset\s*=\s*(?:"([^"]*)"|([^\s;"]+))/i.exec(text) ?? [];
  return { essence: essence.toLowerCase(), charset: quoted ?? plain };
}

/** Those whose documents keep their own name. */
const PARSED_TYPES = ['text/html', 'text/xml', 'application/xhtml+xml', 'image/svg+xml'] as const;

function isXml(essence: string): boolean {
  return essence === 'text/xml' || essence === 'application/xml' || essence.endsWith('+xml');
}

export class XhrResponse {
  readonly #head: Response;
  readonly #overridden: string | undefined;
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  #received = 0;
  #decoder: TextDecoder | undefined;
  #text = '';
  #isComplete = false;
  /** Made once: pages may compare what they get. */
  #made: { kind: Kind; value: unknown } | undefined;

  /** `overridden` is the MIME type in place of the server's. */
  constructor(head: Response, overridden: string | undefined) {
    this.#head = head;
    this.#overridden = overridden;
  }

  get received(): number {
    return this.#received;
  }

  /** The whole body’s length, 0 if it is not known. */
  get length(): number {
    const length = Number(this.#head.headers.get('content-length') ?? 0);
    return Number.isInteger(length) ? length : 0;
  }

  push(chunk: Uint8Array<ArrayBuffer>): void {
    this.#chunks.push(chunk);
    this.#received += chunk.length;
  }

  complete(): void {
    this.#isComplete = true;
  }

  /** What has come so far. */
  get text(): string {
    this.#decoder ??= this.#newDecoder();
    const last = this.#isComplete;
    for (const chunk of this.#undecoded()) this.#text += this.#decoder.decode(chunk, { stream: true });
    if (last) this.#text += this.#decoder.decode();
    return this.#text;
  }

  /** All of it as `kind`, null while it is not complete or where it is no such thing. */
  as(kind: Exclude<Kind, 'text'>): unknown {
    if (!this.#isComplete) return null;
    if (this.#made?.kind !== kind) this.#made = { kind, value: this.#make(kind) };
    return this.#made.value;
  }

  /** `responseXML`, which is HTML only where it is asked for. */
  document(takesHtml: boolean): Document | null {
    if (!takesHtml && this.#mimeType.essence === 'text/html') return null;
    return this.as('document') as Document | null;
  }

  #decoded = 0;
  #undecoded(): Uint8Array<ArrayBuffer>[] {
    const chunks = this.#chunks.slice(this.#decoded);
    this.#decoded = this.#chunks.length;
    return chunks;
  }

  #make(kind: Exclude<Kind, 'text'>): unknown {
    const bytes = new Uint8Array(this.#received);
    let at = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    switch (kind) {
      case 'arraybuffer':
        return bytes.buffer;
      case 'blob':
        return new Blob([bytes], { type: this.#mimeType.essence });
      case 'json':
        try {
          return JSON.parse(new TextDecoder().decode(bytes)) as unknown;
        } catch {
          return null;
        }
      default:
        return this.#makeDocument();
    }
  }

  #makeDocument(): Document | null {
    const { essence } = this.#mimeType;
    const isHtml = essence === 'text/html';
    if (!isHtml && !isXml(essence)) return null;
    try {
      const type = PARSED_TYPES.find((known) => known === essence) ?? 'application/xml';
      const document = new DOMParser().parseFromString(this.text, type);
      return !isHtml && document.querySelector('parsererror') !== null ? null : document;
    } catch {
      // The page’s policy wants trusted types, which no script can make for it.
      return null;
    }
  }

  get #mimeType(): MimeType {
    const own = parseMimeType(this.#head.headers.get('content-type') ?? '') ?? {
      essence: 'text/xml',
      charset: undefined,
    };
    if (this.#overridden === undefined) return own;
    const other = parseMimeType(this.#overridden) ?? { essence: 'application/octet-stream', charset: undefined };
    return { ...other, charset: other.charset ?? own.charset };
  }

  #newDecoder(): TextDecoder {
    try {
      return new TextDecoder(this.#bom() ?? this.#mimeType.charset);
    } catch {
      return new TextDecoder();
    }
  }

  /** A byte order mark says more than the header (WHATWG Encoding, “decode”). */
  #bom(): string | undefined {
    const [a, b, c] = this.#chunks[0] ?? [];
    if (a === 0xef && b === 0xbb && c === 0xbf) return 'utf-8';
    if (a === 0xfe && b === 0xff) return 'utf-16be';
    return a === 0xff && b === 0xfe ? 'utf-16le' : undefined;
  }
}
