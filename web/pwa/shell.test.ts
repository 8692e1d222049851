import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Build, Shell } from './shell.ts';

const ORIGIN = 'https://edge.example';
const DOCUMENT = '<!doctype html>first';
const build: Build = {
  version: '1',
  document: '/_direct/chat',
  documentHash: createHash('sha256').update(DOCUMENT).digest('hex'),
  files: ['/_direct/assets/page-abc.js'],
};

class TestCaches {
  readonly all = new Map<string, Map<string, Response>>();

  async open(name: string) {
    const kept = this.all.get(name) ?? new Map<string, Response>();
    this.all.set(name, kept);
    return {
      put: async (path: string, response: Response) => void kept.set(path, response),
      delete: async (path: string) => kept.delete(path),
    };
  }

  match = async (path: string, { cacheName }: { cacheName: string }) => this.all.get(cacheName)?.get(path)?.clone();
  keys = async () => [...this.all.keys()];
  delete = async (name: string) => this.all.delete(name);
}

describe('the shell', () => {
  let caches: TestCaches;
  let answers: Record<string, () => Response>;
  let asked: string[];
  let shell: Shell;

  beforeEach(() => {
    caches = new TestCaches();
    asked = [];
    answers = {
      '/_direct/sw.js': () => new Response(),
      '/_direct/chat': () => new Response(DOCUMENT),
      '/_direct/assets/page-abc.js': () => new Response('script'),
    };
    shell = new Shell(build, {
      caches: caches as unknown as CacheStorage,
      fetch: async (address) => {
        const path = new URL(address, ORIGIN).pathname;
        asked.push(path);
        const answer = answers[path];
        if (answer === undefined) throw new TypeError('offline');
        return answer();
      },
      origin: ORIGIN,
    });
  });

  const get = (path: string, mode: RequestMode = 'no-cors', method = 'GET') =>
    shell.answer({ method, mode, url: new URL(path, ORIGIN).href });

  test('answers from what it has kept', async () => {
    await shell.install();
    answers = {};
    expect(await (await get('/_direct/chat?webrtc=off', 'navigate'))?.text()).toBe(DOCUMENT);
    expect(await (await get('/_direct/assets/page-abc.js'))?.text()).toBe('script');
  });

  test.each<[string, RequestMode, string]>([
    ['/', 'navigate', 'GET'],
    ['/_direct/', 'navigate', 'GET'],
    ['/_direct/chat', 'cors', 'GET'],
    ['/_direct/chat', 'navigate', 'POST'],
    ['/_direct/api/me', 'cors', 'GET'],
    ['/_direct/h/home/session', 'cors', 'POST'],
    ['/_direct/sw.js', 'same-origin', 'GET'],
    ['/_direct/assets/dashboard-abc.js', 'cors', 'GET'],
    ['/v1/models', 'cors', 'GET'],
    ['https://other.example/_direct/assets/page-abc.js', 'cors', 'GET'],
  ])('leaves %s (%s, %s) alone', (path, mode, method) => {
    expect(get(path, mode, method)).toBeUndefined();
  });

  test.each<[string, () => Response]>([
    ['of another build', () => new Response('<!doctype html>second')],
    ['with an error', () => new Response(DOCUMENT, { status: 503 })],
  ])('is not installed with a document %s', async (_, answer) => {
    answers['/_direct/chat'] = answer;
    await expect(shell.install()).rejects.toThrow('another build');
  });

  test('is not installed without one of its files', async () => {
    answers['/_direct/assets/page-abc.js'] = () => new Response('', { status: 404 });
    await expect(shell.install()).rejects.toThrow('404');
  });

  const redirect = () => Object.defineProperty(new Response(), 'type', { value: 'opaqueredirect' });

  test.each<[string, string, (() => Response) | undefined, string]>([
    ['the same', '/_direct/chat', () => new Response(DOCUMENT), 'same'],
    ['another build', '/_direct/chat', () => new Response('second'), 'newer'],
    ['a failure', '/_direct/chat', () => new Response('', { status: 500 }), 'unknown'],
    ['a way to sign in', '/_direct/chat', redirect, 'moved'],
    ['nothing', '/_direct/chat', undefined, 'unknown'],
    ['no service worker', '/_direct/sw.js', () => new Response('', { status: 404 }), 'gone'],
    ['no edge', '/_direct/sw.js', undefined, 'unknown'],
  ])('finds %s at the edge', async (_, path, answer, expected) => {
    await shell.install();
    if (answer === undefined) delete answers[path];
    else answers[path] = answer;
    expect(await shell.revalidate()).toBe(expected);
  });

  test('renews the header fields of its document, and shows no document of another build', async () => {
    await shell.install();
    answers['/_direct/chat'] = () => new Response(DOCUMENT, { headers: { 'Content-Security-Policy': 'new' } });
    await shell.revalidate();
    expect((await get('/_direct/chat', 'navigate'))?.headers.get('Content-Security-Policy')).toBe('new');
    answers['/_direct/chat'] = () => new Response('second');
    await shell.revalidate();
    expect(await (await get('/_direct/chat', 'navigate'))?.text()).toBe(DOCUMENT);
  });

  test('lets the browser follow the edge to where people sign in', async () => {
    await shell.install();
    answers['/_direct/chat'] = redirect;
    await shell.revalidate();
    expect((await get('/_direct/chat', 'navigate'))?.type).toBe('opaqueredirect');
  });

  test('has files of the build before for pages of it, and nothing else of that', async () => {
    const before = await caches.open('direct-agent-page-0');
    await before.put('/_direct/assets/page-old.js', new Response('old'));
    await before.put('/_direct/chat', new Response('old document'));
    await (await caches.open('of another program')).put('/_direct/assets/theirs.js', new Response('theirs'));
    await shell.install();
    const old = (path: string, method = 'GET') => shell.fileOfBefore({ method, url: new URL(path, ORIGIN).href });
    expect(await (await old('/_direct/assets/page-old.js'))?.text()).toBe('old');
    expect(await old('/_direct/assets/page-old.js', 'POST')).toBeUndefined();
    expect(await old('/_direct/chat')).toBeUndefined();
    expect(await old('/_direct/assets/theirs.js')).toBeUndefined();
    expect(await old('https://other.example/_direct/assets/page-old.js')).toBeUndefined();
  });

  test('deletes what others have left, and only its own', async () => {
    await caches.open('direct-agent-page-0');
    await caches.open('of another program');
    await shell.install();
    await shell.tidy();
    expect(await caches.keys()).toEqual(['of another program', 'direct-agent-page-1']);
    await shell.clear();
    expect(await caches.keys()).toEqual(['of another program']);
  });
});
