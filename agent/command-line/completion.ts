import type { Define } from './command.ts';

export const defineCompletion: Define = () => {};
