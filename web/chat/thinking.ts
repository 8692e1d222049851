/** What a model thinks before it answers, where the server leaves that in the answer’s text. */

const BEGIN = '<think>';
const END = '</think>';

export interface Thought {
  /** What it thought. */
  reasoning: string;
  /** What it answered. */
  text: string;
  /** It has begun to think, and not ended. */
  open: boolean;
}

/** DeepSeek’s and Qwen’s marks, at the beginning of the answer only; a chat template may have written the first one. */
export function splitThinking(raw: string): Thought {
  const start = raw.search(/\S/);
  if (start < 0) return { reasoning: '', text: raw, open: false };
  const marked = raw.startsWith(BEGIN, start);
  const end = raw.indexOf(END, start);
  // It may still become the mark.
  if (!marked && BEGIN.startsWith(raw.slice(start))) return { reasoning: '', text: '', open: true };
  if (marked) {
    const from = start + BEGIN.length;
    if (end < 0) return { reasoning: raw.slice(from).trim(), text: '', open: true };
    return { reasoning: raw.slice(from, end).trim(), text: raw.slice(end + END.length).trimStart(), open: false };
  }
  // In code or in quotes a model may write about the mark.
  const alone = end >= 0 && raw.startsWith('\n', end + END.length) && !raw.slice(0, end).includes('`');
  if (!alone) return { reasoning: '', text: raw, open: false };
  return { reasoning: raw.slice(0, end).trim(), text: raw.slice(end + END.length).trimStart(), open: false };
}
