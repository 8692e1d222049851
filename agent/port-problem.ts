/** What a person reads when the agent gets none of the ports that `udp_ports` names. */
import type { NetworkSettings } from './network-settings.ts';
import { placed } from './network-values.ts';
import { udpPortHolder } from './port-holder.ts';
import type { NoPortError } from './udp-mux.ts';

/** `holderOf`: which program has a port, if that can be known. */
export function portProblem(
  { ports: { min, max }, address, denied }: NoPortError,
  settings: Pick<NetworkSettings, 'places'>,
  holderOf: (port: number) => string | undefined = udpPortHolder,
): string {
  const value = min === max ? `${min}` : `${min}-${max}`;
  const start = `${placed('udp_ports', settings)}: ${value}`;
  if (denied) {
    return (
      `${start} is not allowed at ${address}: your system gives ports below 1024 to privileged programs only. Write a ` +
      'port from 1024 on, or allow it (Linux: sysctl net.ipv4.ip_unprivileged_port_start).'
    );
  }
  const holder = min === max ? holderOf(min) : undefined;
  const by = holder === undefined ? '' : ` by ${holder}`;
  return `${start} ${min === max ? 'is' : 'are all'} in use at ${address}${by}. Write another port or a range, or end what uses it.`;
}
