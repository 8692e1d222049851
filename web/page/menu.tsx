/** A small menu behind a button. */
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Icon, type IconName } from './icons.tsx';

export interface MenuProps {
  label: string;
  icon: IconName;
  testid?: string;
  children: ComponentChildren;
}

/** Opens and closes by itself: a click elsewhere, Escape, or an entry that was chosen. */
export function Menu({ label, icon, testid, children }: MenuProps): VNode {
  const details = useRef<HTMLDetailsElement>(null);
  const [open, setOpen] = useState(false);
  const close = () => {
    if (details.current !== null) details.current.open = false;
  };
  /** What had the focus is gone then. */
  const leave = () => {
    close();
    details.current?.querySelector('summary')?.focus();
  };
  useEffect(() => {
    if (!open) return;
    const outside = ({ target }: Event) => {
      if (!(target instanceof Node && details.current?.contains(target))) close();
    };
    document.addEventListener('pointerdown', outside);
    return () => document.removeEventListener('pointerdown', outside);
  }, [open]);
  const key = (event: KeyboardEvent) => {
    if (event.key !== 'Escape' || !open) return;
    // It closes this, and nothing else.
    event.stopPropagation();
    leave();
  };
  return (
    <details
      ref={details}
      class="menu"
      onToggle={({ currentTarget }) => setOpen(currentTarget.open)}
      onKeyDown={key}
      data-open={open}
    >
      <summary aria-label={label} title={label} data-testid={testid}>
        <Icon name={icon} />
      </summary>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: a click on any entry in it closes it */}
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: its entries are buttons and links, which keys click, too */}
      <div class="menu-list" onClick={leave}>
        {open && children}
      </div>
    </details>
  );
}

interface MenuButtonProps {
  icon?: IconName;
  danger?: boolean;
  testid?: string;
  onClick: () => void;
  children: ComponentChildren;
}

export function MenuButton({ icon, danger, testid, onClick, children }: MenuButtonProps): VNode {
  return (
    <button
      type="button"
      class={danger === true ? 'menu-item danger' : 'menu-item'}
      data-testid={testid}
      onClick={onClick}
    >
      {icon !== undefined && <Icon name={icon} size={18} />}
      {children}
    </button>
  );
}
