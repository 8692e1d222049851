/** The files that go along with the next question. */
import { useCallback, useRef, useState } from 'preact/hooks';
import { type Attachment, MAX_ATTACHMENTS } from '../chat/conversation.ts';
import { laterPart } from './later-part.ts';

export interface Files {
  attachments: readonly Attachment[];
  /** Some are still being read and made smaller. */
  busy: boolean;
  add: (files: readonly File[]) => void;
  remove: (attachment: Attachment) => void;
  clear: () => void;
}

/** `problem` is told what cannot go along: words, or an error with such. */
export function useFiles(problem: (problem: unknown) => void): Files {
  const [attachments, setAttachments] = useState<readonly Attachment[]>([]);
  const [pending, setPending] = useState(0);
  const count = useRef(0);
  count.current = attachments.length + pending;

  const add = useCallback(
    (files: readonly File[]) => {
      const taken = files.slice(0, Math.max(0, MAX_ATTACHMENTS - count.current));
      if (taken.length < files.length) problem(`At most ${MAX_ATTACHMENTS} files go along with a message.`);
      setPending((before) => before + taken.length);
      for (const file of taken) {
        read(file)
          .then((attachment) => setAttachments((before) => [...before, attachment]), problem)
          .finally(() => setPending((before) => before - 1));
      }
    },
    [problem],
  );
  const remove = useCallback(
    (attachment: Attachment) => setAttachments((before) => before.filter((one) => one !== attachment)),
    [],
  );
  const clear = useCallback(() => setAttachments([]), []);
  return { attachments, busy: pending > 0, add, remove, clear };
}

/** @throws in words for the person */
async function read(file: File): Promise<Attachment> {
  const [{ attachmentOf }, { browserImages }] = await laterPart(() =>
    Promise.all([import('../chat/attachment.ts'), import('../chat/image.ts')]),
  );
  return await attachmentOf(file, browserImages);
}
