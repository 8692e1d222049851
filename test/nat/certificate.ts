/** A certificate of a lab's own, for TLS to addresses that no authority would certify. */
import { spawnSync } from 'node:child_process';
import { createHash, createPublicKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  /** Files in PEM. */
  keyFile: string;
  certificateFile: string;
  /** SHA-256 of the public key (RFC 7469, section 2.4), base64: what Chromium trusts by an argument. */
  publicKeyHash: string;
  remove(): void;
}

/** For the name `turn.test` and these addresses. @throws Error when openssl is missing. */
export function makeCertificate(addresses: readonly string[]): Certificate {
  const folder = mkdtempSync(join(tmpdir(), 'direct-agent-certificate-'));
  const [keyFile, certificateFile] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const names = ['DNS:turn.test', ...addresses.map((address) => `IP:${address}`)];
  const made = spawnSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=turn.test'],
      ...['-keyout', keyFile, '-out', certificateFile, '-addext', `subjectAltName=${names.join(',')}`],
    ],
    { encoding: 'utf8' },
  );
  if (made.status !== 0) throw made.error ?? new Error(`openssl: ${made.stderr}`);
  const publicKey = createPublicKey(readFileSync(certificateFile)).export({ type: 'spki', format: 'der' });
  return {
    keyFile,
    certificateFile,
    publicKeyHash: createHash('sha256').update(publicKey).digest('base64'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
