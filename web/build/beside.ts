import { build, type Plugin } from 'vite';
import { preloads } from './preloads.ts';

/**
 * Builds `input` after the rest and by itself. What the two have in common would become files of its own otherwise, which
 * pages would have to ask for one by one, and which compress worse.
 */
export function beside(input: Record<string, string>): Plugin {
  let run: () => Promise<unknown>;
  return {
    name: 'beside',
    configResolved: ({ root, base, logLevel = 'info', build: { outDir, target, assetsInlineLimit } }) => {
      const options = { outDir, target, assetsInlineLimit, emptyOutDir: false, modulePreload: false } as const;
      run = () =>
        build({
          configFile: false,
          root,
          base,
          logLevel,
          publicDir: false,
          plugins: [preloads()],
          build: { ...options, rolldownOptions: { input } },
        });
    },
    closeBundle: { sequential: true, handler: () => run().then(() => {}) },
  };
}
