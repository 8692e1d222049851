/** Top right in the chat: whom this browser talks to, the dashboard, and the way out. */
import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Me } from '../../shared/account-api.ts';
import { fingerprintElement } from '../access/fingerprint-element.ts';
import { Menu, MenuButton } from './menu.tsx';

export interface PageMenuProps {
  me: Me;
  /** The key that the host has proved, or that this browser expects of it. */
  hostKey: () => string | undefined;
  /** Absent: the host has no web UI at this address. */
  onWebUi: (() => void) | undefined;
  onSignOut: () => void;
}

export function PageMenu({ me, hostKey, onWebUi, onSignOut }: PageMenuProps): VNode {
  return (
    <Menu label="Menu" icon="dots" testid="menu">
      <Identity hostKey={hostKey()} />
      {me.kind === 'owner' && (
        <a class="menu-item" href="/_direct/">
          Dashboard
        </a>
      )}
      {onWebUi !== undefined && (
        <MenuButton testid="open-web-ui" onClick={onWebUi}>
          Open the host’s web UI
        </MenuButton>
      )}
      <MenuButton onClick={onSignOut}>Sign out</MenuButton>
    </Menu>
  );
}

function Identity({ hostKey }: { hostKey: string | undefined }): VNode | null {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (hostKey !== undefined) place.current?.replaceChildren(fingerprintElement(hostKey));
  }, [hostKey]);
  if (hostKey === undefined) return null;
  return (
    <div class="menu-note">
      <div>The host’s fingerprint</div>
      <div ref={place} />
    </div>
  );
}
