import type { Define } from './command.ts';

export const defineService: Define = () => {};
