// WebCrypto as every runtime of ours has it (W3C Web Cryptography Level 2), and what shared/ uses of it. Keys have the
// type that the package hpke takes from the runtime, so that each runtime sees its own.
declare const crypto: {
  getRandomValues(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  readonly subtle: {
    digest(algorithm: 'SHA-256', data: Uint8Array): Promise<ArrayBuffer>;
    generateKey(algorithm: 'Ed25519', extractable: boolean, usages: ['sign', 'verify']): Promise<WebCryptoKeyPair>;
    importKey(
      format: 'pkcs8',
      data: Uint8Array,
      algorithm: 'Ed25519',
      extractable: boolean,
      usages: ['sign'],
    ): Promise<WebCryptoKey>;
    importKey(
      format: 'raw',
      data: Uint8Array,
      algorithm: 'Ed25519' | 'AES-GCM' | { name: 'HMAC'; hash: 'SHA-256' },
      extractable: boolean,
      usages: ('sign' | 'verify' | 'encrypt' | 'decrypt')[],
    ): Promise<WebCryptoKey>;
    exportKey(format: 'raw' | 'pkcs8', key: WebCryptoKey): Promise<ArrayBuffer>;
    sign(algorithm: 'Ed25519' | 'HMAC', key: WebCryptoKey, data: Uint8Array): Promise<ArrayBuffer>;
    verify(algorithm: 'Ed25519' | 'HMAC', key: WebCryptoKey, signature: Uint8Array, data: Uint8Array): Promise<boolean>;
    encrypt(algorithm: { name: 'AES-GCM'; iv: Uint8Array }, key: WebCryptoKey, data: Uint8Array): Promise<ArrayBuffer>;
    decrypt(algorithm: { name: 'AES-GCM'; iv: Uint8Array }, key: WebCryptoKey, data: Uint8Array): Promise<ArrayBuffer>;
  };
};
type WebCryptoKey = import('hpke').CryptoKey;
interface WebCryptoKeyPair {
  readonly publicKey: WebCryptoKey;
  readonly privateKey: WebCryptoKey;
}

// WHATWG HTML, section 8.3: base64 and “binary strings”, a character per byte.
declare function btoa(binary: string): string;
declare function atob(base64: string): string;
