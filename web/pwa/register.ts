/** Lets the page open without the network, and from the second visit on at once: registers the service worker. */

const ADDRESS = '/_direct/sw.js';

/** Where scripts may not name other scripts by a string (Trusted Types, a page's policy), this one may be named. */
function address(): string {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  const policy = trustedTypes?.createPolicy('direct-agent-worker', { createScriptURL: () => ADDRESS });
  // The DOM's types know no other than strings here.
  return (policy?.createScriptURL(ADDRESS) as string | undefined) ?? ADDRESS;
}

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(input: string): string },
  ): { createScriptURL(input: string): unknown };
}

async function register(): Promise<void> {
  try {
    await navigator.serviceWorker.register(address(), { scope: '/_direct/' });
  } catch {
    // A private window, or an edge without it: the page works as it is.
  }
}

// Absent where the page came by plain HTTP. A page that came from the service worker needs none, and would bring one
// back that has just gone away with its edge.
if (navigator.serviceWorker?.controller === null) {
  // After everything that the page itself loads.
  if (document.readyState === 'complete') void register();
  else addEventListener('load', () => void register(), { once: true });
}
