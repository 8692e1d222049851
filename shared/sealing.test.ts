import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
} from 'node:crypto';
import { AEAD_AES_128_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_X25519_HKDF_SHA256 } from 'hpke';
import { describe, expect, test } from 'vitest';
import { PROTOCOL_VERSION } from './limits.ts';
import { decapsulate, encapsulate, generateRelayKeyPair, relayKeyBytes, splitPreface } from './sealing.ts';
import { sealingIsSupported } from './sealing-support.ts';

const ID = 'k3Jx0dQ2pA8';
const HOST_KEY = Uint8Array.from({ length: 32 }, (_, i) => i);

const hex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));
const text = (value: string) => Buffer.from(value, 'latin1');

test('HPKE of the package is that of RFC 9180, appendix A.1.1', async () => {
  const suite = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_128_GCM);
  const pair = {
    privateKey: await suite.DeserializePrivateKey(
      hex('4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8'),
    ),
    publicKey: await suite.DeserializePublicKey(
      hex('3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d'),
    ),
  };
  const context = await suite.SetupRecipient(
    pair,
    hex('37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431'),
    { info: hex('4f6465206f6e2061204772656369616e2055726e') },
  );
  const plaintext = await context.Open(
    hex('f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a'),
    text('Count-0'),
  );
  expect(Buffer.from(plaintext).toString()).toBe('Beauty is truth, truth beauty');
  expect(await context.Export(new Uint8Array(), 32)).toEqual(
    hex('3853fe2b4035195a573ffc53856e77058e15d9ea064de3e59f4961d0095250ee'),
  );
});

/** RFC 9180 again, from its text and Node's own functions: nothing here is shared with what it checks. */
function independently(shared: Buffer, encapsulated: Uint8Array, relayKey: Uint8Array) {
  const kem = Buffer.concat([text('KEM'), hex('0020')]);
  const suite = Buffer.concat([text('HPKE'), hex('0020'), hex('0001'), hex('0002')]);
  const extract = (id: Buffer, salt: Uint8Array, label: string, ikm: Uint8Array) =>
    createHmac('sha256', salt.length === 0 ? Buffer.alloc(32) : salt)
      .update(Buffer.concat([text('HPKE-v1'), id, text(label), ikm]))
      .digest();
  const expand = (id: Buffer, prk: Uint8Array, label: string, context: Uint8Array, length: number) =>
    // All outputs are of one block (RFC 5869, section 2.3).
    createHmac('sha256', prk)
      .update(Buffer.concat([Uint8Array.of(0, length), text('HPKE-v1'), id, text(label), context, Uint8Array.of(1)]))
      .digest()
      .subarray(0, length);
  const info = Buffer.concat(
    [text('direct-agent relay v1'), Uint8Array.of(PROTOCOL_VERSION), HOST_KEY, text(ID)].flatMap((part) => [
      Uint8Array.of(part.length),
      part,
    ]),
  );
  const nothing = Buffer.alloc(0);
  const kemContext = Buffer.concat([encapsulated, relayKey]);
  const secret = expand(kem, extract(kem, nothing, 'eae_prk', shared), 'shared_secret', kemContext, 32);
  const context = Buffer.concat([
    Uint8Array.of(0),
    extract(suite, nothing, 'psk_id_hash', nothing),
    extract(suite, nothing, 'info_hash', info),
  ]);
  const schedule = extract(suite, secret, 'secret', nothing);
  const exporter = expand(suite, schedule, 'exp', context, 32);
  return {
    client: {
      key: expand(suite, schedule, 'key', context, 32),
      nonce: expand(suite, schedule, 'base_nonce', context, 12),
    },
    agent: {
      key: expand(suite, exporter, 'sec', text('direct-agent reply key'), 32),
      nonce: expand(suite, exporter, 'sec', text('direct-agent reply nonce'), 12),
    },
    binding: Uint8Array.from(expand(suite, exporter, 'sec', text('direct-agent relay path v1'), 32)),
  };
}

function nonceOf(base: Uint8Array, sequence: number): Uint8Array {
  const nonce = Buffer.from(base);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ sequence) >>> 0, 8);
  return nonce;
}

function seal(direction: { key: Uint8Array; nonce: Uint8Array }, sequence: number, plaintext: string): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', direction.key, nonceOf(direction.nonce, sequence));
  return Uint8Array.from(Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]));
}

function open(direction: { key: Uint8Array; nonce: Uint8Array }, sequence: number, sealed: Uint8Array): string {
  const cipher = createDecipheriv('aes-256-gcm', direction.key, nonceOf(direction.nonce, sequence));
  cipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]).toString();
}

