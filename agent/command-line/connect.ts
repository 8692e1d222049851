import type { Define } from './command.ts';

export const defineConnect: Define = () => {};
