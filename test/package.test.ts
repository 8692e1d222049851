/** What `npm pack` gives: one package that is complete, small, and has nothing in it that is not for its users. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packed } from './packed.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));

let folder: string;
let tarball: string;
let files: string[];
let description: Record<string, unknown>;
beforeAll(async () => {
  tarball = await packed();
  folder = mkdtempSync(join(tmpdir(), 'direct-agent-package-'));
  await run('tar', ['xzf', tarball, '--strip-components=1'], { cwd: folder });
  files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(folder, name)).isFile(),
  );
  description = JSON.parse(read('package.json')) as Record<string, unknown>;
}, 240_000);
afterAll(() => rmSync(folder, { recursive: true }));

const read = (name: string) => readFileSync(join(folder, name), 'utf8');
const below = (name: string) => files.filter((file) => file.startsWith(`${name}/`));

describe('the package', () => {
  test('is below 3 MB', () => {
    expect(statSync(tarball).size).toBeLessThan(3_000_000);
  });

  test('leaves npm nothing to install, to build or to run', () => {
    for (const key of ['dependencies', 'optionalDependencies', 'peerDependencies', 'bundleDependencies', 'private']) {
      expect(description[key], key).toBeUndefined();
    }
    const scripts = Object.keys(description.scripts as object);
    // npm warns of `prepare`, too, where a package is a file; in a clone `dependencies` applies the patches.
    expect(scripts.filter((name) => /^((pre|post)?install|prepare)$/.test(name))).toEqual([]);
    expect(files.filter((name) => /\.(node|gyp|so|dylib|dll|exe)$/.test(name))).toEqual([]);
  });

  test('is built before it is packed', () => {
    expect((description.scripts as Record<string, string>).prepack).toBe('node scripts/package.ts');
  });

  test('has what its description names', () => {
    const { bin, exports } = description as { bin: Record<string, string>; exports: Record<string, object> };
    const named = [...Object.values(bin), ...Object.values(exports['./client'] ?? {})].map((path) =>
      String(path).replace(/^\.\//, ''),
    );
    expect(named.length).toBeGreaterThan(3);
    for (const path of named) expect(files).toContain(path);
  });

  test('has programs, types, the edge and documents, and no source, test, map, configuration or picture', () => {
    const expected = [
      /^(README\.md|SECURITY\.md|LICENSE|package\.json|bin\/direct-agent\.cjs)$/,
      /^docs\/(reference\/)?[a-z-]+\.md$/,
      /^docs\/docker\/(Dockerfile|[a-z.]+\.yaml)$/,
      /^docs\/examples\/[a-z]+\.mjs$/,
      /^dist\/(agent|client|edge)\/LICENSES\.txt$/,
      /^dist\/agent\/[\w-]+\.js$/,
      /^dist\/client\/(browser|node)\.js$/,
      /^dist\/client\/types\/(web\/client|shared)\/[\w-]+\.d\.ts$/,
      /^dist\/edge\/(wrangler\.json|worker\/index\.js)$/,
      /^dist\/edge\/web\/(_headers|_direct\/[\w-]+\.(js|webmanifest)|_direct\/(page|dashboard)\/index\.html)$/,
      /^dist\/edge\/web\/_direct\/assets\/[\w-]+\.(js|css|png|svg|woff2)$/,
    ];
    expect(files.filter((name) => !expected.some((pattern) => pattern.test(name)))).toEqual([]);
    expect(files.filter((name) => /(^|[/-])(test|fake)[-.]|\.test\./.test(name))).toEqual([]);
  });

  test('holds no secret, and no path of the machine that built it', () => {
    const secrets = [
      /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]{40}/,
      /\bda[dhkpi]_[\w-]{43}\b/,
      /change-me-|for-tests-/,
      new RegExp(root.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')),
    ];
    const texts = files.filter((name) => !name.endsWith('.png'));
    for (const secret of secrets) expect(texts.filter((name) => secret.test(read(name)))).toEqual([]);
  });

  test('asks for no module but those of Node', async () => {
    const scripts = [...below('dist/agent'), ...below('dist/client')].filter((name) => name.endsWith('.js'));
    const { metafile } = await build({
      entryPoints: scripts.map((name) => join(folder, name)),
      bundle: true,
      write: false,
      metafile: true,
      outdir: folder,
      format: 'esm',
      platform: 'node',
      packages: 'external',
    });
    const asked = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
    expect(asked).toContain('node:crypto');
    expect(asked.filter((path) => !builtinModules.includes(path.replace(/^node:/, '')))).toEqual([]);
  });

  test.each([
    ['agent', ['werift', 'undici', 'zod', 'commander', 'ws', 'yaml', 'hpke', 'tough-cookie']],
    ['client', ['werift', 'hpke']],
    ['edge', ['hono', 'jose', '@simplewebauthn/server', 'preact', 'marked', 'dompurify']],
  ])('has the licences of what is in its %s', (part, names) => {
    const lines = read(`dist/${part}/LICENSES.txt`).matchAll(/^(\S+) \d+\.\d+\.\d+ \(.+\)$/gm);
    expect([...lines].map(([, name]) => name)).toEqual(expect.arrayContaining(names));
  });
});

describe('its program', () => {
  const start = (args: string[], node: string[] = []) =>
    run(process.execPath, [...node, join(folder, 'bin/direct-agent.cjs'), ...args], {
      env: { HOME: folder },
      timeout: 50_000,
    });

  test('says its version, with nothing on PATH', async () => {
    expect((await start(['--version'])).stdout).toBe(`${description.version}\n`);
  });

  test('starts without what only its commands need', () => {
    // Static imports of the first file, and of those.
    const names = ['main.js'];
    for (const name of names) {
      for (const [, next = ''] of read(`dist/agent/${name}`).matchAll(
        /(?:\bfrom|^import|;import)\s*"\.\/([\w-]+\.js)"/g,
      )) {
        if (!names.includes(next)) names.push(next);
      }
    }
    const size = names.reduce((sum, name) => sum + statSync(join(folder, 'dist/agent', name)).size, 0);
    // commander and the definitions of the commands. With zod it would be 300 kB more, with werift a megabyte.
    expect(size).toBeLessThan(200_000);
  });

  test('tells an old Node in one line what to do', async () => {
    const old = join(folder, 'old.cjs');
    writeFileSync(
      old,
      `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });`,
    );
    const failure = await start(['--version'], ['-r', old]).catch((error: { code: number; stderr: string }) => error);
    rmSync(old);
    expect(failure).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(/^direct-agent: this is Node 20.*22\.19.*\n$/),
    });
  });

  test('has its edge beside it', async () => {
    const config = JSON.parse(read('dist/edge/wrangler.json')) as { main: string; assets: { directory: string } };
    expect(existsSync(join(folder, 'dist/edge', config.main))).toBe(true);
    expect(existsSync(join(folder, 'dist/edge', config.assets.directory, '_direct/page/index.html'))).toBe(true);
    // Its build is done, and a checkout's commands would fail.
    expect(config).not.toHaveProperty('build');
  });
});
