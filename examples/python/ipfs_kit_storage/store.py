"""One open store for each folder in this process, whoever uses it, with a lock around it.

The engine is single-threaded, and a packed store has one owner: two instances for one folder share it here. It is
opened by the first call that needs it, and closed when the last of its users closes, or the process ends.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wasmtime import WasmtimeError
from wasmtime.component import ResourceAny

from .backends import Access
from .component import LOCAL, REMOTE, Instance, check_fork, find, forked, record
from .config import STORE
from .errors import InvalidArgumentError, IoError, LockedError
from .legacy import LegacyCache

logger = logging.getLogger(__name__)

#: Bytes that cross the border at once: each takes 32 there.
PIECE = 64 * 1024
#: After so many idle seconds another process may have taken the store, for who is silent for 10 s is taken for dead.
IDLE = 8.0
#: How long an opening waits for a store that is locked. One whose owner was killed, or is idle, is free after 10 s.
PATIENCE = 11.0

# Entered again where the garbage collector ends a storage while another is begun.
_lock = threading.RLock()
_stores: dict[Path, Store] = {}


class Store:
    """The store in a cache directory. Any thread may call it; the calls are made one after the other."""

    def __init__(self, cache_dir: Path) -> None:
        self.cache_dir = cache_dir
        self.users = 0
        self.legacy = LegacyCache(self)
        self._lock = threading.RLock()
        self._access = Access()
        self._instance: Instance | None = None
        self._handle: ResourceAny | None = None
        # Files being read or written: without them the store would not be given up.
        self._under_way: set[ResourceAny] = set()
        self._patience = PATIENCE
        self._take_over = False
        self._limits: Any = None
        self._called = 0.0
        self._lease = b""

    def call(self, name: str, *args: Any) -> Any:
        """A method of WIT's `handle`."""
        return self.function("storage", f"[method]handle.{name}", *args)

    def function(self, interface: str, name: str, *args: Any) -> Any:
        """A function of WIT whose first parameter is the handle."""
        check_fork()
        with self._lock:
            instance, handle = self._opened()
            return self._call(instance, interface, name, handle, *args)

    def write(self, pieces: Iterable[bytes], options: Any) -> dict[str, Any]:
        """Stores one file of any size, of pieces of any size; what is told of it."""
        with self._resource("storage", "[method]handle.create-writer", options) as (instance, writer):
            for piece in pieces:
                for start in range(0, len(piece), PIECE):
                    self._on(instance, "storage", "[method]writer.write", writer, piece[start : start + PIECE])
            return self._on(instance, "storage", "[method]writer.finish", writer)

    def read(self, path: str, options: Any) -> Iterator[bytes]:
        """A file of any size, piece by piece, each verified."""
        with self._resource("storage", "[method]handle.open-reader", path, options) as (instance, reader):
            while piece := self._on(instance, "storage", "[method]reader.read", reader, PIECE):
                yield piece

    def sync(self, milliseconds: int) -> dict[str, Any]:
        """Does what is due for the backends, step by step; what was done."""
        with self._resource("outbox", "sync", milliseconds) as (instance, draining):
            while self._on(instance, "outbox", "[method]draining.step", draining) is not None:
                pass
            return self._on(instance, "outbox", "[method]draining.report", draining)

    def allow(self, access: Access) -> None:
        """Has the store ask these remotes, and give to these backends. One that is open without any is opened anew for it."""
        with self._lock:
            if not access or access == self._access:
                return
            if self._access:
                raise InvalidArgumentError(
                    f"invalid argument: {self.cache_dir} is in use in this process with other remotes or backends: "
                    f"{self._access}; close that storage first, or give both the same"
                )
            if self._under_way:
                raise LockedError(
                    f"the store is in use: {self.cache_dir} is open without a network, and files are being read or "
                    "written; open the storage when they have ended"
                )
            find(REMOTE)
            self._close()
            self._access = access

    def close(self) -> None:
        """Gives the store up: another process may open it. The next call opens it again."""
        with self._lock:
            self._close()

    def configure(self, limits: Any) -> None:
        """Sets the limits of the caches, also for when the store is opened again."""
        with self._lock:
            self.call("configure-cache", limits)
            self._limits = limits

    def _opened(self) -> tuple[Instance, ResourceAny]:
        if self._handle is not None and time.monotonic() - self._called > IDLE and self._owner() != self._lease:
            self._close()  # Another process has taken it meanwhile; what is known of it here is old.
        if self._instance is None or self._handle is None:
            self._instance, self._handle = self._open()
        return self._instance, self._handle

    def _open(self) -> tuple[Instance, ResourceAny]:
        folder = self.cache_dir / STORE
        folder.mkdir(parents=True, exist_ok=True)
        # What is in the cache directory beside the store, an old cache perhaps, can be read, and is never changed.
        folders = {"/store": (folder, True), "/cache": (self.cache_dir, False)}
        instance = Instance(REMOTE if self._access else LOCAL, folders)
        until = time.monotonic() + self._patience
        # Who has waited in vain is told at once from then on.
        self._patience = 0.0
        while True:
            options = record(
                directory="/store",
                take_over=self._take_over,
                force_fallback=False,
                remotes=list(self._access.remotes),
                remote_timeout=None,
                backends=list(self._access.backends),
                policy=self._access.policy,
                layout=None,
                durability=None,
                verification=None,
            )
            try:
                handle = self._call(instance, "storage", "[static]handle.open", options)
            except LockedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.25)
            else:
                break
        self._take_over, self._patience, self._lease = False, PATIENCE, self._owner()
        if self._limits is not None:
            self._call(instance, "storage", "[method]handle.configure-cache", handle, self._limits)
        return instance, handle

    def _owner(self) -> bytes:
        """The token of the store's owner, which is in its lease behind eight bytes that tell the format."""
        try:
            return (self.cache_dir / STORE / "owner").read_bytes()[8:16]
        except OSError:
            return b""

    def _close(self) -> None:
        instance, handle = self._instance, self._handle
        self._patience = PATIENCE
        if instance is not None and handle is not None:
            under_way = list(self._under_way)
            self._forget()
            for resource in [*under_way, handle]:
                instance.drop(resource)

    def _call(self, instance: Instance, interface: str, name: str, *args: Any) -> Any:
        try:
            result = instance.call(interface, name, *args)
            self._called = time.monotonic()
            return result
        except LockedError:
            self._forget()
            raise
        except WasmtimeError as error:
            # A component that was stopped cannot be entered again. Nobody else can have its store: it is taken over.
            self._forget()
            self._take_over = True
            raise IoError(
                f"the host failed: the component was stopped, and starts anew with the next call: {error}"
            ) from error

    def _forget(self) -> None:
        """Leaves an instance that does not have the store any more as it is."""
        self._instance = self._handle = None
        self._under_way.clear()

    def _on(self, instance: Instance, interface: str, name: str, resource: ResourceAny, *args: Any) -> Any:
        check_fork()
        with self._lock:
            if instance is not self._instance:
                raise IoError(
                    "the host failed: the store was closed while a file was being read or written; begin again"
                )
            return self._call(instance, interface, name, resource, *args)

    @contextmanager
    def _resource(self, interface: str, name: str, *args: Any) -> Iterator[tuple[Instance, ResourceAny]]:
        with self._lock:
            resource = self.function(interface, name, *args)
            instance, _ = self._opened()
            self._under_way.add(resource)
        try:
            yield instance, resource
        finally:
            with self._lock:
                if resource in self._under_way:
                    self._under_way.remove(resource)
                    instance.drop(resource)


def acquire(cache_dir: Path) -> Store:
    """The store of a cache directory, shared with whoever else has it in this process; `release` it."""
    place = cache_dir.resolve()
    with _lock:
        new = Store(place)
        store = _stores.setdefault(place, new)
        store.users += 1
        return store


def release(store: Store) -> None:
    """Ends a use of a store. The last one closes it."""
    if forked():
        return
    with _lock:
        store.users -= 1
        if store.users > 0:
            return
        if _stores.get(store.cache_dir) is store:
            del _stores[store.cache_dir]
    store.close()


@atexit.register
def _close_all() -> None:
    for store in list(_stores.values()):
        if forked():
            return
        try:
            store.close()
        except Exception as error:  # Nothing may keep the process from ending.
            logger.debug("%s was not closed: %s", store.cache_dir, error)
