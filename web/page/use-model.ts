/** Which model is asked: the conversation’s, the one that was chosen last for the host, or the first that chats. */
import { useState } from 'preact/hooks';
import type { Conversation } from '../chat/conversation.ts';
import type { PageState } from './page-state.ts';

const STORAGE_KEY = 'direct-agent.models';
/** By their names they do something else than chat. */
const NO_CHAT = /embed|rerank|whisper|(?:^|[-_/])(?:tts|stt|bge)(?:[-_:]|$)|kokoro/i;

type ByHost = Partial<Record<string, string>>;

export interface ModelChoice {
  /** Empty while there is none. */
  model: string;
  choose: (id: string) => void;
}

export function useModel({ host, models }: PageState, current: Conversation): ModelChoice {
  const [chosen, setChosen] = useState(stored);
  /** In this visit; it may have gone from the list since, and the server says so if it has gone indeed. */
  const [picked, setPicked] = useState<string>();
  const has = (id: string | undefined) =>
    (id !== undefined && id === picked) || models.some((model) => model.id === id);
  const last = host === undefined ? undefined : chosen[host];
  const first = models.find(({ id }) => !NO_CHAT.test(id)) ?? models[0];
  const model = has(current.model) ? current.model : last !== undefined && has(last) ? last : (first?.id ?? '');
  const choose = (id: string) => {
    if (host === undefined) return;
    setPicked(id);
    const next = { ...chosen, [host]: id };
    setChosen(next);
    try {
      localStorage.setItem(STORAGE_KEY, JSON.stringify(next));
    } catch {
      // For this visit only, then.
    }
  };
  return { model, choose };
}

function stored(): ByHost {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? '{}');
    const entries = typeof found === 'object' && found !== null ? Object.entries(found) : [];
    return Object.fromEntries(entries.filter(([, model]) => typeof model === 'string'));
  } catch {
    return {};
  }
}
