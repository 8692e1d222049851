/** Puts the page together. */
import { options, render } from 'preact';
import { newId } from '../../shared/new-id.ts';
import { EdgeApi } from '../access/edge-api.ts';
import { Pins } from '../access/pins.ts';
import { Clients } from '../chat/chat-client.ts';
import { Chats, type News } from '../chat/chats.ts';
import { openDatabase } from '../chat/database.ts';
import { browserLocks } from '../chat/locks.ts';
import { SafeRecords } from '../chat/safe-records.ts';
import { pause } from '../client/pause.ts';
import { element } from '../look/element.ts';
import '../pwa/register.ts';
import { App } from './app.tsx';
import { followKeyboard } from './keyboard-room.ts';
import { Notices } from './notices.tsx';
import { newPageStore } from './page-state.ts';
import { applyTheme, storedTheme } from './theme.ts';
import { takeFragment, Visit } from './visit.ts';

/** Of a page that is not seen no frame is drawn, or one in a second. */
const UNSEEN_MS = 100;
/** Of this tab: what it goes on with after a reload. */
const OPEN_KEY = 'direct-agent.conversation';

applyTheme(storedTheme());
// Once per frame: the layout for every token would make the page slow.
options.debounceRendering = (draw) => {
  let drawn = false;
  const once = () => {
    if (!drawn) draw();
    drawn = true;
  };
  requestAnimationFrame(once);
  setTimeout(once, UNSEEN_MS);
};

const storage = () => window.localStorage;
const page = newPageStore();
const notices = new Notices();
const clients = new Clients();
const pins = new Pins(storage);
const api = new EdgeApi((url, init) => fetch(url, init));
const visit = new Visit({ page, clients, api, pins, storage });

const records = new SafeRecords(openDatabase, () =>
  notices.show({ text: 'This browser does not keep your conversations: they go with this page.', stays: true }),
);
const channel = 'BroadcastChannel' in window ? new BroadcastChannel('direct-agent.chats') : undefined;
let shown = Promise.withResolvers<void>();
shown.resolve();
const chats = new Chats({
  records,
  clients,
  locks: browserLocks(navigator.locks as LockManager | undefined),
  newId,
  now: () => Date.now(),
  pause,
  shown: () => shown.promise,
  tell: (news) => channel?.postMessage(news),
  unauthorized: (error) => void visit.refused(error),
});

function rememberedConversation(): string | undefined {
  try {
    return sessionStorage.getItem(OPEN_KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

function rememberConversation(): void {
  try {
    sessionStorage.setItem(OPEN_KEY, chats.state.current.id);
  } catch {
    // The next visit begins a new one.
  }
}

/** The page was there before its script, and may have been written in. */
function show(): void {
  const place = element('app', HTMLElement);
  const before = document.getElementById('prompt');
  const typed = before instanceof HTMLTextAreaElement ? before.value : '';
  const focused = before !== null && before === document.activeElement;
  const hostKey = () => (page.state.host === undefined ? undefined : pins.get(page.state.host));
  place.replaceChildren();
  render(<App page={page} chats={chats} visit={visit} notices={notices} hostKey={hostKey} ice={api.ice} />, place);
  const prompt = element('prompt', HTMLTextAreaElement);
  if (typed !== '') {
    prompt.value = typed;
    prompt.dispatchEvent(new Event('input', { bubbles: true }));
  }
  if (focused) prompt.focus();
}

// Before the client’s, which takes the connection away.
addEventListener('pagehide', () => {
  chats.flush();
  shown = Promise.withResolvers();
});
// From the back-forward cache.
addEventListener('pageshow', () => shown.resolve());

visit.start(takeFragment());
show();
const open = rememberedConversation();
chats.subscribe(rememberConversation);
void chats.start(open);
channel?.addEventListener('message', ({ data }: MessageEvent<News>) => void chats.hear(data));
followKeyboard();
document.addEventListener('visibilitychange', () => {
  // On a phone it may be the last thing that the page is told.
  if (document.visibilityState === 'hidden') chats.flush();
});
// Another link, opened in the same tab.
addEventListener('hashchange', () => {
  const link = takeFragment();
  if (Object.keys(link).length > 0) void visit.begin(link);
});
