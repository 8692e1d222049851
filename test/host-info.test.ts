/** What the whole agent tells its edge of itself, and a device that the owner removes there. The edge is the test. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { Devices, listDevices } from '../agent/devices.ts';
import { type HostInfo, parseHostInfo } from '../shared/host-info.ts';
import { Stack } from './stack.ts';

let stack: Stack;
let server: WebSocketServer;
let link: WebSocket;
const infos: HostInfo[] = [];
beforeAll(async () => {
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  server.on('connection', (socket) => {
    link = socket;
    socket.send(JSON.stringify({ type: 'ready', protocol_version: 1, host: 'home' }));
    socket.on('message', (data) => {
      const text = data.toString();
      const info = text === 'ping' ? undefined : parseHostInfo(JSON.parse(text));
      if (info !== undefined) infos.push(info);
    });
  });
  stack = await Stack.start();
  await stack.stopAgent();
  const { port } = server.address() as AddressInfo;
  await stack.startAgent({ access: 'paired', signalingUrl: `http://127.0.0.1:${port}/_direct/h/home` });
});
afterAll(async () => {
  await stack?.close();
  server?.close();
});

test('the edge hears what is served, which devices there are, and when that changes', async () => {
  await expect.poll(() => infos.length).toBe(1);
  expect(infos[0]).toMatchObject({ access: 'paired', devices: [] });
  expect(infos[0]).not.toHaveProperty('web_ui');
  expect(infos[0]?.serves[0]?.models.length).toBeGreaterThan(0);
  // Another process, as `direct-agent device` is one.
  const others = { now: Date.now, log: () => {}, removed: () => {}, changed: () => {} };
  const devices = new Devices({ folder: stack.folder, ...others });
  await devices.add(Buffer.alloc(32, 1).toString('base64url'), 'a phone');
  devices.close();
  await expect.poll(() => infos.at(-1)?.devices.map(({ name }) => name)).toEqual(['a phone']);
});

test('a device that its owner removes there is removed here', async () => {
  const [device] = await listDevices(stack.folder);
  link.send(JSON.stringify({ type: 'forget_device', id: 'somebody-else' }));
  link.send(JSON.stringify({ type: 'forget_device', id: device?.id }));
  await expect.poll(() => infos.at(-1)?.devices).toEqual([]);
  expect(await listDevices(stack.folder)).toEqual([]);
});

test('it hears of a web UI, where one is served', async () => {
  await stack.stopAgent();
  const { port } = server.address() as AddressInfo;
  await stack.startAgent({
    webUi: 'http://127.0.0.1:1',
    signalingUrl: `http://127.0.0.1:${port}/_direct/h/home`,
  });
  await expect.poll(() => infos.at(-1)).toMatchObject({ access: 'edge', web_ui: true });
});
