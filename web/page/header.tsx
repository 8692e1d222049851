/** The bar on top: host, model, connection, a new chat and the menu. */
import type { VNode } from 'preact';
import type { IceStatus, UsableHost } from '../../shared/account-api.ts';
import { groupModels } from '../chat/models.ts';
import { ConnectionIndicator, type Forced } from '../connection/indicator.tsx';
import { Icon } from './icons.tsx';
import { PageMenu } from './page-menu.tsx';
import type { PageState } from './page-state.ts';

/** A host id is as long as a key may be; people know theirs by its beginning. */
const SHOWN_CHARACTERS = 24;

export interface HeaderProps {
  page: PageState;
  model: string;
  hostKey: () => string | undefined;
  sidebarOpen: boolean;
  onSidebar: () => void;
  onHost: (id: string) => void;
  onModel: (id: string) => void;
  onNew: () => void;
  onReconnect: (forced: Forced) => void;
  /** What the edge says of its TURN providers; it tells owners only. */
  ice: () => Promise<IceStatus>;
  /** Leaves for the web UI of the chosen host. */
  onWebUi: () => void;
  onSignOut: () => void;
}

export function Header(props: HeaderProps): VNode {
  const { page, model } = props;
  const hostless = page.me !== undefined && page.host === undefined;
  const hasWebUi = page.hosts.some(({ id, web_ui }) => id === page.host && web_ui === true);
  return (
    <header>
      <div class="bar">
        <button
          type="button"
          class="icon-button bar-list"
          data-testid="open-conversations"
          aria-label="Conversations"
          aria-controls="sidebar"
          aria-expanded={props.sidebarOpen}
          onClick={props.onSidebar}
        >
          <Icon name="list" />
        </button>
        <div class="host">
          <HostPicker hosts={page.hosts} host={page.host} onHost={props.onHost} />
        </div>
        <ModelPicker page={page} model={model} onModel={props.onModel} />
        <div class="connection">
          {!hostless && (
            <ConnectionIndicator
              client={page.client}
              forced={page.forced}
              onReconnect={props.onReconnect}
              ice={page.me?.kind === 'owner' ? props.ice : undefined}
            />
          )}
        </div>
        <button
          type="button"
          class="icon-button bar-new"
          aria-label="New chat"
          title="New chat (Ctrl+Shift+O)"
          onClick={props.onNew}
        >
          <Icon name="compose" />
        </button>
        <div class="account">
          {page.me !== undefined && (
            <PageMenu
              me={page.me}
              hostKey={props.hostKey}
              onWebUi={hasWebUi ? props.onWebUi : undefined}
              onSignOut={props.onSignOut}
            />
          )}
        </div>
      </div>
    </header>
  );
}

interface HostPickerProps {
  hosts: readonly UsableHost[];
  host: string | undefined;
  onHost: (id: string) => void;
}

/** A name, or a choice where there are several. */
function HostPicker({ hosts, host, onHost }: HostPickerProps): VNode {
  const current = hosts.find(({ id }) => id === host);
  if (hosts.length <= 1) {
    return (
      <span id="host" class="host-name" title={current?.name ?? ''}>
        {current === undefined ? 'direct-agent' : short(current.name)}
      </span>
    );
  }
  return (
    <label class="picker host-picker">
      <span class="visually-hidden">Host</span>
      <select data-testid="host" value={host} onChange={({ currentTarget }) => onHost(currentTarget.value)}>
        {hosts.map(({ id, name, online }) => (
          <option key={id} value={id}>
            {online ? short(name) : `${short(name)} (offline)`}
          </option>
        ))}
      </select>
    </label>
  );
}

interface ModelPickerProps {
  page: PageState;
  model: string;
  onModel: (id: string) => void;
}

function ModelPicker({ page, model, onModel }: ModelPickerProps): VNode {
  const groups = groupModels(page.models, page.serves);
  const options = (models: readonly string[]) =>
    models.map((id) => (
      <option key={id} value={id}>
        {id}
      </option>
    ));
  return (
    <label class="picker model-picker">
      <span class="visually-hidden">Model</span>
      <select
        id="model"
        data-testid="model"
        value={model}
        disabled={groups.length === 0}
        onChange={({ currentTarget }) => onModel(currentTarget.value)}
      >
        {groups.length === 0 && <option value="">no model</option>}
        {groups.length > 0 && !groups.some(({ models }) => models.includes(model)) && options([model])}
        {groups.map(({ server, models }) =>
          groups.length === 1 ? (
            options(models)
          ) : (
            <optgroup key={server ?? ''} label={server ?? 'Others'}>
              {options(models)}
            </optgroup>
          ),
        )}
      </select>
    </label>
  );
}

function short(name: string): string {
  return name.length > SHOWN_CHARACTERS ? `${name.slice(0, SHOWN_CHARACTERS)}…` : name;
}
