// The error classes of the package: one for each variant of `error` in the engine's WIT.

/** What every call of this package rejects with, an aborted one apart. `code` tells the kind, as the class does. */
export class StorageError extends Error {
  code = 'io';

  constructor(message, details = {}) {
    super(message);
    Object.assign(this, details);
  }
}

export class InvalidCidError extends StorageError {}
export class InvalidArgumentError extends StorageError {}
export class NotFoundError extends StorageError {}
export class NotAvailableOfflineError extends StorageError {}
export class UnavailableError extends StorageError {}
export class IntegrityError extends StorageError {}
export class QuotaExceededError extends StorageError {}
export class CorruptError extends StorageError {}
export class DeniedError extends StorageError {}
export class ConflictError extends StorageError {}
export class LockedError extends StorageError {}
export class UnsupportedError extends StorageError {}
export class CancelledError extends StorageError {}
export class IoError extends StorageError {}

const CLASSES = {
  'invalid-cid': InvalidCidError,
  'invalid-argument': InvalidArgumentError,
  'not-found': NotFoundError,
  'not-available-offline': NotAvailableOfflineError,
  unavailable: UnavailableError,
  integrity: IntegrityError,
  'quota-exceeded': QuotaExceededError,
  corrupt: CorruptError,
  denied: DeniedError,
  conflict: ConflictError,
  locked: LockedError,
  unsupported: UnsupportedError,
  cancelled: CancelledError,
  io: IoError,
};

// Not the classes' own names: bundlers rename classes.
for (const [name, Class] of Object.entries({
  StorageError,
  InvalidCidError,
  InvalidArgumentError,
  NotFoundError,
  NotAvailableOfflineError,
  UnavailableError,
  IntegrityError,
  QuotaExceededError,
  CorruptError,
  DeniedError,
  ConflictError,
  LockedError,
  UnsupportedError,
  CancelledError,
  IoError,
})) {
  Object.defineProperty(Class.prototype, 'name', { value: name, writable: true, configurable: true });
}

/** What the engine threw, as an error of its class; anything else as it is. */
export function asError(thrown) {
  const Class = CLASSES[thrown?.code];
  if (Class === undefined || thrown instanceof Error) return thrown;
  const { message, ...details } = thrown;
  return new Class(message, details);
}
