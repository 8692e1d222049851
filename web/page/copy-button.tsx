/** Copies a text, and says so for a while. */
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { toClipboard } from '../look/clipboard.ts';
import { Icon } from './icons.tsx';

const SHOWN_MS = 2_000;

export function CopyButton({ text }: { text: string }): VNode {
  const [said, setSaid] = useState<'Copied' | 'Not copied'>();
  useEffect(() => {
    if (said === undefined) return;
    const timer = setTimeout(() => setSaid(undefined), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = () => {
    toClipboard(text).then(
      () => setSaid('Copied'),
      () => setSaid('Not copied'),
    );
  };
  const label = said ?? 'Copy';
  return (
    <button type="button" class="icon-button small" data-testid="copy" aria-label={label} title={label} onClick={copy}>
      <Icon name={said === 'Copied' ? 'check' : 'copy'} size={17} />
    </button>
  );
}
