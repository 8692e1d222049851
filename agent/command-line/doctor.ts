import type { Define } from './command.ts';

export const defineDoctor: Define = () => {};
