/** Moves what a web UI's page asks its own server for to the session with the host, unseen. */
import { Pins } from '../access/pins.ts';
import { type Client, connect } from '../client/index.ts';
import { eventSourceClass } from './event-source.ts';
import { patchFetch } from './fetch.ts';
import { Patches } from './patches.ts';
import { Reach } from './reach.ts';
import { patchXhr } from './xhr.ts';

export interface UiOptions {
  /** The host's id. */
  host: string;
  /** Prefixes of paths whose requests stay on plain HTTPS. */
  httpsPaths: readonly string[];
}

/** @throws Error when the platform lacks something; the page is then as it was. */
export function moveUi({ host, httpsPaths }: UiOptions): Client {
  const { origin } = location;
  const hostKey = new Pins(() => localStorage).get(host);
  const client = connect({
    url: origin,
    host,
    credentials: 'cookie',
    device: 'auto',
    service: 'web_ui',
    ...(hostKey === undefined ? {} : { hostKey }),
  });
  const baseUrl = () => document.baseURI;
  const reach = new Reach(origin, httpsPaths, baseUrl);
  let isDecided = false;
  void client.ready.then(() => {
    isDecided = true;
  });
  const patches = new Patches();
  const EventSource = eventSourceClass({ fetch: client.fetch, baseUrl });
  const moves = (url: string) => reach.moves(url);
  try {
    patchFetch(patches, window, client, reach);
    const usesTunnel = () => isDecided && client.path === 'tunnel';
    patchXhr(patches, window.XMLHttpRequest, { client, reach, usesTunnel });
    patches.shareClass(window, 'EventSource', EventSource, moves);
    patches.shareClass(window, 'WebSocket', client.WebSocket, moves);
  } catch (error) {
    patches.undo();
    client.close();
    throw error;
  }
  return client;
}
