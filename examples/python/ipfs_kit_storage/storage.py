"""The class that callers use."""

from __future__ import annotations

import json
import logging
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wasmtime.component import Record, Variant

from . import config as settings
from .backends import Access, access
from .backends import policy as policy_of
from .client import Client
from .component import LOCAL, REMOTE, find, record
from .errors import (
    CancelledError,
    DeniedError,
    InvalidArgumentError,
    InvalidCidError,
    NotAvailableOfflineError,
    NotFoundError,
    StorageError,
    UnavailableError,
    UnsupportedError,
)
from .legacy import is_key
from .store import PIECE, Store, acquire, release

logger = logging.getLogger(__name__)

#: How a CID that cannot be had is told by methods that return none or False for it.
_ABSENT = (InvalidCidError, NotFoundError, NotAvailableOfflineError, UnavailableError)
_SERVICE = "service/"
_MEGABYTE = 1024 * 1024


class IPFSKitStorage:
    """A store of files by their CIDs, local first.

    What is held here is answered from here. With remotes, what is not held is fetched from them, proven, and kept;
    without any, and whenever `using_fallback` is true, nobody is ever asked. Any thread may use it, one call at a time
    is worked on, and instances for one directory share its store. Another process can open it only when this one has
    closed it.
    """

    def __init__(
        self,
        enable_ipfs_kit: bool = True,
        cache_dir: str | None = None,
        config: dict[str, Any] | None = None,
        force_fallback: bool = False,
        *,
        deps: object | None = None,
        ipfs_kit_client: Any | None = None,
    ) -> None:
        """A storage in `cache_dir`, or where the environment says (IPFS_ACCELERATE_CACHE_DIR, IPFS_KIT_CACHE_DIR,
        XDG_CACHE_HOME), or in ~/.cache/ipfs_accelerate. The store is opened by the first call that needs it.

        `config["remotes"]` are addresses of those who may have what is not held here, as README's "Remotes" says;
        without it those of IPFS_KIT_REMOTES. `config["backends"]` are who keep copies, and `config["policy"]` says where
        copies of what is stored are to be, as in `docs/operating.md`. Other settings in it are for the caller. `force_fallback`,
        `enable_ipfs_kit=False` and IPFS_KIT_DISABLE=1 keep the storage local: neither a remote nor `ipfs_kit_client` is
        asked then.
        """
        self.config = config or {}
        self.force_fallback = force_fallback or settings.disabled()
        self.enable_ipfs_kit = enable_ipfs_kit and not self.force_fallback
        self.deps = deps
        self.storage = None
        self._access = access(settings.remotes(self.config), self.config) if self.enable_ipfs_kit else Access()
        self.ipfs_kit_client = ipfs_kit_client if self.enable_ipfs_kit else None
        #: True: nobody but this store is asked for anything.
        self.using_fallback = not self._access and self.ipfs_kit_client is None
        find(REMOTE if self._access else LOCAL)
        self.cache_dir: Path = settings.writable_cache_dir(cache_dir)
        self._client = Client(self.ipfs_kit_client) if self.ipfs_kit_client is not None else None
        self._store = acquire(self.cache_dir)
        self._end = weakref.finalize(self, release, self._store)
        self._cache_memory_mb, self._cache_disk_mb, self._cache_eviction_policy = 100, 1024, "lru"

    def store(
        self,
        data: bytes | str | Path,
        filename: str | None = None,
        pin: bool = False,
        *,
        policy: Mapping[str, Any] | None = None,
    ) -> str:
        """Stores a file; its CID. Bytes are stored as they are, text as UTF-8, also text that looks like a path; the
        file at a `Path` is read in pieces, so that it may be of any size.

        On return it survives a power cut. A `Path` that cannot be read raises OSError. `pin=False` leaves an earlier
        pin. `policy` lies over `config["policy"]`: the copies that it wants are queued with what is stored.
        """
        options = record(filename=filename, pin=pin, layout=None, replicate=policy_of(policy))
        if isinstance(data, Path):
            with open(data, "rb") as file:
                return self._opened().write(iter(lambda: file.read(PIECE), b""), options)["cid"]
        if isinstance(data, str):
            data = data.encode()
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"bytes, text or a Path can be stored, not {type(data).__name__}")
        return self._write(bytes(data), options)

    def retrieve(self, cid: str) -> bytes | None:
        """A whole file, verified, by its CID or a path below one (`CID/a/b.txt`); none if it cannot be had. Model
        services are JSON.

        What is damaged raises CorruptError, a directory UnsupportedError.
        """
        try:
            return b"".join(self.stream(cid))
        except _ABSENT as error:
            logger.info("%s", error)
        except UnsupportedError:
            if self._opened().call("stat", self._cid(cid), not self._access)["kind"] != "value":
                raise
            return self._json(cid)
        return self._from_client(cid)

    def stream(self, cid: str) -> Iterator[bytes]:
        """A file as `retrieve` has it, in pieces of at most 64 KiB, and raising where that returns none."""
        options = record(offset=0, length=None, offline=not self._access, pin=False)
        return self._opened().read(self._cid(cid), options)

    def exists(self, cid: str) -> bool:
        """Whether it is held here; nobody is asked for it."""
        try:
            return self._opened().call("exists", self._cid(cid))
        except InvalidCidError:
            return False

    def delete(self, cid: str) -> bool:
        """Forgets a stored file, with its pin and the names that lead to it, and drops what only it used. False if it
        is not stored."""
        return self._done("delete", self._cid(cid), True)

    def pin(self, cid: str) -> bool:
        """Keeps a file, or all that is below a CID, from making room. What of it is not held here is fetched; False if
        it cannot be had."""
        offline = not self._access
        options = record(kind="recursive", name=None, labels=[], expires=None, offline=offline)
        return self._done("pin", self._cid(cid), options)

    def unpin(self, cid: str) -> bool:
        """Takes the pin away; the data stays. False if it is neither pinned nor stored."""
        return self._done("unpin", self._cid(cid))

    def list_files(self, path: str = "/") -> list[dict[str, Any]]:
        """What is stored: of each `cid`, `filename` (the CID where it was given none), `size` in bytes, `modified` in
        seconds since the Unix epoch, `pinned`, `fallback` (`using_fallback`), `kind`.

        `CID` or `CID/a/b` lists a directory. Any other path but `/` gives the stored files whose names begin with it.
        """
        below = path.strip("/")
        try:
            return [self._listed(file) for file in self._entries(path if below else "/")]
        except InvalidCidError:
            named = (self._listed(file) for file in self._entries("/"))
            return [file for file in named if file["filename"].strip("/").startswith(below + "/")]

    def is_available(self) -> bool:
        """Whether somebody can be asked for what is not held here: the client, or a remote. One of which nothing is
        known, or nothing good, is probed."""
        if self.using_fallback or self._client is not None:
            return not self.using_fallback
        store = self._opened()
        if not store.call("is-available"):
            store.call("backend-status")
        return store.call("is-available")

    def get_backend_status(self) -> dict[str, Any]:
        """The state of the backends, as booleans; and with their evidence in `store`, which is WIT's `status`."""
        status = self._opened().call("backend-status")
        states = {(backend["role"], backend["kind"]): False for backend in status["backends"]}
        for backend in status["backends"]:
            states[backend["role"], backend["kind"]] |= backend["state"] in ("available", "degraded")
        kept = {kind: states.get(("backend", kind), False) for kind in ("kubo", "cluster", "s3", "archive")}
        available = self.is_available()
        return {
            "ipfs_kit_available": available,
            "using_fallback": self.using_fallback,
            "cache_dir": str(self.cache_dir),
            "backends": {
                "local": any(works for (role, _), works in states.items() if role == "local"),
                "ipfs": available or kept["kubo"] or kept["cluster"],
                "s3": kept["s3"],
                "filecoin": kept["archive"],
            },
            "store": status,
        }

    def configure_cache(
        self, memory_mb: int = 100, disk_mb: int = 1024, eviction_policy: str = "lru"
    ) -> dict[str, Any]:
        """Limits of the blocks held in memory and on disk, in MiB, and in which order files make room (`lru`, `lfu`,
        `arc`).

        They hold until the last storage of this directory is closed. Room is made when something is written; what is
        pinned stays, and when that leaves too little the write raises QuotaExceededError.
        """
        if eviction_policy not in ("lru", "lfu", "arc"):
            raise InvalidArgumentError(f"invalid argument: eviction_policy is lru, lfu or arc, not {eviction_policy!r}")
        if min(memory_mb, disk_mb) < 0:
            raise InvalidArgumentError("invalid argument: memory_mb and disk_mb are at least 0")
        limits = record(
            memory_bytes=int(memory_mb * _MEGABYTE),
            disk_bytes=int(disk_mb * _MEGABYTE),
            policy=eviction_policy,
            high_water=None,
            low_water=None,
        )
        self._opened().configure(limits)
        self._cache_memory_mb, self._cache_disk_mb, self._cache_eviction_policy = memory_mb, disk_mb, eviction_policy
        given = {"memory_mb": memory_mb, "disk_mb": disk_mb, "eviction_policy": eviction_policy}
        self._tell_client("configure_cache", **given)
        return {**given, "using_fallback": self.using_fallback}

    def register_model_service(self, model_id: str, serving_config: dict[str, Any]) -> bool:
        """Keeps the configuration by which a model is served: as a value of linked data, to which a name leads. What
        JSON does not know is kept as text. False, and a warning in the log, when it cannot be kept.
        """
        service = {"model_id": model_id, "serving_config": serving_config}
        try:
            self._register(model_id, service)
        except (StorageError, TypeError, ValueError) as error:
            logger.warning("The service of model %s is not registered: %s", model_id, error)
            return False
        self._tell_client("register_service", _service_name(model_id), service)
        return True

    def get_model_service_config(self, model_id: str) -> dict[str, Any] | None:
        """What `register_model_service` keeps of a model: `model_id` and `serving_config`; none if there is nothing."""
        try:
            cid = self._opened().function("names", "get-name", _SERVICE + model_id)["cid"]
            return json.loads(self._json(cid))
        except (NotFoundError, InvalidArgumentError):
            old = self._store.legacy.service(_service_name(model_id))
        if isinstance(old, dict) and old.get("model_id") == model_id:
            self._register(model_id, old)
            return old
        return self._tell_client("get_service_config", _service_name(model_id)) or None

    def sync(self, wait: float = 0) -> dict[str, Any]:
        """Does what is due for the backends: sends, reads back, removes, and lets go of what is to leave. What becomes due
        within `wait` seconds is waited for. Nothing else does it, so call it after storing, or now and then.

        How many bytes were `sent`, copies `verified`, `lost`, `removed`, deliveries `failed` and `waiting`, when the `next`
        is due, in milliseconds since the Unix epoch, and `offline`: why nobody was asked, if so.
        """
        return self._opened().sync(int(wait * 1000))

    def replication(self, cid: str) -> dict[str, Any]:
        """Where a root stands: whether it is `replicated`, how many copies are `wanted`, the `replicas` that were read back,
        with the evidence, and the `deliveries` that are still to be done."""
        return self._opened().function("outbox", "replication-of", self._cid(cid))

    def outbox(self) -> Iterator[dict[str, Any]]:
        """All that is still to be done for the backends, and what was given up."""
        after = None
        while True:
            page = self._opened().function("outbox", "list-outbox", after, 1000)
            yield from page["deliveries"]
            after = page["next"]
            if after is None:
                return

    def replicate(self, cid: str, policy: Mapping[str, Any] | None = None) -> None:
        """Queues a root for the backends of a policy, laid over `config["policy"]`. What was given up is tried again."""
        self._opened().function("outbox", "replicate", self._cid(cid), policy_of(policy or {}))

    def release(self, cid: str, backend: str | None = None) -> None:
        """Has the copies of a root removed, at one backend or at all. They count no more at once; `sync` removes them."""
        self._opened().function("outbox", "release", self._cid(cid), backend)

    def audit(self, cid: str | None = None) -> None:
        """Queues the copies of a root, or of all, to be read back again."""
        self._opened().function("outbox", "audit", None if cid is None else self._cid(cid))

    def import_legacy(self) -> dict[str, str]:
        """Imports the files of the old cache that are in the cache directory, and stay there; the CIDs of its keys.

        That happens by itself when a directory with such files is used first. Afterwards its keys are taken for their
        CIDs wherever a CID is.
        """
        return self._allowed().legacy.import_all()

    def close(self) -> None:
        """Gives the store up when nobody else in this process uses it, so that another process may open it. The storage
        is not to be used any more. The end of the process closes it too."""
        self._end()

    def __enter__(self) -> IPFSKitStorage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> Store:
        """The store, with this storage's remotes and what there was of an old cache."""
        store = self._allowed()
        store.legacy.keys()
        return store

    def _allowed(self) -> Store:
        """The store, with this storage's remotes."""
        if not self._end.alive:
            raise CancelledError("the storage was closed: make another")
        self._store.allow(self._access)
        return self._store

    def _cid(self, text: str) -> str:
        """What an old key stands for; any other text as it is."""
        if is_key(text):
            self._opened()
            return self._store.legacy.keys().get(text, text)
        return text

    def _write(self, data: bytes, options: Record) -> str:
        store = self._opened()
        if len(data) <= PIECE:
            return store.call("store", data, options)["cid"]
        return store.write([data], options)["cid"]

    def _done(self, verb: str, cid: str, *args: Any) -> bool:
        try:
            self._opened().call(verb, self._cid(cid), *args)
        except _ABSENT as error:
            logger.warning("Cannot %s: %s", verb, error)
            return False
        return True

    def _entries(self, path: str) -> Iterator[dict[str, Any]]:
        after = None
        while True:
            page = self._opened().call("list-files", path, after, 1000, not self._access)
            yield from page["files"]
            after = page["next"]
            if after is None:
                return

    def _listed(self, file: dict[str, Any]) -> dict[str, Any]:
        modified = file["modified"]
        return {
            "cid": file["cid"],
            "filename": file["filename"] or file["cid"],
            "size": file["size"],
            "modified": None if modified is None else modified / 1000,
            "pinned": file["pinned"],
            "fallback": self.using_fallback,
            "kind": file["kind"],
        }

    def _json(self, cid: str) -> bytes:
        """A value as JSON."""
        return self._opened().function("values", "get-value", cid, "dag-json", not self._access)["bytes"]

    def _register(self, model_id: str, service: dict[str, Any]) -> None:
        store, name = self._opened(), _SERVICE + model_id
        try:
            before = store.function("names", "get-name", name)["cid"]
        except NotFoundError:
            before = None
        value = json.dumps(service, default=str).encode()
        filename = f"service_{_service_name(model_id)}.json"
        options = record(store_codec="dag-json", hash=None, filename=filename, pin=False, offline=True)
        cid = store.function("values", "put-value", value, "dag-json", options)["cid"]
        store.function("names", "set-name", name, cid, Variant("any"))
        if before not in (None, cid):
            with suppress(NotFoundError, DeniedError):  # Denied: it is pinned, or another model is served by the same.
                store.call("delete", before, False)

    def _from_client(self, cid: str) -> bytes | None:
        """What the client has under this CID, which is stored then. What is at a path cannot be proven by itself."""
        if self._client is None or "/" in cid:
            return None
        found = self._client.proven(self._cid(cid))
        if found is None:
            return None
        data, layout = found
        self._write(data, record(filename=None, pin=False, layout=layout, replicate=None))
        return data

    def _tell_client(self, name: str, *args: Any, **named: Any) -> Any | None:
        """What the client's function of this name returns, if it has one."""
        function = self._client.function(name) if self._client is not None else None
        if function is None:
            return None
        try:
            return function(*args, **named)
        except Exception as error:
            logger.warning("The client's %s failed: %s", name, error)
            return None


def _service_name(model_id: str) -> str:
    """A model's name for the client, and for the old cache."""
    return model_id.replace("/", "_")
