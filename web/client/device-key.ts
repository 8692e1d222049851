/**
 * Where this device’s keys are. There is one for each edge and host, so that no two of them can tell that it is the same
 * device, and the private half cannot leave the runtime.
 */
import type { DeviceKeys } from '../../shared/device-identity.ts';

export interface DeviceKeyStore {
  /** The key of this device for a host, if there is one. @throws what the runtime says when it keeps none. */
  load(edge: string, host: string): Promise<DeviceKeys | undefined>;
  /** The same, made if there is none. */
  make(edge: string, host: string): Promise<DeviceKeys>;
}

const DATABASE = 'direct-agent';
const VERSION = 1;
const TABLE = 'device-keys';

const nameOf = (edge: string, host: string) => `${edge} ${host}`;

/** For as long as the program runs. */
export function memoryDeviceKeys(): DeviceKeyStore {
  const keys = new Map<string, Promise<DeviceKeys>>();
  return {
    load: async (edge, host) => keys.get(nameOf(edge, host)),
    make: (edge, host) => {
      const name = nameOf(edge, host);
      const known = keys.get(name) ?? newKeys();
      keys.set(name, known);
      return known;
    },
  };
}

/** In the browser’s database, which keeps keys that no script can read. */
export function storedDeviceKeys(indexedDB: IDBFactory): DeviceKeyStore {
  return {
    load: (edge, host) => withTable(indexedDB, 'readonly', (table) => done(table.get(nameOf(edge, host)))),
    make: async (edge, host) => {
      // First: a transaction does not outlive a wait for anything else.
      const made = await newKeys();
      return withTable(indexedDB, 'readwrite', async (table) => {
        const name = nameOf(edge, host);
        // Another tab may have been faster.
        const known = await done<DeviceKeys | undefined>(table.get(name));
        if (known === undefined) await done(table.put(made, name));
        return known ?? made;
      });
    },
  };
}

async function newKeys(): Promise<DeviceKeys> {
  return (await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair;
}

async function withTable<T>(
  indexedDB: IDBFactory,
  mode: IDBTransactionMode,
  work: (table: IDBObjectStore) => Promise<T>,
): Promise<T> {
  const opening = indexedDB.open(DATABASE, VERSION);
  opening.onupgradeneeded = () => opening.result.createObjectStore(TABLE);
  const database = await done(opening);
  try {
    const transaction = database.transaction(TABLE, mode);
    const result = await work(transaction.objectStore(TABLE));
    await committed(transaction);
    return result;
  } finally {
    database.close();
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** The key is on the disk before a host learns of it. */
function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
