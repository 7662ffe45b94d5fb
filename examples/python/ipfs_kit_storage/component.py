"""The component in wasmtime: found, compiled once, instantiated for a folder, called."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from wasmtime import Config, Engine, Store, WasiConfig, WasmtimeError
from wasmtime.component import Component, Linker, Record, ResourceAny, Variant

from .calls import Function
from .errors import ForkedError, NoComponentError, StorageError, from_wit

logger = logging.getLogger(__name__)

#: The component that can reach no network, and the one with HTTP.
LOCAL = "ipfs-kit-storage.local.wasm"
REMOTE = "ipfs-kit-storage.wasm"

_PACKAGE = "ipfs-kit:storage/{}@0.1.0"
_used_by: int | None = None


def find(name: str) -> Path:
    """The component's file: in the folder that IPFS_KIT_STORAGE_COMPONENTS names, in this package, or in dist/."""
    here = Path(__file__).resolve().parent
    named = os.environ.get("IPFS_KIT_STORAGE_COMPONENTS")
    folders = [Path(named).expanduser()] if named else [here, here.parents[2] / "dist"]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise NoComponentError(
        f"{name} is not in {looked}: build it with ./x dist, or name its folder in IPFS_KIT_STORAGE_COMPONENTS"
    )


def record(**fields: Any) -> Record:
    """A record of WIT, with `_` for `-` in its fields' names."""
    made = Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


class Instance:
    """The component at work: for one store, and one call at a time."""

    def __init__(self, name: str, folders: Mapping[str, tuple[Path, bool]]) -> None:
        """Of the component in the file `name`. `folders` are those it sees: their names for it, where they are, and
        whether it may write there."""
        check_fork()
        component = _component(find(name))
        self._store = Store(_engine())
        wasi = WasiConfig()
        for guest, (host, mutable) in folders.items():
            wasi.preopen_dir(str(host), guest, fs_mutable=mutable)
        self._store.set_wasi(wasi)
        linker = Linker(_engine())
        linker.add_wasip2()
        if name == REMOTE:
            linker.add_wasi_http()
            self._store.set_wasi_http()
        self._instance = linker.instantiate(self._store, component)
        self._functions: dict[tuple[str, str], Function] = {}

    def call(self, interface: str, name: str, *args: Any) -> Any:
        """What a function returns: records are dicts with `_` in their keys, errors are raised."""
        found = self._functions.get((interface, name))
        if found is None:
            found = self._functions[interface, name] = self._function(interface, name)
        result = _plain(found(self._store, *args))
        if isinstance(result, StorageError):
            raise result
        return result

    def drop(self, resource: ResourceAny) -> None:
        """Ends a resource of the component. In a forked process nothing happens: it is its parent's."""
        if not forked():
            resource.drop(self._store)

    def _function(self, interface: str, name: str) -> Function:
        exports = self._instance.get_export_index(self._store, _PACKAGE.format(interface))
        index = exports and self._instance.get_export_index(self._store, name, exports)
        func = index and self._instance.get_func(self._store, index)
        if not func:
            raise NoComponentError(f"the component has no {interface}.{name}: it is of another version; build it again")
        return Function(func, self._store)


def forked() -> bool:
    """Whether this process was forked after wasmtime was used: its threads are not there, and calls would hang."""
    return _used_by not in (None, os.getpid())


def check_fork() -> None:
    """Raises where this process was forked after wasmtime was used."""
    global _used_by
    if forked():
        raise ForkedError(
            "this process was forked from one that used a store: start it with multiprocessing's `spawn`, "
            "or use no store before forking"
        )
    _used_by = os.getpid()


@cache
def _engine() -> Engine:
    config = Config()
    try:
        # Compiled code is kept in the user's cache, by hash and version: compiling takes seconds, loading milliseconds.
        config.cache = True
    except WasmtimeError as error:
        logger.warning("Compiled code cannot be kept, so that each process compiles anew: %s", error)
    return Engine(config)


@cache
def _component(path: Path) -> Component:
    return Component.from_file(_engine(), path)


def _plain(value: Any) -> Any:
    """Records as dicts. A variant that is returned is an error, but for what went wrong with a delivery."""
    if isinstance(value, Record):
        return {name.replace("-", "_"): _plain(field) for name, field in vars(value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, Variant) and value.tag in ("here", "there"):
        return {value.tag: value.payload}
    if isinstance(value, Variant):
        return from_wit(value.tag, _plain(value.payload))
    return value
