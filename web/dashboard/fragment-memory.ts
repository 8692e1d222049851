/**
 * The fragment of a link while somebody signs in or reloads: out of the address bar, where it could be read or copied,
 * and forgotten with the tab.
 */
const STORAGE_KEY = 'direct-agent.fragment';

/** Where the browser forbids storage, for as long as the page lives. */
let memory = '';

/** The fragment that this page was opened with, also after a reload. */
export function takeFragment(): string {
  const given = location.hash;
  if (given.length > 1) {
    history.replaceState(null, '', location.pathname);
    memory = given;
    try {
      sessionStorage.setItem(STORAGE_KEY, location.pathname + given);
    } catch {
      // A reload will need the link again.
    }
  }
  return memory === '' ? kept() : memory;
}

function kept(): string {
  try {
    const text = sessionStorage.getItem(STORAGE_KEY) ?? '';
    return text.startsWith(`${location.pathname}#`) ? text.slice(location.pathname.length) : '';
  } catch {
    return '';
  }
}

/** It has served its purpose. */
export function forgetFragment(): void {
  memory = '';
  try {
    sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // Then it was not kept either.
  }
}
