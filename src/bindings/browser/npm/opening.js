// What opening a store has in common everywhere.

import { Storage } from './storage.js';

/**
 * The functions of the package that open stores. `connect` gives an engine, and what its calls are cancelled by; `environment`
 * has the variables of the process, where there is one.
 */
export function opening(connect, environment = {}) {
  async function openStorage({ name = 'ipfs-kit-storage', remotes = [], autoSync = true, ...options } = {}) {
    const disabled = isSet(globalThis.IPFS_KIT_DISABLE ?? environment.IPFS_KIT_DISABLE);
    const connection = await connect({ name, remotes: [...remotes], disabled, ...options });
    return new Storage({ ...connection, drains: autoSync && options.backends?.length > 0 });
  }

  let shared;

  function getStorage(options) {
    shared ??= openStorage(options).catch((error) => {
      shared = undefined;
      throw error;
    });
    return shared;
  }

  async function resetStorage() {
    const storage = shared;
    shared = undefined;
    await storage?.then((open) => open.close(), () => {});
  }

  return { openStorage, getStorage, resetStorage };
}

function isSet(value) {
  return ['1', 'true', 'yes'].includes(String(value).toLowerCase());
}
