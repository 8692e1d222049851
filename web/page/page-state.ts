/** What the page knows of its surroundings: who is there, the hosts, the connection and its models. */
import type { Me, ServedUpstream, UsableHost } from '../../shared/account-api.ts';
import type { Model } from '../chat/models.ts';
import type { Client } from '../client/index.ts';
import type { Forced } from '../connection/indicator.tsx';
import { Store } from './store.ts';

/** One line above the composer: what is in the way, and what a person may do about it. */
export interface Status {
  /** Nothing is shown for an empty text. */
  text: string;
  action?: { label: string; run(): void };
}

export interface PageState {
  me: Me | undefined;
  hosts: readonly UsableHost[];
  /** Id of the chosen host. */
  host: string | undefined;
  /** Of that host; it may be closed when nothing can be done with it any more. */
  client: Client | undefined;
  /** How a person wants the connection to be made, to find out what is wrong. */
  forced: Forced;
  models: readonly Model[];
  /** Which server runs which model, as far as the edge tells. */
  serves: readonly ServedUpstream[];
  /** There is a host with a model: what is written can be sent. */
  ready: boolean;
  status: Status;
}

export type PageStore = Store<PageState>;

export function newPageStore(): PageStore {
  return new Store<PageState>({
    me: undefined,
    hosts: [],
    host: undefined,
    client: undefined,
    forced: {},
    models: [],
    serves: [],
    ready: false,
    status: { text: '' },
  });
}
