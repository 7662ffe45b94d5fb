"""A client that callers hand in, asked for files that are not held here. What it gives is kept once it is proven."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wasmtime.component import Record

from .component import record
from .store import acquire, release

logger = logging.getLogger(__name__)

_METHODS = ("retrieve", "cat", "get", "get_file", "download", "ipfs_cat")


def _layout(profile: str, **fields: Any) -> Record:
    return record(**{"profile": profile, "chunk_size": None, "width": None, "raw_leaves": None, "hash": None, **fields})


# A file's CID depends on how it was cut, which a CID does not tell: these are the ways in use.
_LAYOUTS = (
    _layout("unixfs-v1-2025"),
    _layout("unixfs-v0-2015"),
    # Kubo's `ipfs add --cid-version=1`.
    _layout("unixfs-v1-2025", chunk_size=262_144, width=174),
    # One raw block, as large as there are.
    _layout("unixfs-v1-2025", chunk_size=2_096_896),
)


class Client:
    """A dict of functions, an object with methods, or a dict of such objects."""

    def __init__(self, given: Any) -> None:
        self._given = given

    def function(self, name: str) -> Callable[..., Any] | None:
        """The first function of this name."""
        return next(self._functions(name), None)

    def proven(self, cid: str) -> tuple[bytes, Record] | None:
        """The bytes of a file and the layout that gives them this CID; none if the client has no such bytes."""
        for name in _METHODS:
            for function in self._functions(name):
                for path in (cid, f"/ipfs/{cid}"):
                    try:
                        data = _bytes(function(path))
                    except Exception as error:
                        logger.debug("The client's %s(%s) failed: %s", name, path, error)
                        continue
                    if data is None:
                        continue
                    layout = _proof(cid, data)
                    if layout is not None:
                        return data, layout
                    logger.warning("What the client's %s gave for %s does not have this CID, and is dropped", name, cid)
        return None

    def _functions(self, name: str) -> Iterator[Callable[..., Any]]:
        targets = [self._given]
        if isinstance(self._given, dict):
            targets += [value for value in self._given.values() if not isinstance(value, type)]
        for target in targets:
            function = target.get(name) if isinstance(target, dict) else getattr(target, name, None)
            if callable(function):
                yield function


def _bytes(given: Any) -> bytes | None:
    """The bytes in what a client returned: bytes, text, the path of a file, or a dict with one of these."""
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    if isinstance(given, str):
        return _file(given) or given.encode()
    if isinstance(given, dict):
        for key in ("bytes", "data", "content", "payload"):
            data = _bytes(given.get(key))
            if data is not None:
                return data
        for key in ("path", "file_path", "local_path"):
            if given.get(key):
                return _file(str(given[key]))
    return None


def _file(path: str) -> bytes | None:
    try:
        return Path(path).expanduser().read_bytes()
    except (OSError, ValueError, RuntimeError):
        return None


def _proof(cid: str, data: bytes) -> Record | None:
    """The layout by which these bytes have this CID. They are stored in a scratch store, so that what is false never
    comes near the real one."""
    with tempfile.TemporaryDirectory(prefix="ipfs-kit-storage-") as folder:
        scratch = acquire(Path(folder))
        try:
            for layout in _LAYOUTS:
                options = record(filename=None, pin=False, layout=layout, replicate=None)
                if scratch.write([data], options)["cid"] == cid:
                    return layout
            return None
        finally:
            release(scratch)
