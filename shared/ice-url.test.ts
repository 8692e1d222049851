import { describe, expect, it } from 'vitest';
import { iceServerProblem, parseIceUrl } from './ice-url.ts';

describe('URLs of STUN and TURN servers', () => {
  it.each([
    ['stun:stun.example', { scheme: 'stun', host: 'stun.example', port: 3478, transport: undefined }],
    ['stuns:stun.example', { scheme: 'stuns', host: 'stun.example', port: 5349, transport: undefined }],
    ['TURN:192.0.2.1:80?transport=TCP', { scheme: 'turn', host: '192.0.2.1', port: 80, transport: 'tcp' }],
    ['turns:[2001:DB8::1]:443', { scheme: 'turns', host: '2001:db8::1', port: 443, transport: undefined }],
  ])('%s', (url, parts) => {
    expect(parseIceUrl(url)).toEqual(parts);
  });

  it.each([
    '',
    'stun:',
    'http://stun.example',
    'stun://stun.example',
    'stun:stun.example?transport=udp',
    'turn:turn.example?transport=sctp',
    'turn:turn.example:0',
    'turn:turn.example:65536',
    'turn:user@turn.example',
    'turn:2001:db8::1',
    'turn:turn.example\n',
  ])('%j is none', (url) => {
    expect(parseIceUrl(url)).toBeUndefined();
  });
});

describe('what a browser would refuse', () => {
  it.each([
    [{ urls: [] }, 'urls is empty'],
    [{ urls: ['stun:a.example', 'ftp:b.example'] }, 'urls must be stun:, stuns:, turn: or turns: URLs'],
    [{ urls: ['turn:a.example'], username: 'u' }, 'a TURN server needs username and credential'],
    [{ urls: ['turn:a.example'], username: '', credential: 'c' }, 'a TURN server needs username and credential'],
    [{ urls: ['stun:a.example'] }, undefined],
    [{ urls: ['turn:a.example'], username: 'u', credential: 'c' }, undefined],
  ])('%j: %s', (server, problem) => {
    expect(iceServerProblem(server)).toBe(problem);
  });
});
