"""The cache of the code before: its files, whose keys are no CIDs, under their CIDs; its keys as names for them."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from typing import TYPE_CHECKING, Any

from .errors import StorageError

if TYPE_CHECKING:
    from .store import Store

logger = logging.getLogger(__name__)

_KEY = re.compile(r"bafy[0-9a-f]{56}")
_MAP = "ipfs-kit-storage.legacy.json"
_lock = threading.Lock()


def is_key(text: str) -> bool:
    """Whether it is a key of the old cache."""
    return _KEY.fullmatch(text) is not None


class LegacyCache:
    """What of an old cache is in a cache directory. Its files stay as they are."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._map = store.cache_dir / _MAP
        self._keys: dict[str, str] | None = None

    def keys(self) -> dict[str, str]:
        """The CIDs of the old keys. The old cache is imported when this is asked first, which copies it."""
        with _lock:
            if self._keys is None:
                self._keys = self._read()
            if self._keys is None:
                self._keys = self._import() if self._found() else {}
            return self._keys

    def import_all(self) -> dict[str, str]:
        """Imports what is there now."""
        with _lock:
            self._keys = {**(self._keys or self._read() or {}), **self._import()}
            self._write(self._keys)
            return dict(self._keys)

    def service(self, name: str) -> Any | None:
        """The model service that the old code kept under this name, if it did."""
        path = self._store.cache_dir / f"service_{name}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be read and is passed over: %s", path, error)
            return None

    def _found(self) -> bool:
        return any(is_key(name) for name in os.listdir(self._store.cache_dir))

    def _import(self) -> dict[str, str]:
        logger.info("Importing the old cache in %s", self._store.cache_dir)
        keys = {}
        for one in self._store.call("import-legacy", "/cache"):
            stored = one["stored"]
            if isinstance(stored, StorageError):
                logger.warning("%s of the old cache is not imported: %s", one["key"], stored)
                continue
            if one["changed"]:
                logger.warning("%s of the old cache has other bytes than it had when it got its key", one["key"])
            if one["ignored"]:
                logger.warning("The metadata of %s of the old cache are passed over: %s", one["key"], one["ignored"])
            keys[one["key"]] = stored["cid"]
        self._write(keys)
        logger.info("Imported %d files of the old cache in %s", len(keys), self._store.cache_dir)
        return keys

    def _read(self) -> dict[str, str] | None:
        try:
            return json.loads(self._map.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def _write(self, keys: dict[str, str]) -> None:
        new = self._map.with_name(self._map.name + ".new")
        with open(new, "w", encoding="utf-8") as file:
            json.dump(keys, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self._map)
