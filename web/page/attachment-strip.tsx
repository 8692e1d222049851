/** The files that will go along, above what is being written. */
import type { VNode } from 'preact';
import { Icon } from './icons.tsx';
import type { Files } from './use-files.ts';

export function AttachmentStrip({ files }: { files: Files }): VNode | null {
  const { attachments, busy, remove } = files;
  if (attachments.length === 0 && !busy) return null;
  return (
    <ul class="attachments" aria-label="Files that go along" data-testid="attachments">
      {attachments.map((attachment, index) => (
        <li key={index} class="attachment">
          {attachment.kind === 'image' ? (
            <img src={attachment.url} alt={attachment.name} />
          ) : (
            <span class="file-chip">
              <Icon name="sound" size={17} />
              {attachment.name}
            </span>
          )}
          <button
            type="button"
            class="attachment-remove"
            aria-label={`Leave out ${attachment.name}`}
            onClick={() => remove(attachment)}
          >
            <Icon name="close" size={14} />
          </button>
        </li>
      ))}
      {busy && <li class="attachment busy">reading…</li>}
    </ul>
  );
}
