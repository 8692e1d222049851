import { describe, expect, test } from 'vitest';
import { stunServers, turnEntries } from './ice-urls.ts';

const secrets = { username: 'user', credential: 'secret' };

describe('STUN URLs', () => {
  test.each([
    ['stun:stun.example', { host: 'stun.example', port: 3478 }],
    ['STUN:192.0.2.1:19302', { host: '192.0.2.1', port: 19302 }],
    ['stun:[2001:db8::1]:3479', { host: '2001:db8::1', port: 3479 }],
    ['stun:[2001:db8::1]', { host: '2001:db8::1', port: 3478 }],
  ])('%s', (url, server) => {
    expect(stunServers([{ urls: [url] }])).toEqual([server]);
  });

  test.each([
    'stuns:a',
    'stun:a?transport=tcp',
    'stun:',
    'stun:a:0',
    'stun:a:65536',
    'stun:[nonsense]',
    'stun:a/b',
    'http:a',
  ])('%s is left out', (url) => {
    expect(stunServers([{ urls: [url] }])).toEqual([]);
  });

  test('each once, and not without end', () => {
    const many = Array.from({ length: 50 }, (_, i) => `stun:s${i}`);
    expect(stunServers([{ urls: ['stun:a', 'stun:a:3478'] }, { urls: ['stun:a'] }]).length).toBe(1);
    expect(stunServers([{ urls: many }]).length).toBeLessThan(10);
  });
});

describe('TURN URLs', () => {
  test('say how to get there, and are ways to one relay', () => {
    const urls = [
      'turn:t',
      'turn:t:80?transport=tcp',
      'turns:t',
      'turns:t:443?transport=tcp',
      'stun:t',
      'turn:t:3478?transport=udp',
    ];
    expect(turnEntries([{ urls, ...secrets }])).toEqual([
      {
        servers: [
          { host: 't', port: 3478, transport: 'udp' },
          { host: 't', port: 80, transport: 'tcp' },
          { host: 't', port: 5349, transport: 'tls' },
          { host: 't', port: 443, transport: 'tls' },
        ],
        ...secrets,
      },
    ]);
  });

  test.each(['turn:t:22?transport=tcp', 'turn:t:25', 'turns:t:993'])(
    '%s, another service’s port, is left out',
    (url) => {
      expect(turnEntries([{ urls: [url], ...secrets }])).toEqual([]);
    },
  );

  test('are of no use without credentials, nor over DTLS', () => {
    expect(turnEntries([{ urls: ['turn:t'] }, { urls: ['turns:t?transport=udp'], ...secrets }])).toEqual([]);
  });
});
