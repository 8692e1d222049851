/** What a model answered, with what it thought before and how fast it was. */
import type { VNode } from 'preact';
import type { Answer } from '../chat/conversation.ts';
import { splitThinking } from '../chat/thinking.ts';
import { Markdown } from '../markdown/markdown.tsx';
import { CopyButton } from './copy-button.tsx';
import { Icon } from './icons.tsx';
import { ReadAloud, type Voice } from './read-aloud.tsx';

export interface AnswerViewProps {
  answer: Answer;
  /** Nothing was said after it. */
  last: boolean;
  /** Whether there is a model to ask. */
  ready: boolean;
  voice: Voice | undefined;
  onRegenerate: (id: string) => void;
}

export function AnswerView({ answer, last, ready, voice, onRegenerate }: AnswerViewProps): VNode {
  const { id, state } = answer;
  const { text, reasoning, open } = splitThinking(answer.text);
  const thought = [answer.reasoning, reasoning].filter((part) => part !== '').join('\n\n');
  const running = state === 'running';
  const thinking = running && text === '' && (open || thought !== '');
  const again = () => onRegenerate(id);
  return (
    <article class="message message-assistant" data-testid="message-assistant" aria-busy={running ? 'true' : undefined}>
      <span class="visually-hidden">Model: </span>
      {thought !== '' && <Reasoning text={thought} thinking={thinking} />}
      {text !== '' && <Markdown text={text} streaming={running} />}
      {running && text === '' && !thinking && <p class="waiting" />}
      <End answer={answer} empty={text === ''} />
      {!running && (
        <div class="message-actions">
          {text !== '' && <CopyButton text={text} />}
          {text !== '' && voice !== undefined && <ReadAloud text={text} voice={voice} />}
          {last && (
            <button
              type="button"
              class={state === 'failed' || state === 'broken' ? 'retry' : 'icon-button small'}
              data-testid="regenerate"
              disabled={!ready}
              aria-label={state === 'failed' ? 'Try again' : 'Answer again'}
              title={state === 'failed' ? 'Try again' : 'Answer again'}
              onClick={again}
            >
              <Icon name="again" size={17} />
              {state === 'failed' && 'Try again'}
              {state === 'broken' && 'Answer again'}
            </button>
          )}
          <small class="message-facts">{factsOf(answer)}</small>
        </div>
      )}
    </article>
  );
}

/** How it ended, if there is something to say about it. */
function End({ answer: { state, error }, empty }: { answer: Answer; empty: boolean }): VNode | null {
  if (state === 'failed' && error !== undefined) {
    return (
      <div class="notice" role="alert">
        <strong class="notice-title">{error.message}</strong>
        {error.hint !== undefined && <span class="notice-hint">{error.hint}</span>}
      </div>
    );
  }
  if (state === 'broken') return <p class="aside">The answer broke off when the connection to it was lost.</p>;
  if (state === 'stopped') return <p class="aside">Stopped.</p>;
  if (state === 'done' && empty) return <p class="aside">The model answered with nothing.</p>;
  return null;
}

function Reasoning({ text, thinking }: { text: string; thinking: boolean }): VNode {
  return (
    <details class="reasoning" data-testid="reasoning">
      <summary>
        <span class={thinking ? 'thinking' : undefined}>{thinking ? 'The model is thinking…' : 'Thoughts'}</span>
      </summary>
      <p class="reasoning-text">{text}</p>
    </details>
  );
}

/** `qwen3:8b · 212 tokens · 31/s · 6.8 s` */
export function factsOf({ model, tokens, tokensPerSecond, durationMs }: Answer): string {
  const facts = [model];
  if (tokens !== undefined) facts.push(`${tokens} ${tokens === 1 ? 'token' : 'tokens'}`);
  if (tokensPerSecond !== undefined) facts.push(`${rounded(tokensPerSecond)}/s`);
  if (durationMs !== undefined) facts.push(`${rounded(durationMs / 1000)} s`);
  return facts.filter((fact) => fact !== '').join(' · ');
}

function rounded(value: number): string {
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}
