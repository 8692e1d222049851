/** The npm client, as its users get it: packed, type-checked by their compiler, run by their Node. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium, withoutChromium } from './chromium.ts';
import { packed } from './packed.ts';
import { HOST_ID, OWNER_TOKEN, Stack } from './stack.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));

/** A project with the package in its node_modules, and the types of Node. */
let project: string;
let stack: Stack;
beforeAll(async () => {
  const tarball = await packed();
  project = mkdtempSync(join(tmpdir(), 'direct-agent-consumer-'));
  await run('tar', ['xzf', tarball], { cwd: project });
  mkdirSync(join(project, 'node_modules'));
  cpSync(join(project, 'package'), join(project, 'node_modules/direct-agent'), { recursive: true });
  for (const name of ['@types/node', 'undici-types']) {
    const target = join(project, 'node_modules', name);
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), target);
  }
  stack = await Stack.start();
  // A build of the package, a compiler and a bundler besides the stack.
}, 240_000);
afterAll(async () => {
  await stack?.close();
  if (project !== undefined) rmSync(project, { recursive: true });
});

const write = (name: string, text: string) => writeFileSync(join(project, name), text);
const environment = () => ({
  PATH: process.env.PATH,
  DIRECT_EDGE: stack.edge.url,
  DIRECT_HOST: HOST_ID,
  DIRECT_KEY: OWNER_TOKEN,
  DIRECT_HOST_KEY: stack.hostKey,
});
const node = (args: string[], cwd = project) =>
  run(process.execPath, args, { cwd, env: environment(), timeout: 55_000 });

const PROGRAM = `
import { type Client, connect, DirectError, patchFetch } from 'direct-agent/client';

const client: Client = connect({ url: 'https://edge.example', host: 'home', token: 'dak_x', iceServers: [] });
const off: () => void = client.on('path', (path) => console.log(path satisfies string));
const response: Response = await client.fetch('/v1/models', { hold: 'x'.repeat(22), signal: AbortSignal.timeout(1) });
const rest: Response = await client.resume('x'.repeat(22), 10);
await client.release('x'.repeat(22));
const restore: () => void = patchFetch(client);
// As other packages take it.
const own: typeof fetch = client.fetch;
console.log(own.name);
console.log(response.status, rest.headers.get('a'), client.error instanceof DirectError, client.rtt);
off();
restore();
client.close();
// @ts-expect-error: neither url nor host
connect({});
// @ts-expect-error: no such event
client.on('nothing', () => {});
`;

describe('types', () => {
  test.each([
    ['nodenext', 'NodeNext', ['ES2024'], ['node']],
    ['nodenext', 'NodeNext', undefined, []],
    ['bundler', 'ESNext', ['ES2024', 'DOM'], []],
  ])('are accepted with moduleResolution %s, module %s, lib %s', async (moduleResolution, module, lib, types) => {
    write('program.ts', PROGRAM);
    write('package.json', JSON.stringify({ type: 'module', private: true }));
    const compilerOptions = { strict: true, noEmit: true, target: 'ES2024', module, moduleResolution, lib, types };
    write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['program.ts'] }));
    const outcome = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'], {
      cwd: project,
    }).catch((error: { stdout: string }) => error);
    expect(outcome.stdout).toBe('');
  });
});

test('Node gets WebRTC with it, with the mended DTLS, and ends when the client is closed', async () => {
  write(
    'program.mjs',
    `import { connect } from 'direct-agent/client';
     const { DIRECT_EDGE: url, DIRECT_HOST: host, DIRECT_KEY: token, DIRECT_HOST_KEY: hostKey } = process.env;
     const client = connect({ url, host, token, hostKey });
     while (client.path !== 'direct') await new Promise((resolve) => setTimeout(resolve, 20));
     const response = await client.fetch('/v1/models');
     console.log(response.status, client.path);
     client.close();`,
  );
  expect((await node(['program.mjs'])).stdout).toBe('200 direct\n');
  // The patch's own words (patches/werift+0.25.2+001+dtls-proof.patch).
  expect(readFileSync(join(project, 'package/dist/client/node.js'), 'utf8')).toContain('handshake signature is wrong');
});

describe.skipIf(withoutChromium)(`a bundle for browsers (${withoutChromium || 'real'})`, () => {
  test('has no Node in it, and connects', async () => {
    const { outputFiles } = await build({
      stdin: { contents: `export { connect } from 'direct-agent/client';`, resolveDir: project },
      bundle: true,
      write: false,
      format: 'iife',
      globalName: 'library',
      platform: 'browser',
    });
    const browser = await launchChromium();
    try {
      const page = await browser.newPage();
      await page.goto(`${stack.origin}/_direct/client.js`);
      await page.addScriptTag({ content: outputFiles[0]?.text ?? '' });
      const status = await page.evaluate(
        async ({ host, token, hostKey }) => {
          const client = globalThis.library.connect({ url: location.origin, host, token, hostKey });
          return (await client.fetch('/v1/models')).status;
        },
        { host: HOST_ID, token: OWNER_TOKEN, hostKey: stack.hostKey },
      );
      expect(status).toBe(200);
    } finally {
      await browser.close();
    }
  });
});

describe('the example', () => {
  test.each(['openai', 'ollama', 'ai'])('%s.mjs answers over the direct path', async (name) => {
    // In this repository, where the packages are; `direct-agent/client` is its own.
    const { stdout, stderr } = await node([`docs/examples/${name}.mjs`, 'fake', 'is anyone there?'], root);
    expect(stdout).toBe('This is the fake answer to: is anyone there?');
    expect(stderr).toBe('\n(direct)\n');
  });

  test('without its settings says which they are', async () => {
    const failure = await run(process.execPath, ['docs/examples/openai.mjs'], {
      cwd: root,
      env: { PATH: process.env.PATH },
    }).catch((error: { code: number; stderr: string }) => error);
    expect(failure).toMatchObject({ code: 2, stderr: expect.stringContaining('DIRECT_EDGE') });
  });
});
