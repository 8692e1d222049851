/** The focus comes back to where an editor was opened: what had it is gone with the editor. */
import type { RefObject } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';

/** `away`: the editor is there. The first element in `place` that `selector` finds gets the focus afterwards. */
export function useReturn<Place extends HTMLElement>(away: boolean, selector: string): RefObject<Place | null> {
  const place = useRef<Place>(null);
  const was = useRef(away);
  useLayoutEffect(() => {
    // Whoever has gone elsewhere meanwhile stays there.
    const isLost = document.activeElement === document.body;
    if (was.current && !away && isLost) place.current?.querySelector<HTMLElement>(selector)?.focus();
    was.current = away;
  }, [away, selector]);
  return place;
}
