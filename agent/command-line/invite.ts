import type { Define } from './command.ts';

export const defineInvite: Define = () => {};
