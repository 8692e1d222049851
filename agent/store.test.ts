import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CommandError } from './command-error.ts';
import { Store } from './store.ts';

const SECRET = `dah_${'S'.repeat(43)}`;
const credentials = { edge: 'https://edge.example', host_id: 'attic', host_name: 'Attic', token: SECRET };

let folder: string;
let warnings: string[];
let store: Store;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-'));
  warnings = [];
  store = new Store(folder, (line) => void warnings.push(line));
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = (name: string) => join(folder, name);

/** What a person reads. */
async function failureOf(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof CommandError && error.exitCode === 78) return error.message;
    throw error;
  }
  return 'none';
}

describe('the host key', () => {
  test('is made once, and is the same for every process that asks at the same time', async () => {
    const stores = Array.from({ length: 5 }, () => new Store(folder, () => {}));
    const keys = await Promise.all(stores.map(async (one) => (await one.identity()).hostKey));
    expect(new Set(keys)).toEqual(new Set([(await store.identity()).hostKey]));
    expect(readdirSync(folder)).toEqual(['host-key.json']);
  });

  test('signs as the key that it says it is, also when it was read again', async () => {
    await store.identity();
    const { keys, hostKey } = await store.identity();
    const message = Buffer.from('x');
    const signature = await crypto.subtle.sign('Ed25519', keys.privateKey, message);
    const known = await crypto.subtle.importKey('raw', Buffer.from(hostKey, 'base64url'), 'Ed25519', true, ['verify']);
    expect(await crypto.subtle.verify('Ed25519', known, signature, message)).toBe(true);
  });

  test('that is another one’s is refused, and nothing of it is shown', async () => {
    await store.identity();
    const { public_key: other } = JSON.parse(readFileSync(file('host-key.json'), 'utf8'));
    rmSync(file('host-key.json'));
    await store.identity();
    const { private_key } = JSON.parse(readFileSync(file('host-key.json'), 'utf8'));
    writeFileSync(file('host-key.json'), JSON.stringify({ public_key: other, private_key }));
    const failure = await failureOf(() => store.identity());
    expect(failure).toContain(`${file('host-key.json')} is damaged: its keys do not belong together. Restore it`);
    expect(failure).not.toContain(private_key);
  });
});

describe('credentials', () => {
  test('come back as they were saved, until they are deleted', async () => {
    expect(store.credentials()).toBeUndefined();
    await store.saveCredentials(credentials);
    await store.saveCredentials({ ...credentials, host_id: 'attic-2' });
    expect(store.credentials()).toEqual({ ...credentials, host_id: 'attic-2' });
    expect(readdirSync(folder)).toEqual(['credentials.json']);
    await store.deleteCredentials();
    await store.deleteCredentials();
    expect(store.credentials()).toBeUndefined();
  });

  test.each([
    ['cut off', `{"token": "${SECRET}`],
    ['no object', `"${SECRET}"`],
    ['a field short', JSON.stringify({ ...credentials, edge: undefined })],
    ['an edge with a path', JSON.stringify({ ...credentials, edge: 'https://edge.example/x' })],
    ['a host that is no id', JSON.stringify({ ...credentials, host_id: '../x' })],
    ['a token with a line break', JSON.stringify({ ...credentials, token: `${SECRET}\r\nX: y` })],
  ])('that are %s: the message names file and fix, and shows nothing of it', async (_, text) => {
    writeFileSync(file('credentials.json'), text, { mode: 0o600 });
    const failure = await failureOf(() => store.credentials());
    expect(failure).toBe(
      `${file('credentials.json')} is damaged: it is not what the agent wrote. Delete it and run: direct-agent login <edge>.`,
    );
  });
});

describe.skipIf(process.platform === 'win32')('permissions', () => {
  test('are the user’s alone, for the folder as well', async () => {
    const inner = join(folder, 'a', 'b');
    const made = new Store(inner, () => {});
    await made.saveCredentials(credentials);
    await made.identity();
    expect(statSync(inner).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(inner)) expect(statSync(join(inner, name)).mode & 0o777).toBe(0o600);
  });

  test('that are too wide are a warning', async () => {
    await store.saveCredentials(credentials);
    chmodSync(file('credentials.json'), 0o644);
    store.credentials();
    expect(warnings).toEqual([expect.stringMatching(/other users may read it \(mode 644\). Run: chmod 600 /)]);
    expect(warnings[0]).not.toContain(SECRET);
  });

  test('a file or folder in the way is explained', async () => {
    mkdirSync(file('credentials.json'));
    expect(await failureOf(() => store.credentials())).toMatch(/credentials\.json is a folder/);
    writeFileSync(file('taken'), '');
    const blocked = new Store(join(file('taken'), 'x'), () => {});
    expect(await failureOf(() => blocked.saveCredentials(credentials))).toMatch(
      /cannot be written \(ENOTDIR\).*--folder/,
    );
  });
});
