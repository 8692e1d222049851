/** The page: who is here, which host they want, and the chat with it. */

import { h, render } from 'preact';
import type { Me, UsableHost } from '../../shared/account-api.ts';
import { parsePairingSecret } from '../../shared/device-identity.ts';
import { ApiError } from '../access/api-error.ts';
import { warnOfChangedKey } from '../access/changed-key.ts';
import { browserName } from '../access/device-name.ts';
import { EdgeApi } from '../access/edge-api.ts';
import { codeOf, errorText } from '../access/error-text.ts';
import { type ChatLink, parseChatLink } from '../access/link.ts';
import { Pins } from '../access/pins.ts';
import { type Client, type ConnectOptions, connect } from '../client/index.ts';
import { ConnectionIndicator, type Forced } from '../connection/indicator.tsx';
import { element } from '../look/element.ts';
import '../pwa/register.ts';
import { Chat } from './chat.ts';
import { enter } from './enter.ts';
import { dropHeadStart, takeHeadStart } from './head.ts';
import { chooseHost, rememberedHost, rememberHost, takeOldAccess } from './host-choice.ts';
import { showHosts } from './host-picker.ts';
import { listModels, showModels } from './models.ts';
import { pageMenu } from './page-menu.ts';
import { showStatus } from './status.ts';
import { advice, confirmHostKey, isKeyCode, pinLinkKey } from './trust.ts';

/** A model server at home may be started later than the page; so may an edge. */
const RETRY_MS = 5_000;

const storage = () => window.localStorage;
const api = new EdgeApi((url, init) => fetch(url, init));
const pins = new Pins(storage);
const model = element('model', HTMLSelectElement);
const status = element('status', HTMLElement);

const chat = new Chat(
  {
    list: element('messages', HTMLElement),
    welcome: element('welcome', HTMLElement),
    model,
    form: element('composer', HTMLFormElement),
    prompt: element('prompt', HTMLTextAreaElement),
    send: element('send', HTMLButtonElement),
    stop: element('stop', HTMLButtonElement),
  },
  (error) => void refused(error),
);

/** Of the last `begin`: whatever came before it is over. */
let visit = new AbortController();
let leave: (() => void) | undefined;
let host: string | undefined;
let me: Me | undefined;
/** Begun by `connectEarly`, and not taken yet. */
let early: { id: string; client: Client } | undefined;

/** The fragment may hold secrets: out of the address bar before anyone can read over a shoulder or copy it. */
function takeFragment(): ChatLink {
  const link = parseChatLink(location.hash);
  if (location.hash !== '') history.replaceState(null, '', location.pathname + location.search);
  return link;
}

async function begin(given: ChatLink, problem?: string): Promise<void> {
  visit.abort();
  visit = new AbortController();
  const { signal } = visit;
  leave?.();
  dropEarly();
  let next = given;
  if (problem === undefined && given.token === undefined) connectEarly(given);
  dropHeadStart();
  while (!signal.aborted) {
    try {
      const signedIn = () => connectEarly(given);
      const { me, link } = await enter({ api, link: next, problem, signedIn, anonymous: dropEarly, signal });
      signal.throwIfAborted();
      return await entered(me, link, signal);
    } catch (error) {
      if (signal.aborted) return;
      // Once is enough for a token that the edge may have taken.
      if (error instanceof ApiError) next = withoutToken(next);
      const { message, hint } = errorText(error);
      showStatus(status, `${message} ${hint ?? ''}`);
      await Promise.race([pause(RETRY_MS), aborted(signal)]);
    }
  }
}

/**
 * Connects to the host of this visit before the edge has said who is there, which saves a round trip; not where a
 * person may be asked something first. What becomes of it nobody looks at before `connectTo` takes it.
 */
function connectEarly({ host: named, key, pair }: ChatLink): void {
  const id = named ?? host ?? rememberedHost(storage);
  if (id === undefined || pair !== undefined) return;
  const pinned = pins.get(id) ?? key;
  if (pinned === undefined || (key !== undefined && key !== pinned)) return;
  dropEarly();
  const environment = takeHeadStart(id);
  const options = { ...clientOptions(id), hostKey: pinned };
  early = { id, client: connect(environment === undefined ? options : { ...options, environment }) };
}

function dropEarly(): void {
  early?.client.close();
  early = undefined;
}

function clientOptions(id: string): ConnectOptions {
  return {
    url: location.origin,
    host: id,
    credentials: 'cookie',
    device: 'auto',
    deviceName: browserName(navigator.userAgent),
  };
}

async function entered(who: Me, link: ChatLink, signal: AbortSignal): Promise<void> {
  me = who;
  const chosen = chooseHost(who.hosts, link.host, host ?? rememberedHost(storage));
  const hosts = withHost(who.hosts, chosen);
  const go = (to: string) => void switchTo(to, hosts, {}, signal);
  showHosts(hosts, chosen, go);
  element('account', HTMLElement).replaceChildren(
    pageMenu({
      api,
      me: who,
      hostKey: () => (host === undefined ? undefined : pins.get(host)),
      signedOut: () => void begin({}),
    }),
  );
  if (chosen === undefined) {
    showConnection(undefined, {}, () => {});
    const owner = `There is no host yet. On the machine with your models run: npx direct-agent login ${location.origin}`;
    return showStatus(status, who.kind === 'owner' ? owner : 'You have no access to any host at the moment.');
  }
  await switchTo(chosen, hosts, link, signal);
}

