/** The unit for systemd (systemd.service(5), systemd.exec(5)), of a user or of the system. */
import { controlAddress } from '../control-address.ts';
import { commandLine, DESCRIPTION, FINAL_EXIT_CODES, type Program } from './program.ts';

/** A unit of the system runs as the user whose files these are. */
export type Scope = { kind: 'user' } | { kind: 'system'; uid: number; gid: number };

/** As the agent needs it: sockets of its own, the list of network interfaces, and nothing that takes a privilege. */
const FOR_ANYBODY = [
  'NoNewPrivileges=yes',
  'LockPersonality=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'RestrictNamespaces=yes',
  'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK',
  'SystemCallArchitectures=native',
  'UMask=0077',
];

/**
 * These need mount namespaces. For a user they take user namespaces, which some distributions deny, and the unit would
 * not start. No MemoryDenyWriteExecute: V8 compiles at run time.
 */
const FOR_ROOT = [
  'ProtectSystem=strict',
  'PrivateDevices=yes',
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'ProtectClock=yes',
  'ProtectHostname=yes',
  // For udp_ports below 1024.
  'CapabilityBoundingSet=CAP_NET_BIND_SERVICE',
];

/** The manager of a user knows nothing of the network; the agent waits for it by itself. */
const NETWORK = 'Wants=network-online.target\nAfter=network-online.target\n';

export function systemdUnit(program: Program, scope: Scope): string {
  const [node = '', ...args] = commandLine(program, ['up']);
  const isSystem = scope.kind === 'system';
  const line = execStart(node, args);
  return `[Unit]
Description=${DESCRIPTION}
${isSystem ? NETWORK : ''}StartLimitIntervalSec=0

[Service]
ExecStart=${line}
Restart=on-failure
RestartPreventExitStatus=${FINAL_EXIT_CODES.join(' ')}
RestartSec=2
# From systemd 254 on the pauses grow to this.
RestartSteps=8
RestartMaxDelaySec=300
TimeoutStopSec=20
${isSystem ? `User=${scope.uid}\nGroup=${scope.gid}\nReadWritePaths=${writable(program.folder, scope.uid)}\n` : ''}${[
  ...(isSystem ? FOR_ROOT : []),
  ...FOR_ANYBODY,
].join('\n')}

[Install]
WantedBy=${isSystem ? 'multi-user.target' : 'default.target'}
`;
}

/** The agent's folder; with a long name its socket is below /tmp. */
function writable(folder: string, uid: number): string {
  const { elsewhere } = controlAddress(folder, { platform: 'linux', temporary: '/tmp', user: `${uid}` });
  return elsewhere === undefined ? quoted(folder) : `${quoted(folder)} -/tmp`;
}

/** In the program's own name “$” stands for itself, and quotation marks are refused: there a shell finds it. */
function execStart(node: string, args: readonly string[]): string {
  const argument = (word: string) => quoted(word).replaceAll('$', '$$$$');
  const program = /["'\\]/.test(node)
    ? [quoted('/bin/sh'), quoted('-c'), argument('exec "$0" "$@"'), argument(node)]
    : [quoted(node)];
  return [...program, ...args.map(argument)].join(' ');
}

/** A word as systemd.syntax(7) has it, where “%” begins a specifier. */
function quoted(word: string): string {
  return `"${word.replace(/[\\"]/g, '\\$&').replaceAll('%', '%%')}"`;
}
