import type { Define } from './command.ts';

export const defineConfig: Define = () => {};
