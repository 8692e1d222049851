/** Whether the conversations are shown: beside the chat where there is room, else before it until one was chosen. */
import { useEffect, useState } from 'preact/hooks';

/** As in layout.css. */
const WIDE = '(min-width: 60rem)';
const STORAGE_KEY = 'direct-agent.sidebar';

export interface SidebarState {
  open: boolean;
  /** It lies before the page, which cannot be used meanwhile. */
  drawer: boolean;
  show: () => void;
  hide: () => void;
  toggle: () => void;
  /** Something was chosen: the person wants to see it. */
  leave: () => void;
}

export function useSidebar(): SidebarState {
  const [wide, setWide] = useState(() => matchMedia(WIDE).matches);
  const [beside, setBeside] = useState(wasBeside);
  const [before, setBefore] = useState(false);
  useEffect(() => {
    const query = matchMedia(WIDE);
    const look = () => setWide(query.matches);
    query.addEventListener('change', look);
    return () => query.removeEventListener('change', look);
  }, []);
  const drawer = !wide && before;
  useEffect(() => {
    if (!drawer) return;
    // Focus goes with what can be used, and back.
    document.querySelector<HTMLElement>('.sidebar .new-chat')?.focus();
    return () => document.querySelector<HTMLElement>('.bar-list')?.focus();
  }, [drawer]);
  const set = (shown: boolean) => {
    if (!wide) return setBefore(shown);
    setBeside(shown);
    try {
      localStorage.setItem(STORAGE_KEY, shown ? 'shown' : 'hidden');
    } catch {
      // Shown at the next visit.
    }
    return undefined;
  };
  const open = wide ? beside : before;
  return {
    open,
    drawer,
    show: () => set(true),
    hide: () => set(false),
    toggle: () => set(!open),
    leave: () => {
      setBefore(false);
      // On a phone that would open its keyboard.
      if (wide) document.getElementById('prompt')?.focus();
    },
  };
}

function wasBeside(): boolean {
  try {
    return localStorage.getItem(STORAGE_KEY) !== 'hidden';
  } catch {
    return true;
  }
}
