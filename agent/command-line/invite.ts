import { add, addGroup, type Define, type Flags, forPrograms } from './command.ts';

export const defineInvite: Define = (program, run) => {
  const invite = addGroup(program, 'invite', 'Links that let other people use this host in their browser.').addHelpText(
    'after',
    '\n“direct-agent invite --name anna” is short for “direct-agent invite create --name anna”.',
  );
  add(invite, 'create', 'Make a link; it is printed once.', 'direct-agent invite --name anna --expires 7d')
    .option('--name <name>', 'whom it is for; needed')
    .option('--expires <time>', 'such as 12h, 7d, 1y or 2030-01-31')
    .option(...forPrograms)
    .action((flags: Flags) =>
      run(async (context) => (await import('../commands/invite.ts')).createInvitation(context, flags)),
    );
  add(invite, 'list', 'List the invitations to this host.', 'direct-agent invite list')
    .option(...forPrograms)
    .action((flags: Flags) =>
      run(async (context) => (await import('../commands/invite.ts')).listInvitations(context, flags)),
    );
  add(
    invite,
    'revoke <invitation>',
    'End an invitation, given by id or name, and what was begun with it.',
    'direct-agent invite revoke anna',
  )
    .option(...forPrograms)
    .action((idOrName: string, flags: Flags) =>
      run(async (context) => (await import('../commands/invite.ts')).revokeInvitation(context, idOrName, flags)),
    );
};
