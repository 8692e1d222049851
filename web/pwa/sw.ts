/** The service worker: the browser's events, for the shell (shell.ts) to act on. */
import { type Build, Shell } from './shell.ts';

/** The build puts it here. */
declare const __BUILD__: Build;
declare const self: ServiceWorkerGlobalScope;

/** Where files of builds are; their names hold hashes. */
const FILES = '/_direct/assets/';

const { caches, clients, location, registration } = self;
const shell = new Shell(__BUILD__, { caches, fetch: (path, options) => fetch(path, options), origin: location.origin });

/** Pages whose document came from here; others may be of the build before, and still want files of it. */
const given = new Set<string>();
let isTidy = false;

async function tidy(): Promise<void> {
  // What a newer one has begun to keep is not for this one to delete.
  if (isTidy || registration.installing !== null || registration.waiting !== null) return;
  const open = await clients.matchAll({ type: 'window', includeUncontrolled: true });
  // Browsers end a worker that has nothing to do, and it forgets: such a page is waited for then as if it were an old one.
  if (open.some(({ id, url }) => new URL(url).pathname === __BUILD__.document && !given.has(id))) return;
  isTidy = true;
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
  event.waitUntil(tidy());
});

self.addEventListener('fetch', (event) => {
  const { request, clientId, resultingClientId } = event;
  const answer = shell.answer(request);
  if (answer !== undefined) {
    const isDocument = shell.isDocument(request);
    if (isDocument) given.add(resultingClientId);
    event.respondWith(answer);
    event.waitUntil(answer.then(() => (isDocument ? revalidate(resultingClientId) : tidy())));
  } else if (request.url.startsWith(`${location.origin}${FILES}`) && !given.has(clientId)) {
    event.respondWith(shell.fileOfBefore(request).then((kept) => kept ?? fetch(request)));
  }
});
