/** The configuration as far as it can be used: each mistake in it is a finding, and the other checks go on without. */
import { CommandError } from '../command-error.ts';
import { type Context, configSources, type Flags } from '../commands/context.ts';
import { type AgentSettings, type Connection, loadConfig, loadSettings } from '../config.ts';
import { ConfigError } from '../config-error.ts';
import { chooseEngine } from '../engine.ts';
import { checkUsable } from '../local-addresses.ts';
import type { Credentials, Store } from '../store.ts';
import { type Finding, failure, inParts, ok, warning } from './finding.ts';

export interface Configuration {
  readonly findings: readonly Finding[];
  /** The defaults where the configured ones cannot be used. */
  readonly settings: AgentSettings;
  /** Undefined: no edge is known. */
  readonly connection: Connection | undefined;
}

const CHECK = 'configuration';

export function readConfiguration(context: Context, flags: Flags, store: Pick<Store, 'credentials'>): Configuration {
  const findings: Finding[] = [];
  let login: Credentials | undefined;
  try {
    login = store.credentials();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    findings.push({ ...failure('configuration.login', ''), ...inParts(error.message) });
  }
  const sources = configSources(context, flags, login);
  try {
    const config = loadConfig(sources);
    findings.push(
      ok(
        CHECK,
        config.file === undefined
          ? 'No configuration file: the defaults, environment and flags count.'
          : `The configuration file ${config.file} is right.`,
        { data: { file: config.file ?? null } },
      ),
    );
    findings.push(...config.warnings.map((line) => ({ ...warning(CHECK, ''), ...inParts(line) })));
    findings.push(...unusableNetwork(context, config));
    return { findings, settings: config, connection: config };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    findings.push(...error.problems.map((problem) => ({ ...failure(CHECK, ''), ...inParts(problem) })));
  }
  return { findings, settings: settingsAlone(context, flags), connection: sources.login };
}

/** What is set beside a missing login still counts; of what is wrong nothing does. */
function settingsAlone(context: Context, flags: Flags): AgentSettings {
  try {
    return loadSettings(configSources(context, flags));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const absent = Object.assign(new Error('not read'), { code: 'ENOENT' });
    return loadSettings({
      env: {},
      readFile: () => {
        throw absent;
      },
    });
  }
}

function unusableNetwork(context: Context, { network }: AgentSettings): Finding[] {
  return [() => checkUsable(network, context.interfaces()), () => void chooseEngine(network)].flatMap((check) => {
    try {
      check();
      return [];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return error.problems.map((problem) => ({ ...failure(CHECK, ''), ...inParts(problem) }));
    }
  });
}
