import { add, addGroup, type Define, type Flags, forPrograms } from './command.ts';

export const defineDevice: Define = (program, run) => {
  add(
    program,
    'pair',
    'Make a link that pairs the device which opens it; see “access” in the docs.',
    'direct-agent pair --name phone',
  )
    .option('--name <name>', 'what to call the device (default: as it calls itself)')
    .option('--no-wait', 'only print the link')
    .action((flags: Flags) => run(async (context) => (await import('../commands/pair.ts')).pair(context, flags)));

  const device = addGroup(program, 'device', 'The devices that are paired with this host.');
  add(device, 'list', 'List the paired devices.', 'direct-agent device list')
    .option(...forPrograms)
    .action((flags: Flags) =>
      run(async (context) => (await import('../commands/device.ts')).listPaired(context, flags)),
    );
  add(
    device,
    'remove <device>',
    'Remove a paired device, given by id or name; its sessions end.',
    'direct-agent device remove phone',
  ).action((idOrName: string, flags: Flags) =>
    run(async (context) => (await import('../commands/device.ts')).removePaired(context, idOrName, flags)),
  );
};
