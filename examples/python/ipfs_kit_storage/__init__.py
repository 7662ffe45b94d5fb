"""Content-addressed storage for IPFS applications: the component `ipfs-kit:storage` as a Python class.

The class has the verbs and signatures of `ipfs_kit_integration`, so that its callers work as they are; `docs/python.md`
says what differs, and why.
"""

from .config import StorageBackendConfig
from .errors import (
    CancelledError,
    ConflictError,
    CorruptError,
    DeniedError,
    ForkedError,
    IntegrityError,
    InvalidArgumentError,
    InvalidCidError,
    IoError,
    LockedError,
    NoComponentError,
    NotAvailableOfflineError,
    NotFoundError,
    QuotaExceededError,
    StorageError,
    UnavailableError,
    UnsupportedError,
)
from .shared import get_storage, reset_storage
from .storage import IPFSKitStorage

__all__ = [
    "CancelledError",
    "ConflictError",
    "CorruptError",
    "DeniedError",
    "ForkedError",
    "IPFSKitStorage",
    "IntegrityError",
    "InvalidArgumentError",
    "InvalidCidError",
    "IoError",
    "LockedError",
    "NoComponentError",
    "NotAvailableOfflineError",
    "NotFoundError",
    "QuotaExceededError",
    "StorageBackendConfig",
    "StorageError",
    "UnavailableError",
    "UnsupportedError",
    "get_storage",
    "reset_storage",
]
