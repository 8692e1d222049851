/** Conversations as a device may have them, for pictures of the chat. */
import { toArchive } from '../web/chat/archive.ts';
import type { Answer, Question } from '../web/chat/conversation.ts';

const MINUTE = 60_000;

export const REASONING =
  'The person asks about a fjord. I should say what it is, how it came to be, and give a table of depths; ' +
  'then how one measures such a depth.';

export const MARKDOWN_ANSWER = `A **fjord** is a long, narrow inlet with steep sides, made by a glacier.

Its depth was once found by *sounding* with a lead line; today by echo:

\`\`\`python
SPEED_OF_SOUND = 1_500  # metres a second, in sea water

def depth(seconds: float) -> float:
    """Half of the way there and back."""
    return SPEED_OF_SOUND * seconds / 2

print(depth(1.744))  # 1308 m
\`\`\`

| Fjord | Country | Greatest depth | Length |
|---|---|---:|---:|
| Sognefjord | Norway | 1308 m | 205 km |
| Scoresby Sund | Greenland | 1450 m | 350 km |
| Messier Channel | Chile | 1358 m | 80 km |

1. The outlet is often shallower: the glacier left its moraine there.
2. Deep water stays cold, and moves little.

> A fjord’s bottom is a good place to look for the past.`;

const TITLES = [
  'What is a fjord?',
  'A recipe for fish soup with fennel and a little saffron',
  'Why is sea water salty?',
  'Names for a small boat',
  'Translate the harbour’s rules',
  'Bowline, step by step',
  'How does a tide table work?',
];

/** The first has all that an answer may have in it. */
export function chatArchive(now: number): string {
  const kept = TITLES.map((title, index) => {
    const id = `chat-${index}`;
    const at = now - index * 50 * MINUTE;
    const conversation = { id, title, createdAt: at, updatedAt: at, model: 'qwen3:8b', system: '', parameters: {} };
    const question: Question = { id: 'q', conversation: id, turn: at, role: 'user', text: title, attachments: [] };
    const answer: Answer = {
      id: 'a',
      conversation: id,
      turn: at,
      role: 'assistant',
      text: index === 0 ? MARKDOWN_ANSWER : 'The water has an answer to that.',
      state: 'done',
      model: 'qwen3:8b',
      reasoning: index === 0 ? REASONING : '',
      startedAt: at,
      durationMs: 8_410,
      tokens: 261,
      tokensPerSecond: 33.4,
    };
    return { conversation, messages: [question, answer] };
  });
  return toArchive(kept, now);
}
