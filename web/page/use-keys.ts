/** Keys that work anywhere on the page. */
import { useEffect, useRef } from 'preact/hooks';

export interface PageKeys {
  /** Ctrl+K, or ⌘K. */
  search: () => void;
  /** Ctrl+Shift+O, or ⌘⇧O. */
  begin: () => void;
  escape: () => void;
}

export function useKeys(keys: PageKeys): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      // A dialog is about something else.
      if (event.isComposing || document.querySelector('dialog[open]') !== null) return;
      const command = (event.ctrlKey || event.metaKey) && !event.altKey;
      const key = event.key.toLowerCase();
      if (command && !event.shiftKey && key === 'k') {
        event.preventDefault();
        latest.current.search();
      } else if (command && event.shiftKey && key === 'o') {
        event.preventDefault();
        latest.current.begin();
      } else if (key === 'escape') latest.current.escape();
    };
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  }, []);
}
