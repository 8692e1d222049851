import type { Define } from './command.ts';

export const defineOpen: Define = () => {};
