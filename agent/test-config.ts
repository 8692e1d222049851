/** Configurations for tests. */
import { type ConfigSources, loadConfig } from './config.ts';
import { ConfigError } from './config-error.ts';

/** Of which nobody is asked. */
export const EDGE = 'https://edge.example/_direct/h/attic';
/** What an agent without a login needs. */
export const required = `signaling_url: ${EDGE}\ntoken: s3cret\n`;

/** Sources with this configuration file, with no environment, and with these other files and nothing else. */
export function withFile(
  yaml: string | undefined,
  more: ConfigSources & { files?: Record<string, string> } = {},
): ConfigSources {
  const files: Record<string, string | undefined> = { '/etc/da/config.yaml': yaml, ...more.files };
  return {
    env: {},
    cwd: '/work',
    configFolder: '/etc/da',
    fileMode: () => 0o100600,
    readFile(path) {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' });
      return text;
    },
    ...more,
  };
}

/** What a person reads, a line each. */
export function problemsOf(sources: ConfigSources): string {
  try {
    loadConfig(sources);
    return 'none';
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}