describe('both directions, computed independently', () => {
  const raw = (key: { export(options: { format: 'jwk' }): { x?: string } }) =>
    Uint8Array.from(Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url'));

  test('the client’s end', async () => {
    const relay = generateKeyPairSync('x25519');
    const relayKey = raw(relay.publicKey);
    const { preface, keys } = await encapsulate({ hostKey: HOST_KEY, relayKey }, ID);
    const { keyId, encapsulated } = splitPreface(preface);
    expect(Buffer.from(keyId)).toEqual(createHash('sha256').update(relayKey).digest().subarray(0, 8));
    const publicKey = createPublicKey({
      format: 'jwk',
      key: { kty: 'OKP', crv: 'X25519', x: Buffer.from(encapsulated).toString('base64url') },
    });
    const shared = diffieHellman({ privateKey: relay.privateKey, publicKey });
    const { client, agent, binding } = independently(shared, encapsulated, relayKey);
    expect(keys.binding).toEqual(binding);
    for (let n = 0; n < 300; n++) {
      expect(open(client, n, await keys.seal(text(`there ${n}`)))).toBe(`there ${n}`);
      expect(Buffer.from(await keys.open(seal(agent, n, `back ${n}`))).toString()).toBe(`back ${n}`);
    }
  });

  test('the agent’s end', async () => {
    const relay = await generateRelayKeyPair();
    const relayKey = await relayKeyBytes(relay);
    const ephemeral = generateKeyPairSync('x25519');
    const encapsulated = raw(ephemeral.publicKey);
    const publicKey = createPublicKey({
      format: 'jwk',
      key: { kty: 'OKP', crv: 'X25519', x: Buffer.from(relayKey).toString('base64url') },
    });
    const shared = diffieHellman({ privateKey: ephemeral.privateKey, publicKey });
    const { client, agent, binding } = independently(shared, encapsulated, relayKey);
    const keys = await decapsulate(relay, encapsulated, HOST_KEY, ID);
    expect(keys.binding).toEqual(binding);
    for (let n = 0; n < 300; n++) {
      expect(Buffer.from(await keys.open(seal(client, n, `there ${n}`))).toString()).toBe(`there ${n}`);
      expect(open(agent, n, await keys.seal(text(`back ${n}`)))).toBe(`back ${n}`);
    }
  });
});

describe('keys', () => {
  test('count what is sealed at the same time: equal messages never look alike', async () => {
    const relay = await generateRelayKeyPair();
    const client = await encapsulate({ hostKey: HOST_KEY, relayKey: await relayKeyBytes(relay) }, ID);
    const agent = await decapsulate(relay, splitPreface(client.preface).encapsulated, HOST_KEY, ID);
    const messages = Array.from({ length: 500 }, () => new Uint8Array(32));
    const there = await Promise.all(messages.map((message) => client.keys.seal(message)));
    const back = await Promise.all(messages.map((message) => agent.seal(message)));
    expect(new Set([...there, ...back].map((bytes) => Buffer.from(bytes).toString('hex'))).size).toBe(1000);
    const opened = await Promise.all([...there.map((m) => agent.open(m)), ...back.map((m) => client.keys.open(m))]);
    expect(opened).toEqual([...messages, ...messages]);
  });

  test('are bound to the host key and the session', async () => {
    const relay = await generateRelayKeyPair();
    const { preface, keys } = await encapsulate({ hostKey: HOST_KEY, relayKey: await relayKeyBytes(relay) }, ID);
    const { encapsulated } = splitPreface(preface);
    const sealed = await keys.seal(text('hello'));
    const otherHost = await decapsulate(relay, encapsulated, new Uint8Array(32), ID);
    await expect(otherHost.open(sealed)).rejects.toThrow();
    const otherSession = await decapsulate(relay, encapsulated, HOST_KEY, `${ID}x`);
    await expect(otherSession.open(sealed)).rejects.toThrow();
    const right = await decapsulate(relay, encapsulated, HOST_KEY, ID);
    expect(Buffer.from(await right.open(sealed)).toString()).toBe('hello');
  });

  test('cannot be agreed on with a point that gives the same secret to everyone', async () => {
    await expect(encapsulate({ hostKey: HOST_KEY, relayKey: new Uint8Array(32) }, ID)).rejects.toThrow();
    await expect(decapsulate(await generateRelayKeyPair(), new Uint8Array(32), HOST_KEY, ID)).rejects.toThrow();
  });
});

test('Node can seal', async () => {
  expect(await sealingIsSupported()).toBe(true);
});
