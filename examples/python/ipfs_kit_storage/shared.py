"""The storage that a program's parts share."""

from __future__ import annotations

import threading
from typing import Any

from .storage import IPFSKitStorage

_DEPENDENCY = "ipfs_accelerate_py::storage"
_lock = threading.Lock()
_storage: IPFSKitStorage | None = None


def get_storage(
    enable_ipfs_kit: bool = True,
    cache_dir: str | None = None,
    config: dict[str, Any] | None = None,
    force_fallback: bool = False,
    *,
    deps: object | None = None,
    storage_instance: IPFSKitStorage | None = None,
    ipfs_kit_client: Any | None = None,
) -> IPFSKitStorage:
    """The shared storage. The first call makes it, and only that one's options count.

    `storage_instance` takes its place. `deps`, a dict or an object with `get_cached` and `set_cached`, keeps it too,
    and is asked first.
    """
    global _storage
    with _lock:
        if storage_instance is not None:
            _storage = storage_instance
        else:
            kept = _kept(deps)
            if kept is not None:
                return kept
            if _storage is None:
                _storage = IPFSKitStorage(
                    enable_ipfs_kit, cache_dir, config, force_fallback, deps=deps, ipfs_kit_client=ipfs_kit_client
                )
        _keep(deps, _storage)
        return _storage


def reset_storage(*, deps: object | None = None) -> None:
    """Forgets the shared storage. Who still has it may go on; its store closes when nobody has it any more."""
    global _storage
    with _lock:
        _storage = None
        if isinstance(deps, dict):
            deps.pop(_DEPENDENCY, None)
        else:
            _keep(deps, None)


def _kept(deps: object | None) -> IPFSKitStorage | None:
    if isinstance(deps, dict):
        return deps.get(_DEPENDENCY)
    get = getattr(deps, "get_cached", None)
    return get(_DEPENDENCY) if callable(get) else None


def _keep(deps: object | None, storage: IPFSKitStorage | None) -> None:
    if isinstance(deps, dict):
        deps[_DEPENDENCY] = storage
        return
    keep = getattr(deps, "set_cached", None)
    if callable(keep):
        keep(_DEPENDENCY, storage)
