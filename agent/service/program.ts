/** What the service runs, and how that is written where a program is kept running. Nothing in it is secret. */
import { join } from 'node:path';
import { CommandError, EXIT } from '../command-error.ts';

/** As services and their files are called. */
export const SERVICE_NAME = 'direct-agent';
export const DESCRIPTION = 'direct-agent: reach the language model on this machine from anywhere';
/** After these another start ends the same way: somebody must do something first. */
export const FINAL_EXIT_CODES: readonly number[] = [EXIT.usage, EXIT.refused, EXIT.denied, EXIT.config];

export interface Program {
  /** Absolute. */
  node: string;
  /** The agent's file, absolute. */
  main: string;
  /** Of the agent's files, absolute; the agent writes nowhere else. */
  folder: string;
  /** The configuration file, absolute, if it is not the one in the folder. */
  config?: string | undefined;
}

/** `command`: `['up']`. */
export function commandLine({ node, main, folder, config }: Program, command: readonly string[]): string[] {
  const words = [node, main, ...command, ...(config === undefined ? [] : ['--config', config]), '--folder', folder];
  // A line of its own in a unit, or no character of XML at all. Nobody has such a folder by intent.
  const odd = words.find((word) => /\p{Cc}/u.test(word));
  if (odd !== undefined) {
    throw new CommandError(EXIT.usage, `${JSON.stringify(odd)} has a control character; a service cannot run that.`);
  }
  return words;
}

/** What the supervisor leaves, where the system keeps no log of its own. */
export function logFileOf(folder: string): string {
  return join(folder, 'service.log');
}

/** Why a program that was started from here is gone soon, or undefined. */
export function passingPlace(main: string): string | undefined {
  const path = main.replaceAll('\\', '/');
  if (/\/_npx\//.test(path)) return 'npx';
  if (/\/(pnpm\/dlx|dlx)(-|\/)/.test(path)) return 'pnpm dlx';
  if (/\/bunx-/.test(path)) return 'bunx';
  if (/\/xfs-[^/]*\/dlx-/.test(path)) return 'yarn dlx';
  return undefined;
}

/**
 * The name of Node that outlives its next update: Homebrew puts each version into a folder of its own, beside a link to
 * the newest.
 */
export function lastingNode(node: string, exists: (path: string) => boolean): string {
  const [, prefix, formula] = /^(.*)\/Cellar\/(node[^/]*)\/[^/]+\/bin\/node$/.exec(node) ?? [];
  const link = prefix === undefined ? undefined : `${prefix}/opt/${formula}/bin/node`;
  return link !== undefined && exists(link) ? link : node;
}