/** Hosts of agents with a token of their own are in no list. */
function withHost(hosts: readonly UsableHost[], id: string | undefined): readonly UsableHost[] {
  if (id === undefined || hosts.some((known) => known.id === id)) return hosts;
  return [...hosts, { id, name: id, host_key: null, online: false }];
}

async function switchTo(id: string, hosts: readonly UsableHost[], link: ChatLink, signal: AbortSignal): Promise<void> {
  leave?.();
  host = id;
  rememberHost(id, storage);
  const info = hosts.find((known) => known.id === id) ?? { id, name: id, host_key: null, online: false };
  if (link.key !== undefined) await pinLinkKey(pins, id, info.name, link.key);
  if (!signal.aborted && host === id) connectTo(info, link);
}

/** `reconnect` with what the person wants other than the best path. */
function showConnection(client: Client | undefined, forced: Forced, reconnect: (forced: Forced) => void): void {
  const ice = me?.kind === 'owner' ? api.ice : undefined;
  render(h(ConnectionIndicator, { client, forced, onReconnect: reconnect, ice }), element('connection', HTMLElement));
}

function connectTo(info: UsableHost, { pair }: ChatLink, forced: Forced = {}): void {
  leave?.();
  if (pair !== undefined && parsePairingSecret(pair) === undefined) {
    blocked(info, 'E_PAIRING', undefined);
    return;
  }
  showStatus(status, '');
  const looking = new AbortController();
  const pinned = pins.get(info.id);
  const isPlain = pair === undefined && Object.keys(forced).length === 0;
  const begun = early?.id === info.id && isPlain ? early.client : undefined;
  if (begun === undefined) dropEarly();
  early = undefined;
  const client =
    begun ??
    connect({
      ...clientOptions(info.id),
      ...forced,
      ...(pinned === undefined ? {} : { hostKey: pinned }),
      ...(pair === undefined ? {} : { pairing: pair }),
      confirmHostKey: ({ hostKey }) => confirmHostKey(info.name, hostKey, looking.signal),
    });
  showConnection(client, forced, (next) => connectTo(info, {}, next));
  chat.client = client;
  leave = () => {
    leave = undefined;
    looking.abort();
    chat.client = undefined;
    chat.ready = false;
    client.close();
  };
  const look = () => {
    if (looking.signal.aborted || client.error === undefined) return;
    const { code } = client.error;
    // Where nothing can prove a key, the client says so by its error, and goes on through the edge.
    if (isKeyCode(code) && client.path !== 'offline') return;
    blocked(info, code, client.error);
  };
  client.on('state', look);
  client.on('path', look);
  client.on('hostKey', (key) => pins.set(info.id, key));
  look();
  if (looking.signal.aborted) return;
  void lookForModels(client, info, pair !== undefined, looking.signal);
}

/** Ends the connection for errors that only a person can do something about; others pass. Tells which it was. */
function blocked(info: UsableHost, code: string | undefined, error: unknown): boolean {
  if (code === 'E_UNAUTHORIZED') {
    void refused(error);
    return true;
  }
  if (code === 'E_HOST_KEY_CHANGED') {
    leave?.();
    const pinned = pins.get(info.id) ?? '';
    const other = info.host_key !== null && info.host_key !== pinned ? info.host_key : undefined;
    void warnOfChangedKey({ host: info.name, pinned, other, source: 'edge' });
    return true;
  }
  const known = advice(code);
  if (known === undefined) return false;
  leave?.();
  const { text, again } = known;
  showStatus(status, text, again === undefined ? undefined : { label: again, run: () => connectTo(info, {}) });
  return true;
}

/** The edge does not know this browser any more. */
async function refused(error: unknown): Promise<void> {
  const { message } = errorText(error);
  await begin(host === undefined ? {} : { host }, `${message} Sign in again.`);
}

/** Until there is one; says on the page what is in the way. */
async function lookForModels(client: Client, info: UsableHost, pairing: boolean, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const models = await listModels(client);
      if (signal.aborted) return;
      showModels(model, models);
      chat.ready = models.length > 0;
      if (models.length > 0) {
        // An answer of the host by a path of its own: it has accepted this browser.
        const paired = pairing && client.path !== 'tunnel' && client.path !== 'offline';
        showStatus(status, paired ? `This browser is paired with “${info.name}” now.` : '');
        return;
      }
      showStatus(status, 'The host has no model yet. Load one in your LLM server.');
    } catch (error) {
      if (signal.aborted) return;
      if (blocked(info, codeOf(error), error)) return;
      const { message, hint } = errorText(error);
      showStatus(status, `${message} ${hint ?? ''}`);
    }
    await nextLook(client, signal);
  }
}

function withoutToken({ token: _, ...rest }: ChatLink): ChatLink {
  return rest;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** A while, or until the path changes. */
async function nextLook(client: Client, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const off = client.on('path', () => resolve());
  await Promise.race([promise, pause(RETRY_MS), aborted(signal)]);
  off();
}

// Another link, opened in the same tab.
addEventListener('hashchange', () => {
  const link = takeFragment();
  if (Object.keys(link).length > 0) void begin(link);
});

void begin({ ...takeOldAccess(storage), ...takeFragment() });
