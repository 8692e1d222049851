import { add, addGroup, type Define, type Flags, forPrograms } from './command.ts';

export const defineConfig: Define = (program, run) => {
  const config = addGroup(program, 'config', 'The configuration file: what it says, and changes to it.');
  add(config, 'path', 'Print the name of the file.', 'direct-agent config path').action((flags: Flags) =>
    run(async (context) => (await import('../commands/config.ts')).configPath(context, flags)),
  );
  add(
    config,
    'get [setting]',
    'Print what the agent goes by, from the file, the environment or by default, and where each value comes from.',
    'direct-agent config get upstream',
  )
    .option('--show-secrets', 'show the values of secrets, too')
    .option(...forPrograms)
    .action((key: string | undefined, flags: Flags) =>
      run(async (context) => (await import('../commands/config.ts')).getConfig(context, key, flags)),
    );
  add(
    config,
    'set <setting> [values...]',
    'Set a value in the file, which is checked first; several values are a list. Secrets are read from stdin.',
    'direct-agent config set upstream http://127.0.0.1:11434 http://127.0.0.1:8080',
  ).action((key: string, values: string[], flags: Flags) =>
    run(async (context) =>
      (await import('../commands/config.ts')).setConfig(context, key, values, flags, process.stdin),
    ),
  );
  add(
    config,
    'unset <setting>',
    'Take a value out of the file, so that the default counts.',
    'direct-agent config unset udp_ports',
  ).action((key: string, flags: Flags) =>
    run(async (context) => (await import('../commands/config.ts')).unsetConfig(context, key, flags)),
  );
};
