/** The service worker: the browser's events, for the shell (shell.ts) to act on. */
import { type Build, Shell } from './shell.ts';

/** The build puts it here. */
declare const __BUILD__: Build;
declare const self: ServiceWorkerGlobalScope;

const { caches, clients, location, registration } = self;
const shell = new Shell(__BUILD__, { caches, fetch: (path, options) => fetch(path, options), origin: location.origin });

/** Pages of the build before, which may still want files of it; undefined once nothing of it is left. */
let left: ReadonlySet<string> | undefined = new Set();

async function pages(): Promise<readonly WindowClient[]> {
  return await clients.matchAll({ type: 'window', includeUncontrolled: true });
}

async function tidy(): Promise<void> {
  // What a newer one has begun to keep is not for this one to delete.
  if (left === undefined || registration.installing !== null || registration.waiting !== null) return;
  const open = await pages();
  if (open.some(({ id }) => left?.has(id))) return;
  left = undefined;
  await shell.tidy();
}

async function revalidate(id: string): Promise<void> {
  const freshness = await shell.revalidate();
  // Browsers look by themselves, but take their time.
  if (freshness === 'newer') await registration.update();
  if (freshness === 'gone') {
    await shell.clear();
    await registration.unregister();
  }
  // The document is not kept any more, so this time the browser goes where the edge sends it.
  const page = freshness === 'moved' ? await clients.get(id) : undefined;
  if (page instanceof WindowClient) await page.navigate(page.url);
}

self.addEventListener('install', (event) => {
  // The page that is open goes on with what it has; the next load gets the new build.
  event.waitUntil(shell.install().then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  const begin = async () => {
    left = new Set((await pages()).map(({ id }) => id));
    await tidy();
  };
  event.waitUntil(begin());
});

self.addEventListener('fetch', (event) => {
  const { request, resultingClientId } = event;
  const answer = shell.answer(request);
  if (answer === undefined) return;
  event.respondWith(answer);
  event.waitUntil(answer.then(() => (shell.isDocument(request) ? revalidate(resultingClientId) : tidy())));
});
