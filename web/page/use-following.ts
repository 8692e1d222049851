/** A list that shows its end as it grows, unless the person has scrolled away from it. */
import type { RefObject } from 'preact';
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

/** Who is this near to the end wants to see what comes. */
const NEAR_END_PX = 80;

export interface Following {
  list: RefObject<HTMLElement | null>;
  /** The person is at the end. */
  following: boolean;
  /** Goes there. */
  follow: () => void;
}

/** `subject`: with another one it begins at the end again. */
export function useFollowing(subject: string): Following {
  const list = useRef<HTMLElement>(null);
  /** Growing content alone does not change it, scrolling does. */
  const wanted = useRef(true);
  const [following, setFollowing] = useState(true);
  const want = useCallback((value: boolean) => {
    wanted.current = value;
    setFollowing(value);
  }, []);
  /** Where it was when last looked at. */
  const last = useRef(0);
  const toEnd = useCallback(() => {
    const { current } = list;
    if (current === null || !wanted.current) return;
    current.scrollTop = current.scrollHeight;
    // What has become shorter moves it up, of which its event tells when it may be longer again.
    last.current = current.scrollTop;
  }, []);

  useLayoutEffect(() => want(true), [subject, want]);
  // After every rendering: something may have come.
  useLayoutEffect(toEnd);
  useEffect(() => {
    const { current } = list;
    if (current === null) return;
    const look = () => {
      const near = current.scrollHeight - current.scrollTop - current.clientHeight < NEAR_END_PX;
      // What grows pushes the end away; only a person goes up.
      if (near || current.scrollTop < last.current) want(near);
      last.current = current.scrollTop;
    };
    current.addEventListener('scroll', look, { passive: true });
    // The keyboard of a phone, a composer of several lines; an image that was loaded.
    const observer = new ResizeObserver(toEnd);
    observer.observe(current);
    if (current.firstElementChild !== null) observer.observe(current.firstElementChild);
    return () => {
      current.removeEventListener('scroll', look);
      observer.disconnect();
    };
  }, [want, toEnd]);
  const follow = useCallback(() => {
    want(true);
    toEnd();
    // The button that was pressed is gone.
    list.current?.focus({ preventScroll: true });
  }, [want, toEnd]);
  return { list, following, follow };
}
