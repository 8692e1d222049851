import { describe, expect, test } from 'vitest';
import { type HostInfo, hostInfoMessage, parseForgetDevice, parseHostInfo } from './host-info.ts';
import { MAX_DEVICES, MAX_SIGNAL_BYTES } from './limits.ts';

const INFO: HostInfo = {
  serves: [{ name: 'Ollama', models: ['llama3'] }],
  access: 'paired',
  devices: [{ id: 'abcdefghijklmnop', name: 'a phone', paired_at: 1, last_used_at: 2 }],
};

describe('the message of a host', () => {
  test('is what the edge reads, and holds no key', () => {
    const device = { ...INFO.devices[0], key: 'k' } as HostInfo['devices'][number];
    const text = hostInfoMessage({ ...INFO, devices: [device] });
    expect(text).not.toContain('"key"');
    expect(parseHostInfo(JSON.parse(text))).toEqual(INFO);
  });

  test('says whether there is a web UI', () => {
    const text = hostInfoMessage({ ...INFO, web_ui: true });
    expect(parseHostInfo(JSON.parse(text))).toEqual({ ...INFO, web_ui: true });
    expect(() => parseHostInfo({ ...JSON.parse(text), web_ui: 'yes' })).toThrow('web_ui');
  });

  test.each<[what: string, info: Partial<HostInfo>]>([
    ['models', { serves: Array(40).fill({ name: 'x'.repeat(500), models: Array(1000).fill('é'.repeat(500)) }) }],
    ['devices', { devices: Array(300).fill({ ...INFO.devices[0], name: '🦀'.repeat(64) }) }],
    ['halves of characters', { serves: [{ name: '🦀'.repeat(500), models: [] }] }],
  ])('with too many %s is cut to what the edge takes', (_what, info) => {
    const text = hostInfoMessage({ ...INFO, ...info });
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_SIGNAL_BYTES);
    const parsed = parseHostInfo(JSON.parse(text));
    expect(parsed?.devices.length).toBe(info.devices === undefined ? 1 : MAX_DEVICES);
  });
});

test('other messages are none of these', () => {
  for (const raw of [null, 1, 'host_info', [], {}, { type: 'announce' }]) {
    expect([parseHostInfo(raw), parseForgetDevice(raw)]).toEqual([undefined, undefined]);
  }
});

test('a device to forget has an id', () => {
  expect(parseForgetDevice({ type: 'forget_device', id: 'abcdefghijklmnop' })).toBe('abcdefghijklmnop');
  for (const id of [undefined, '', 1, '../x', 'x'.repeat(65)]) {
    expect(() => parseForgetDevice({ type: 'forget_device', id })).toThrow(
      expect.objectContaining({ code: 'E_BAD_REQUEST' }),
    );
  }
});
