import { Option } from 'commander';
import { add, type Define, type Flags, forPrograms, list } from './command.ts';

export const defineDoctor: Define = (program, run) => {
  add(
    program,
    'doctor',
    'Examine edge, network, paths and LLM servers, and say what to do.',
    'direct-agent doctor --no-inference',
  )
    .addOption(new Option('--stun <urls>', 'further STUN servers to examine the NAT with').argParser(list))
    .option('--no-inference', 'do not ask a model for a token')
    .option('--no-update-check', 'do not ask the npm registry for a newer version')
    .option(...forPrograms)
    .action((flags: Flags) =>
      run(async (context) => {
        const { doctor } = await import('../commands/doctor.ts');
        const colour = process.stdout.isTTY === true && (context.env.NO_COLOR ?? '') === '';
        return await doctor(context, flags, { colour, elapsedMs: performance.now() });
      }),
    );
};
