"""What the environment and the caller say: which folder, and whether a network may be used."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InvalidArgumentError

logger = logging.getLogger(__name__)

#: The store's folder within the cache directory.
STORE = "ipfs-kit-storage"


@dataclass
class StorageBackendConfig:
    """Settings as callers keep them. Pass them on as `config=vars(settings)`; limits apply by `configure_cache`."""

    enable_ipfs: bool = True
    enable_s3: bool = False
    enable_filecoin: bool = False
    enable_local: bool = True
    cache_dir: str = "~/.cache/ipfs_accelerate"
    ipfs_kit_available: bool = False
    cache_memory_mb: int = 100
    cache_disk_mb: int = 1024
    #: `lru`, `lfu` or `arc`.
    cache_eviction_policy: str = "lru"


def disabled() -> bool:
    """Whether the environment forbids any network."""
    return os.environ.get("IPFS_KIT_DISABLE", "").lower() in ("1", "true", "yes")


def remotes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Addresses of those who may have what is not held here: of the configuration, or else of the environment."""
    given = config.get("remotes")
    if given is None:
        return tuple(os.environ.get("IPFS_KIT_REMOTES", "").split())
    if isinstance(given, str) or not all(isinstance(remote, str) for remote in given):
        raise InvalidArgumentError("invalid argument: config['remotes'] must be a list of addresses")
    return tuple(given)


def writable_cache_dir(chosen: str | os.PathLike[str] | None) -> Path:
    """The cache directory: the one chosen or that of the environment, made if need be.

    When nothing can be written there, as in a service with a protected home, it is one of this user below the system's
    temporary directory, which is logged as a warning. What fails there too is raised.
    """
    wanted = _cache_dir(chosen)
    try:
        return _writable(wanted)
    except OSError as error:
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        other = Path(tempfile.gettempdir()) / f"ipfs_accelerate-{user}"
        try:
            other.mkdir(mode=0o700, exist_ok=True)
            if hasattr(os, "getuid") and other.stat().st_uid != os.getuid():
                raise PermissionError(f"{other} belongs to somebody else")
            _writable(other)
        except OSError:
            raise error from None
        logger.warning("Cache directory %s cannot be written (%s); using %s", wanted, error, other)
        return other


def _cache_dir(chosen: str | os.PathLike[str] | None) -> Path:
    if chosen:
        return Path(chosen).expanduser()
    named = os.environ.get("IPFS_ACCELERATE_CACHE_DIR") or os.environ.get("IPFS_KIT_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    caches = Path(xdg).expanduser() if xdg else Path.home() / ".cache"
    return caches / "ipfs_accelerate"


def _writable(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        pass
    return directory
