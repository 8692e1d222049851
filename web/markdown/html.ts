/** From the Markdown of one block to HTML that nobody has checked yet. */
import { Lexer, Marked, Parser, type Token, type Tokens } from 'marked';
import type { Block, Definitions } from './blocks.ts';
import { escaped, syntax } from './syntax.ts';

/** The time for one run of text grows with the square of its length, for text that is made to do so. */
const MAX_INLINE_LENGTH = 10_000;
const DEEPEST_HEADING = 6;

/** Tags of raw HTML that models use where Markdown has nothing. All others are shown as they were written. */
const PLAIN_TAG = /<\/?(?:b|br|del|em|i|ins|kbd|mark|s|small|strong|sub|sup|u)\s*\/?>/.source;
const TAG_OR_SPECIAL = new RegExp(`${PLAIN_TAG}|[&<>"']`, 'gi');

/** What is rendered now; one block after the other. */
let level = DEEPEST_HEADING;

const marked = new Marked(syntax, {
  renderer: {
    heading({ tokens }) {
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
    },
    html({ text, block }: Tokens.HTML | Tokens.Tag) {
      const shown = showHtml(text);
      return block ? `<p>${shown.trim().replaceAll('\n', '<br>')}</p>\n` : shown;
    },
    text(token) {
      // Between raw tags the lexer takes text for HTML as well.
      if ('escaped' in token) token.escaped = false;
      return false;
    },
    listitem({ task, tokens }) {
      return `<li${task ? ' class="task"' : ''}>${this.parser.parse(tokens)}</li>\n`;
    },
    checkbox({ checked }) {
      return checked ? '☑ ' : '☐ ';
    },
    // Whoever looks at an answer tells no server so.
    image({ href, text, title }) {
      if (/^data:/i.test(href)) return false;
      return `<a href="${escaped(href)}"${title ? ` title="${escaped(title)}"` : ''}>${escaped(text || href)}</a>`;
    },
  },
});

/** What cannot be rendered is text. */
export function htmlOf(block: Block, definitions: Definitions): string {
  try {
    const tokens = tokensOf(block.source, definitions);
    level = block.level;
    return Parser.parse(tokens, marked.defaults);
  } catch {
    // Nested deeper than the lexer's own stack.
    return `<p>${escaped(block.source)}</p>`;
  }
}

function tokensOf(source: string, definitions: Definitions): Token[] {
  const lexer = new Lexer(marked.defaults);
  // Without a prototype, as labels are the model's.
  lexer.tokens.links = Object.assign(Object.create(null), Object.fromEntries(definitions));
  const tokens = lexer.blockTokens(source, lexer.tokens);
  for (const { src, tokens } of lexer.inlineQueue) {
    lexer.state.inRawBlock = false;
    if (src.length > MAX_INLINE_LENGTH) tokens.push({ type: 'text', raw: src, text: src });
    else lexer.inlineTokens(src, tokens);
  }
  return tokens;
}

function showHtml(html: string): string {
  return html.replace(TAG_OR_SPECIAL, (found) => (found.length === 1 ? escaped(found) : found));
}
