/** Takes an answer that grows apart into blocks, those that stay and those that may still change. */
import { Lexer, Marked, type Token, type Tokens } from 'marked';
import { syntax } from './syntax.ts';

export interface Block {
  /** Markdown of this block alone. */
  readonly source: string;
  /** 3 for a heading that is under no other: a page has its title and its messages above. */
  readonly level: number;
}

/** What reference links of the whole answer point to, by label in lower case. */
export type Definitions = ReadonlyMap<string, Pick<Tokens.Def, 'href' | 'title'>>;

const { defaults } = new Marked(syntax);
/** Each is looked for in each block; an honest answer has under 50. */
const MAX_DEFINITIONS = 200;
const HIGHEST_LEVEL = 3;
const LOWEST_LEVEL = 6;

/**
 * A block is final when a later one has begun on a whole line: CommonMark decides by lines what begins and ends, so no
 * text to come changes it. Until then it grows; an open code fence reaches to the end and is code at once.
 */
export class Blocks {
  readonly #finished: Block[] = [];
  #growing: readonly Block[] = [];
  readonly #definitions = new Map<string, Pick<Tokens.Def, 'href' | 'title'>>();
  #text = '';
  /** Where the first block begins that is not final. */
  #offset = 0;
  #complete = false;
  /** How much of the text was looked at for final blocks. */
  #searched = 0;
  /** Depths of the headings under which the text is, as their authors wrote them. */
  #outline: number[] = [];

  get finished(): readonly Block[] {
    return this.#finished;
  }

  get growing(): readonly Block[] {
    return this.#growing;
  }

  /** Of the finished blocks. */
  get definitions(): Definitions {
    return this.#definitions;
  }

  /**
   * Takes in the whole text so far; `complete`: nothing follows, and all blocks are final. Returns false for a text that
   * does not continue the last one, of which nothing was taken.
   */
  update(given: string, complete: boolean): boolean {
    let text = given;
    // Half a line's end cannot be told from a whole one.
    if (text.endsWith('\r') && !complete) text = text.slice(0, -1);
    if (text.includes('\r')) text = text.replace(/\r\n?/g, '\n');
    // The last block of what was complete might go on in what follows.
    if (this.#complete) return text === this.#text;
    if (!text.startsWith(this.#text)) return false;
    this.#text = text;
    this.#complete = complete;
    const end = complete ? text.length : text.lastIndexOf('\n') + 1;
    if (end > this.#searched || complete) {
      this.#searched = end;
      this.#finish(text.slice(this.#offset, end), complete);
    }
    this.#growing = [];
    if (!complete) {
      const outline = [...this.#outline];
      this.#growing = tokensOf(text.slice(this.#offset)).flatMap((token) => blockOf(token, outline));
    }
    return true;
  }

  #finish(source: string, complete: boolean): void {
    const tokens = tokensOf(source);
    const count = complete ? tokens.length : tokens.findLastIndex(({ type }) => type !== 'space');
    for (const token of tokens.slice(0, Math.max(0, count))) {
      // What the lexer has put together differently is no piece of the text: it grows on, as one with the rest.
      if (!complete && !this.#text.startsWith(token.raw, this.#offset)) return;
      this.#offset += token.raw.length;
      if (token.type === 'def') {
        const { tag, href, title } = token as Tokens.Def;
        if (!this.#definitions.has(tag) && this.#definitions.size < MAX_DEFINITIONS)
          this.#definitions.set(tag, { href, title });
      }
      this.#finished.push(...blockOf(token, this.#outline));
    }
  }
}

/** Whether a reference link in the block may mean the definition with this label. */
export function mentions({ source }: Block, label: string): boolean {
  return source.toLowerCase().replace(/\s+/g, ' ').includes(`[${label}]`);
}

/** Blocks only: what is in their lines is looked at when they are rendered. */
function tokensOf(source: string): Token[] {
  try {
    return new Lexer(defaults).blockTokens(source);
  } catch {
    // Nested deeper than the lexer's own stack.
    return [{ type: 'text', raw: source, text: source }];
  }
}

/** None for blank lines and definitions. `outline` is taken on to the next block. */
function blockOf(token: Token, outline: number[]): Block[] {
  if (token.type === 'space' || token.type === 'def') return [];
  if (token.type === 'heading') {
    // Models begin at any depth and leave some out; a page's outline has no gaps (WCAG technique G141).
    while ((outline.at(-1) ?? 0) >= token.depth) outline.pop();
    outline.push(token.depth);
  }
  const level = Math.min(LOWEST_LEVEL, HIGHEST_LEVEL + Math.max(0, outline.length - 1));
  return [{ source: token.raw, level }];
}
