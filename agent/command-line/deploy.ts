import type { Define } from './command.ts';

export const defineDeploy: Define = () => {};
