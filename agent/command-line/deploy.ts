import { add, type Define, type Flags, forPrograms } from './command.ts';

export const defineDeploy: Define = (program, run) => {
  add(
    program,
    'deploy',
    'Put the edge on your Cloudflare account, or update it there.',
    'direct-agent deploy --name my-edge',
  )
    .option('--name <worker>', 'what to call it; part of its address (default: direct-agent)')
    .option('--account <id>', 'the Cloudflare account, where you have several')
    .option('--new-token', 'replace the owner token of an edge that has one')
    .option('--replace', 'replace a Worker of that name that is no edge with an owner token')
    .option('--dry-run', 'check everything on this machine and send nothing')
    .option('--wrangler <program>', 'a wrangler of yours, in place of the one that npx fetches')
    .option(...forPrograms)
    .action((flags: Flags) => run(async (context) => (await import('../commands/deploy.ts')).deploy(context, flags)));
};
