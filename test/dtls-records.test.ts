import { expect, test } from 'vitest';
import { RTCPeerConnection } from 'werift';

/** The DTLS records that a connection sends, as “epoch.number” (RFC 6347, section 4.1), from what it gives to ICE. */
function recordsOf(connection: RTCPeerConnection): string[] {
  const records: string[] = [];
  const ice = connection.dtlsTransports[0]?.iceTransport.connection as unknown as {
    send(data: Buffer): Promise<void>;
  };
  const send = ice.send.bind(ice);
  ice.send = (data) => {
    for (let at = 0; at + 13 <= data.length; at += 13 + data.readUInt16BE(at + 11)) {
      records.push(`${data.readUInt16BE(at + 3)}.${data.readUIntBE(at + 5, 6)}`);
    }
    return send(data);
  };
  return records;
}

test('no two encrypted records of a connection have the same number, which is AES-GCM’s nonce', async () => {
  const [client, server] = [new RTCPeerConnection(), new RTCPeerConnection()];
  const channels = [client, server].map((end) => end.createDataChannel('x', { negotiated: true, id: 0 }));
  await client.setLocalDescription(await client.createOffer());
  await server.setRemoteDescription(client.localDescription as never);
  const records = [client, server].map(recordsOf);
  await server.setLocalDescription(await server.createAnswer());
  await client.setRemoteDescription(server.localDescription as never);
  await expect.poll(() => channels.map(({ readyState }) => readyState)).toEqual(['open', 'open']);
  let received = 0;
  for (const channel of channels) channel.onMessage.subscribe(() => (received += 1));
  for (let i = 0; i < 50; i++) {
    for (const channel of channels) channel.send(Buffer.alloc(10));
    // What is sent in one go shares packets.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await expect.poll(() => received).toBe(100);
  for (const sent of records) {
    const encrypted = sent.filter((record) => record.startsWith('1.'));
    expect(encrypted.length).toBeGreaterThan(20);
    expect(encrypted[0]).toBe('1.0');
    expect(new Set(encrypted).size).toBe(encrypted.length);
  }
  await Promise.all([client.close(), server.close()]);
});
