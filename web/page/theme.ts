/** Dark or light: as the system has it, unless the person chose. */

export type Theme = 'system' | 'light' | 'dark';

const STORAGE_KEY = 'direct-agent.theme';
const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' };
/** As `--ground` in base.css; the browser’s own frame has it. */
const GROUND = { light: '#fbfaf8', dark: '#16171a' };

export function nextTheme(theme: Theme): Theme {
  return NEXT[theme];
}

export function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem(STORAGE_KEY);
    return stored === 'light' || stored === 'dark' ? stored : 'system';
  } catch {
    return 'system';
  }
}

/** For this visit, and the next ones where the browser keeps it. */
export function applyTheme(theme: Theme): void {
  const root = document.documentElement;
  if (theme === 'system') delete root.dataset.theme;
  else root.dataset.theme = theme;
  for (const meta of document.querySelectorAll<HTMLMetaElement>('meta[name="theme-color"]')) {
    const own = meta.media.includes('dark') ? 'dark' : 'light';
    meta.content = GROUND[theme === 'system' ? own : theme];
  }
  try {
    if (theme === 'system') localStorage.removeItem(STORAGE_KEY);
    else localStorage.setItem(STORAGE_KEY, theme);
  } catch {
    // The system’s, at the next visit.
  }
}
