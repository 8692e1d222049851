/** The page: finds out where the host is, connects, and lets people chat. */
import { type Client, connect } from '../client/index.ts';
import { type Access, accessFromFragment, loadAccess, saveAccess } from './access.ts';
import { askForAccess } from './access-form.ts';
import { Chat } from './chat.ts';
import { element } from './element.ts';
import { errorText, isUnauthorized } from './error-text.ts';
import { showPath } from './indicator.ts';
import { listModels, showModels } from './models.ts';

/** A model server at home may be started later than the page. */
const MODELS_RETRY_MS = 5_000;
/** A host id is as long as a key; people know theirs by its beginning. */
const SHOWN_HOST_CHARACTERS = 24;

const storage = () => window.localStorage;
const model = element('model', HTMLSelectElement);
const welcome = element('welcome', HTMLElement);

const chat = new Chat(
  {
    list: element('messages', HTMLElement),
    welcome,
    model,
    form: element('composer', HTMLFormElement),
    prompt: element('prompt', HTMLTextAreaElement),
    send: element('send', HTMLButtonElement),
    stop: element('stop', HTMLButtonElement),
  },
  (error) => void refused(error),
);

let access: Partial<Access> = {};
let leave: (() => void) | undefined;
let asking = false;

/** The fragment holds the token: out of the address bar before anyone can read over a shoulder or copy it. */
function takeFragment(): Access | undefined {
  const given = accessFromFragment(location.hash);
  if (given !== undefined) history.replaceState(null, '', location.pathname + location.search);
  return given;
}

async function ask(problem?: string): Promise<void> {
  if (asking) return;
  asking = true;
  try {
    connectTo(await askForAccess(access, problem));
  } finally {
    asking = false;
  }
}

async function refused(error: unknown): Promise<void> {
  leave?.();
  const { message, hint } = errorText(error);
  await ask(`${message} ${hint ?? ''}`);
}

function connectTo(given: Access): void {
  leave?.();
  access = given;
  saveAccess(given, storage);
  const host = element('host', HTMLElement);
  host.textContent =
    given.host.slice(0, SHOWN_HOST_CHARACTERS) + (given.host.length > SHOWN_HOST_CHARACTERS ? '…' : '');
  host.title = given.host;
  const client = connect({ url: location.origin, host: given.host, token: given.token });
  const stopShowing = showPath(client, element('path', HTMLOutputElement));
  const looking = new AbortController();
  chat.client = client;
  leave = () => {
    leave = undefined;
    looking.abort();
    stopShowing();
    chat.client = undefined;
    chat.ready = false;
    client.close();
  };
  client.on('state', (state) => {
    if (state === 'failed' && client.error?.code === 'E_UNAUTHORIZED') void refused(client.error);
  });
  void lookForModels(client, looking.signal);
}

/** Until there is one; says on the page what is in the way. */
async function lookForModels(client: Client, signal: AbortSignal): Promise<void> {
  const note = element('status', HTMLElement);
  while (!signal.aborted) {
    try {
      const models = await listModels(client);
      if (signal.aborted) return;
      showModels(model, models);
      chat.ready = models.length > 0;
      note.textContent = models.length > 0 ? '' : 'The host has no model yet. Load one in your LLM server.';
      if (models.length > 0) return;
    } catch (error) {
      if (signal.aborted) return;
      if (isUnauthorized(error)) return refused(error);
      const { message, hint } = errorText(error);
      note.textContent = `${message} ${hint ?? ''}`;
    }
    await nextLook(client, signal);
  }
}

/** A while, or until the path changes. */
async function nextLook(client: Client, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, MODELS_RETRY_MS);
  const off = client.on('path', () => resolve());
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
  off();
}

// Another link, opened in the same tab.
addEventListener('hashchange', () => {
  const given = takeFragment();
  if (given !== undefined) connectTo(given);
});

const first = takeFragment() ?? loadAccess(storage);
if (first === undefined) void ask();
else connectTo(first);
