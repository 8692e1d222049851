import { describe, expect, it } from 'vitest';
import { MAX_ICE_SERVERS_LENGTH } from '../shared/ice-url.ts';
import { parseUsableIceServers, singleServers, stunOnly, withoutBlockedPorts, withStun } from './ice-servers.ts';

const turn = (...urls: string[]) => ({ urls, username: 'u', credential: 'c' });

describe('a list of ICE servers', () => {
  it.each([
    'stun:s.example',
    'STUN:s.example:3478',
    'stuns:s.example:5349',
    'turn:192.0.2.1:3478?transport=udp',
    'turns:t.example:443?transport=tcp',
    'turn:[2001:db8::1]:3478',
    'turn:t_1.example',
  ])('may have %s', (url) => {
    expect(parseUsableIceServers([turn(url)])).toEqual([turn(url)]);
  });

  it.each([
    'http://s.example',
    'stun:',
    'stun://s.example',
    'stun:s.example?transport=udp',
    'stun:s.example:0',
    'stun:s.example:65536',
    'turn:t.example:port',
    'turn:t.example?transport=sctp',
    'turn:user@t.example',
    'turn:t.example/path',
    'turn:t.example\r\nx',
    'turn:2001:db8::1',
    ' stun:s.example',
  ])('may not have %j', (url) => {
    expect(() => parseUsableIceServers([turn(url)])).toThrow(expect.objectContaining({ code: 'E_BAD_REQUEST' }));
  });

  it.each([
    ['a TURN server without credentials', [{ urls: 'turn:t.example' }]],
    ['a TURN server without a password', [{ urls: ['stun:s.example', 'TURN:t.example'], username: 'u' }]],
    ['an empty user name', [{ urls: 'turn:t.example', username: '', credential: 'c' }]],
    ['a server without URLs', [{ urls: [] }]],
    ['17 servers', Array(17).fill({ urls: 'stun:s.example' })],
    ['too much text', Array(16).fill(turn(`stun:${'s'.repeat(500)}`))],
    ['no list', { urls: 'stun:s.example' }],
  ])('may not have %s', (_name, list) => {
    expect(() => parseUsableIceServers(list)).toThrow(expect.objectContaining({ code: 'E_BAD_REQUEST' }));
  });

  it('may have as much text as there is room for', () => {
    const list = Array.from({ length: 15 }, () => turn(`stun:${'s'.repeat(490)}`));
    const length = JSON.stringify(list).length;
    expect(length).toBeLessThanOrEqual(MAX_ICE_SERVERS_LENGTH);
    expect(parseUsableIceServers(list)).toEqual(list);
  });
});

it('loses URLs on port 53, and servers that have no others', () => {
  const list = [
    turn('turn:t.example:53?transport=udp', 'turn:t.example:3478', 'turns:t.example:053', 'turn:[2001:db8::53]'),
    { urls: ['stun:s.example:53'] },
    { urls: ['stun:s.example:5353'] },
  ];
  expect(withoutBlockedPorts(list)).toEqual([
    turn('turn:t.example:3478', 'turn:[2001:db8::53]'),
    { urls: ['stun:s.example:5353'] },
  ]);
});

it('is STUN alone, without credentials', () => {
  const list = [turn('turn:t.example', 'stun:t.example'), turn('turns:t.example'), { urls: ['STUNS:s.example'] }];
  expect(stunOnly(list)).toEqual([{ urls: ['stun:t.example'] }, { urls: ['STUNS:s.example'] }]);
});

it('gets a STUN server where it has none', () => {
  expect(withStun([turn('turn:t.example')])).toEqual([
    { urls: ['stun:stun.cloudflare.com:3478'] },
    turn('turn:t.example'),
  ]);
  expect(withStun([turn('turn:t.example', 'stun:t.example')])).toEqual([turn('turn:t.example', 'stun:t.example')]);
});

it('names its first STUN and its first TURN server for clients that know only one of each', () => {
  const servers = [turn('turns:a.example:443', 'stun:a.example'), { urls: ['stun:b.example'] }];
  expect(singleServers(servers)).toEqual({
    stun_url: 'stun:a.example',
    turn_url: 'turns:a.example:443',
    turn_username: 'u',
    turn_credential: 'c',
  });
  expect(singleServers([])).toEqual({ stun_url: '', turn_url: '', turn_username: '', turn_credential: '' });
});
