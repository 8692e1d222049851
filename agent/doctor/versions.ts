/** Which versions are here, at the edge, and to be had. */
import { z } from 'zod';
import { PROTOCOL_VERSION } from '../../shared/limits.ts';
import { plain } from '../command-error.ts';
import { type Finding, failure, ok, skipped, warning } from './finding.ts';
import { hostOf, type Lookup, problemOfName } from './names.ts';
import { within } from './once.ts';

/** Of package.json’s `engines`. */
const MIN_NODE = [22, 19, 0] as const;
const REGISTRY = 'https://registry.npmjs.org/direct-agent/latest';
const REGISTRY_MS = 2_000;

const latest = z.object({ version: z.string().regex(/^\d+\.\d+\.\d+$/) });

export function checkNode(nodeVersion: string): Finding[] {
  const data = { node: nodeVersion };
  const isOld = compare(numbers(nodeVersion), MIN_NODE) < 0;
  if (!isOld) return [ok('version.node', `Node ${nodeVersion}.`, { data })];
  return [
    failure('version.node', `Node ${nodeVersion} is too old.`, {
      meaning: 'direct-agent may break off anywhere.',
      fix: `Install Node ${MIN_NODE.join('.')} or newer.`,
      data,
    }),
  ];
}

export interface EdgeVersions {
  /** Undefined: the edge does not say. */
  readonly version: string | undefined;
  readonly protocol: number | undefined;
}

export function checkEdgeVersion(own: string, edge: EdgeVersions): Finding[] {
  const data = { edge: edge.version ?? null, protocol: edge.protocol ?? null };
  if (edge.protocol !== undefined && edge.protocol !== PROTOCOL_VERSION) {
    return [
      failure(
        'version.edge',
        `The edge speaks version ${edge.protocol} of the protocol, this agent ${PROTOCOL_VERSION}.`,
        {
          meaning: 'They do not understand each other.',
          fix: 'Deploy the edge and install the agent from the same version.',
          data,
        },
      ),
    ];
  }
  if (edge.version === undefined) {
    if (edge.protocol === undefined) return [skipped('version.edge', 'The edge’s version is not known.', { data })];
    return [ok('version.edge', `The edge speaks this agent’s version of the protocol (${edge.protocol}).`, { data })];
  }
  const difference = compare(numbers(edge.version), numbers(own));
  if (difference === 0)
    return [ok('version.edge', `The edge has the same version (${plain(edge.version)}).`, { data })];
  return [
    warning('version.edge', `The edge has version ${plain(edge.version)}, this agent ${own}.`, {
      meaning: 'They work together as long as the protocol is the same, but one lacks what the other has.',
      fix:
        difference < 0
          ? 'Deploy the edge again: npx direct-agent@latest deploy'
          : 'Install the agent again: npm install -g direct-agent',
      data,
    }),
  ];
}

/** An agent that was started before the update goes on as it was. */
export function checkRunning(own: string, running: string | undefined): Finding[] {
  if (running === undefined || running === own) return [];
  return [
    warning('version.running', `The agent that runs here has version ${plain(running)}, this program ${own}.`, {
      fix: 'Restart the agent.',
      data: { running, version: own },
    }),
  ];
}

export interface UpdateOptions {
  readonly fetch: typeof fetch;
  readonly look: Lookup;
  readonly signal: AbortSignal;
}

export async function checkUpdate(own: string, { fetch, look, signal }: UpdateOptions): Promise<Finding[]> {
  let newest: string;
  try {
    const limit = within(REGISTRY_MS, signal);
    const problem = await problemOfName(look, hostOf(REGISTRY), limit);
    if (problem !== undefined) throw new Error(problem);
    const response = await fetch(REGISTRY, {
      headers: { accept: 'application/json' },
      redirect: 'error',
      signal: limit,
    });
    newest = latest.parse(await response.json()).version;
  } catch {
    return [
      skipped(
        'version.update',
        `direct-agent ${own}; whether there is a newer one is not known: the npm registry does not say.`,
        { data: { version: own, latest: null } },
      ),
    ];
  }
  const data = { version: own, latest: newest };
  if (compare(numbers(newest), numbers(own)) <= 0)
    return [ok('version.update', `direct-agent ${own} is the newest version.`, { data })];
  return [
    warning('version.update', `direct-agent ${own}; there is ${newest}.`, {
      fix: 'Install it: npm install -g direct-agent; then restart the agent.',
      data,
    }),
  ];
}

function numbers(version: string): number[] {
  return version.replace(/^v/, '').split(/[.+-]/, 3).map(Number);
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < 3; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
