import { build, type InlineConfig } from 'vite';
import { plainImports } from './preloads.ts';

export interface ScriptOptions {
  /** As the build's. */
  target: string[];
  /** What stands for names in it. */
  define?: Record<string, string>;
}

/** The module `input` with all that it imports as one classic script, minified. */
export async function scriptText(input: string, { target, define = {} }: ScriptOptions): Promise<string> {
  const options = {
    write: false,
    target,
    modulePreload: false,
    rolldownOptions: { input, output: { format: 'iife' } },
  };
  const plugins = [{ name: 'plain-imports', enforce: 'pre', ...plainImports }];
  const built = await build({ configFile: false, logLevel: 'warn', define, plugins, build: options } as InlineConfig);
  const files = [built].flat().flatMap((result) => ('output' in result ? result.output : []));
  const [chunk] = files;
  if (chunk?.type !== 'chunk' || files.length !== 1) throw new Error(`${input} is not one script`);
  return chunk.code.trim();
}
