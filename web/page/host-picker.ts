/** Which host the page talks to, in its header: a name, or a choice where there are several. */
import type { UsableHost } from '../../shared/account-api.ts';
import { element, h } from '../look/element.ts';

/** A host id is as long as a key may be; people know theirs by its beginning. */
const SHOWN_CHARACTERS = 24;

export function showHosts(
  hosts: readonly UsableHost[],
  chosen: string | undefined,
  choose: (id: string) => void,
): void {
  const name = element('host', HTMLElement);
  const picker = element('host-picker', HTMLElement);
  const select = element('hosts', HTMLSelectElement);
  const current = hosts.find(({ id }) => id === chosen);
  name.hidden = hosts.length > 1;
  picker.hidden = !name.hidden;
  name.textContent = current === undefined ? 'direct-agent' : short(current.name);
  name.title = current?.name ?? '';
  select.replaceChildren(
    ...hosts.map(({ id, name, online }) =>
      h('option', { value: id }, online ? short(name) : `${short(name)} (offline)`),
    ),
  );
  select.value = chosen ?? '';
  select.onchange = () => choose(select.value);
}

function short(name: string): string {
  return name.length > SHOWN_CHARACTERS ? `${name.slice(0, SHOWN_CHARACTERS)}…` : name;
}
