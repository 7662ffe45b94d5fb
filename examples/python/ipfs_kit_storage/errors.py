"""Why calls fail: a class for each variant of `error` in `wit/types.wit`, and what only this package meets."""

from __future__ import annotations

from typing import Any


class StorageError(Exception):
    """Why a call failed. Nothing that was acknowledged before is lost by any of these."""

    #: The variant's name in WIT, which is the code in JavaScript and on the command line too.
    code = "error"


class InvalidCidError(StorageError, ValueError):
    """The text is no CID that the engine knows."""

    code = "invalid-cid"


class InvalidArgumentError(StorageError, ValueError):
    """An option or argument is out of its range."""

    code = "invalid-argument"


class NotFoundError(StorageError, LookupError):
    """The store has no such root, or there is nothing at this path, or of this name."""

    code = "not-found"


class NotAvailableOfflineError(StorageError):
    """It is not held locally, and this store may not use the network: put it in, or allow a remote."""

    code = "not-available-offline"
    cid: str
    #: As in WIT: `no-remotes`, `no-network`, `requested`, `denied` …
    reason: str


class UnavailableError(StorageError):
    """It is not held locally, and no remote gave it: ask again later, or allow another remote."""

    code = "unavailable"
    cid: str
    #: Of each remote that was asked, its name and what went wrong.
    attempts: list[tuple[str, str]]


class IntegrityError(StorageError):
    """Bytes offered do not hash to their CID; nothing was stored."""

    code = "integrity"
    cid: str


class QuotaExceededError(StorageError):
    """The limit or the disk is full, and nothing of the call was stored: delete something, or raise the limit."""

    code = "quota-exceeded"
    #: Bytes that the write needs; 0 when the host did not say.
    needed: int
    #: The limit it ran into; 0 when the host did not say.
    limit: int


class CorruptError(StorageError):
    """Stored data is damaged; it was set aside and is not returned. Store it again, or fetch it."""

    code = "corrupt"
    cid: str | None


class DeniedError(StorageError):
    """The operation is refused: the text says what stands in the way."""

    code = "denied"


class ConflictError(StorageError):
    """It was changed meanwhile, and nothing of the call was done: look at it again, and decide anew."""

    code = "conflict"


class LockedError(StorageError):
    """Another process has the store open, or one that was killed had it less than 10 s ago: end it, or wait."""

    code = "locked"


class UnsupportedError(StorageError):
    """Not offered for this kind of data, a directory for instance."""

    code = "unsupported"


class CancelledError(StorageError):
    """The storage was closed, or the file or reader was ended already."""

    code = "cancelled"


class IoError(StorageError):
    """The host failed; the same call may work later."""

    code = "io"


class ForkedError(StorageError):
    """This process was forked from one that used a store, which WebAssembly does not survive: start it with `spawn`."""

    code = "forked"


class NoComponentError(StorageError):
    """The component's file is nowhere where it is looked for; the text says where that is."""

    code = "no-component"


_REASONS = {
    "no-remotes": "no remote is configured; name some in config['remotes'] or IPFS_KIT_REMOTES",
    "force-fallback": "the storage is local only",
    "disabled": "IPFS_KIT_DISABLE is set",
    "no-network": "the storage is local only, or names no remotes",
    "requested": "the storage is local only, or names no remotes",
    "disconnected": "this machine is not connected",
    "denied": "the host denies it",
}


def _plain(kind: type[StorageError], prefix: str) -> Any:
    return lambda text: kind(prefix + text)


def _offline(payload: dict[str, Any]) -> StorageError:
    why = _REASONS.get(payload["reason"], payload["reason"])
    error = NotAvailableOfflineError(f"{payload['cid']} is not held locally, and the network may not be used: {why}")
    error.cid, error.reason = payload["cid"], payload["reason"]
    return error


def _unavailable(payload: dict[str, Any]) -> StorageError:
    attempts = [(attempt["remote"], attempt["reason"]) for attempt in payload["attempts"]]
    said = "; ".join(f"{remote}: {reason}" for remote, reason in attempts)
    error = UnavailableError(f"{payload['cid']} is not held locally, and no remote gave it: {said}; ask again later")
    error.cid, error.attempts = payload["cid"], attempts
    return error


def _integrity(cid: str) -> StorageError:
    error = IntegrityError(f"the bytes offered as {cid} do not hash to it; nothing was stored")
    error.cid = cid
    return error


def _quota(payload: dict[str, Any]) -> StorageError:
    needed, limit = payload["needed"], payload["limit"]
    error = QuotaExceededError(
        f"no room: {needed} bytes needed, limit {limit} (0: unknown); delete something or raise the limit"
    )
    error.needed, error.limit = needed, limit
    return error


def _corrupt(payload: dict[str, Any]) -> StorageError:
    error = CorruptError(f"data is damaged: {payload['detail']}; store it again, or fetch it")
    error.cid = payload["cid"]
    return error


_MAKERS = {
    "invalid-cid": _plain(InvalidCidError, "not a valid CID: "),
    "invalid-argument": _plain(InvalidArgumentError, "invalid argument: "),
    "not-found": _plain(NotFoundError, "not found: "),
    "not-available-offline": _offline,
    "unavailable": _unavailable,
    "integrity": _integrity,
    "quota-exceeded": _quota,
    "corrupt": _corrupt,
    "denied": _plain(DeniedError, "refused: "),
    "conflict": _plain(ConflictError, "changed meanwhile, look at it again: "),
    "locked": _plain(LockedError, "the store is in use: "),
    "unsupported": _plain(UnsupportedError, "not supported: "),
    "cancelled": lambda _: CancelledError("it was cancelled, or ended already"),
    "io": _plain(IoError, "the host failed: "),
}


def from_wit(tag: str, payload: Any) -> StorageError:
    """The exception for a variant of WIT's `error`."""
    make = _MAKERS.get(tag)
    return make(payload) if make else StorageError(f"{tag}: {payload}")
