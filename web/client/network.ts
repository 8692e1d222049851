/** What the runtime says about the network and the page; a phone that wakes up must not wait for a timer. */
export interface Network {
  /** False when the device knows that it has no network. */
  online(): boolean;
  /** Calls the listeners until the returned function is called. */
  watch(listeners: NetworkListeners): () => void;
}

export interface NetworkListeners {
  /** The network may have changed, or the page came back: `reason` is the event’s name, for the log. */
  wake(reason: string): void;
  /** The page goes away: it may be frozen or discarded after this. */
  leave(): void;
}

/** The events of window, document and Network Information API, as far as they exist. */
export function globalNetwork(): Network {
  return {
    // Undefined in Node.
    online: () => globalThis.navigator?.onLine !== false,
    watch: (listeners) => watchGlobals(listeners),
  };
}

function watchGlobals({ wake, leave }: NetworkListeners): () => void {
  const subscriptions: [EventTarget | undefined, string, (event: Event) => void][] = [];
  const awake = (event: Event) => wake(event.type);
  // The first one of a page says nothing new; a page that returns from the back-forward cache does.
  const shown = (event: Event) => {
    if ((event as PageTransitionEvent).persisted) wake('pageshow');
  };
  const visible = () => {
    if (document.visibilityState === 'visible') wake('visibilitychange');
  };
  // Node has no global events.
  const page = typeof globalThis.addEventListener === 'function' ? globalThis : undefined;
  // In Chromium only, and not in TypeScript’s DOM.
  const { connection } = (globalThis.navigator ?? {}) as { connection?: EventTarget };
  subscriptions.push([page, 'online', awake], [page, 'offline', awake]);
  subscriptions.push([page, 'pageshow', shown], [page, 'pagehide', () => leave()]);
  subscriptions.push([globalThis.document, 'visibilitychange', visible]);
  subscriptions.push([connection, 'change', () => wake('network change')]);
  for (const [target, type, listener] of subscriptions) target?.addEventListener(type, listener);
  return () => {
    for (const [target, type, listener] of subscriptions) target?.removeEventListener(type, listener);
  };
}
