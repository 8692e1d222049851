/** Which addresses of this machine the agent uses. */
import type { NetworkInterfaceInfo } from 'node:os';
import type { LocalAddress, NetworkSettings } from './network-settings.ts';

export interface ChosenAddresses {
  used: LocalAddress[];
  left: { interface: string; address: string; why: string }[];
}

/** Bridges and ends of containers and virtual machines: nobody outside reaches them. */
const VIRTUAL = /^(docker|br-|veth|virbr|vmnet|cni|flannel|podman|lxcbr|lxdbr|vboxnet)/;

/** Pure: the addresses in `interfaces` that `settings` allow. */
export function chooseAddresses(
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>,
  settings: Pick<NetworkSettings, 'interfaces' | 'excludeInterfaces' | 'nat1to1' | 'ipFamily'>,
): ChosenAddresses {
  const left: ChosenAddresses['left'] = [];
  const found = Object.entries(interfaces).flatMap(([name, infos = []]) => infos.map((info) => ({ name, info })));
  const outer = found.filter(({ name, info }) => {
    const why = whyNot(name, info, settings);
    if (why !== undefined) left.push({ interface: name, address: info.address, why });
    return why === undefined;
  });
  const real = outer.filter(({ name }) => settings.interfaces.length > 0 || !VIRTUAL.test(name));
  const used = (real.length > 0 ? real : outer).map(({ name, info }): LocalAddress => {
    const family = info.family === 'IPv4' ? 4 : 6;
    const mapped = settings.nat1to1.filter(({ external, local }) =>
      local === undefined ? external.includes(':') === (family === 6) : local === info.address,
    );
    const advertised = mapped.length > 0 ? mapped.map(({ external }) => external) : [info.address];
    return { interface: name, address: info.address, family, advertised };
  });
  for (const { name, info } of outer) {
    if (!used.some(({ address }) => address === info.address)) {
      left.push({ interface: name, address: info.address, why: 'virtual' });
    }
  }
  return { used, left };
}

function whyNot(
  name: string,
  { internal, address, family }: NetworkInterfaceInfo,
  { interfaces, excludeInterfaces, ipFamily }: Pick<NetworkSettings, 'interfaces' | 'excludeInterfaces' | 'ipFamily'>,
): string | undefined {
  if (internal) return 'loopback';
  if (/^(fe[89ab]|169\.254\.)/i.test(address)) return 'link-local';
  if (ipFamily !== 'any' && ipFamily !== family.toLowerCase()) return `ip_family is ${ipFamily}`;
  if (interfaces.length > 0 && !interfaces.some((pattern) => matches(pattern, name))) return 'not in interfaces';
  if (excludeInterfaces.some((pattern) => matches(pattern, name))) return 'in exclude_interfaces';
  return undefined;
}

function matches(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[\\^$+.()|[\]{}]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`).test(name);
}
