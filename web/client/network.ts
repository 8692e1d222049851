/** What the runtime says about the network and the page; a phone that wakes up must not wait for a timer. */
export interface Network {
  /** False when the device knows that it has no network. */
  online(): boolean;
  /** Calls the listeners until the returned function is called. */
  watch(listeners: NetworkListeners): () => void;
}

export interface NetworkListeners {
  /**
   * The network may have changed, or the page came back: `reason` is the event’s name, for the log. `isElsewhere`: the
   * device has another network now, or one again.
   */
  wake(reason: string, isElsewhere: boolean): void;
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
  // The first one of a page says nothing new; a page that returns from the back-forward cache does.
  const shown = (event: Event) => {
    if ((event as PageTransitionEvent).persisted) wake('pageshow', false);
  };
  const visible = () => {
    if (document.visibilityState === 'visible') wake('visibilitychange', false);
  };
  // Node has no global events.
  const page = typeof globalThis.addEventListener === 'function' ? globalThis : undefined;
  // In Chromium only, and not in TypeScript’s DOM.
  const { connection } = (globalThis.navigator ?? {}) as { connection?: EventTarget & { type?: string } };
  // It also tells of other estimates of speed. On desktops nothing says which it is, and the path has to be asked.
  let type = connection?.type;
  const changed = () => {
    const before = type;
    type = connection?.type;
    wake('network change', type !== before);
  };
  subscriptions.push([page, 'online', () => wake('online', true)], [page, 'offline', () => wake('offline', false)]);
  subscriptions.push([page, 'pageshow', shown], [page, 'pagehide', () => leave()]);
  subscriptions.push([globalThis.document, 'visibilitychange', visible]);
  subscriptions.push([connection, 'change', changed]);
  for (const [target, type, listener] of subscriptions) target?.addEventListener(type, listener);
  return () => {
    for (const [target, type, listener] of subscriptions) target?.removeEventListener(type, listener);
  };
}
