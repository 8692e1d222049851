/** What the configuration says of the host's own web UI. */
import type { z } from 'zod';
import type { settings } from './settings.ts';

export interface WebUiSettings {
  /** Without a slash at the end. */
  readonly base: string;
  /** Paths that stay on plain HTTPS, with all below them. */
  readonly httpsPaths: readonly string[];
}

type Data = z.infer<typeof settings>;

/** Undefined when there is none. */
export function webUiOf(data: Data): WebUiSettings | undefined {
  return data.web_ui === undefined ? undefined : { base: data.web_ui, httpsPaths: data.web_ui_https_paths };
}

/** What cannot be meant. `originOf`: where a key stands, if it does. */
export function webUiProblems(originOf: (key: keyof Data) => string | undefined): string[] {
  const paths = originOf('web_ui_https_paths');
  if (paths === undefined || originOf('web_ui') !== undefined) return [];
  return [`web_ui_https_paths (${paths}) is set, and web_ui is not. Set web_ui as well, or remove it.`];
}

/** What can, but leaves nobody who could open it. */
export function webUiWarnings({ web_ui, access, tunnel }: Data): string[] {
  if (web_ui === undefined || (access !== 'paired' && tunnel)) return [];
  const [key, value] = tunnel ? ['access', 'edge'] : ['tunnel', 'yes'];
  return [
    `web_ui: browsers load pages by plain HTTPS, which this host does not take (${key}), so they cannot open the web UI. Set ${key} to ${value}, or remove web_ui.`,
  ];
}
