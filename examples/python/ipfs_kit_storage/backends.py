"""Who keeps copies, and where copies are to be: the same JSON that the command reads from the file of `--backends`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wasmtime.component import Record, Variant

from .component import record
from .errors import InvalidArgumentError

_LAYOUTS = {"car": "archives", "blocks": "blocks"}
_BY_PUT = {"post": False, "put": True}


@dataclass(frozen=True)
class Access:
    """Whom a store may ask, and give to; nobody, without any of it."""

    remotes: tuple[str, ...] = ()
    #: Tells two configurations apart, and shows nothing of them.
    digest: str = ""
    backends: tuple[Record, ...] = field(default=(), compare=False)
    policy: Record | None = field(default=None, compare=False)

    def __bool__(self) -> bool:
        return bool(self.remotes or self.backends)

    def __repr__(self) -> str:
        names = ", ".join(vars(backend)["name"] for backend in self.backends)
        return f"remotes {', '.join(self.remotes) or 'none'}, backends {names or 'none'}"


def access(remotes: tuple[str, ...], config: Mapping[str, Any]) -> Access:
    """What `config["backends"]` and `config["policy"]` say, beside these remotes."""
    given = config.get("backends") or []
    if not isinstance(given, (list, tuple)):
        raise _wrong("config['backends'] is no list")
    asked = config.get("policy")
    digest = hashlib.sha256(repr((given, asked)).encode()).hexdigest()
    return Access(remotes, digest, tuple(map(backend, given)), policy(asked))


def backend(given: Any) -> Record:
    """A backend of WIT."""
    fields = _Fields(given, "a backend")
    name, kind = fields.text("name"), fields.text("kind")
    if kind == "kubo":
        keeper = Variant("kubo", fields.text("url"))
    elif kind == "cluster":
        keeper = Variant("cluster", record(api=fields.endpoint("api"), gateway=fields.text("gateway")))
    elif kind == "s3":
        keeper = Variant("s3", _bucket(fields))
    elif kind == "archive":
        keeper = Variant("archive", _archive(fields))
    else:
        raise _wrong(f"no kind {kind!r} of backend; there are kubo, cluster, s3 and archive")
    limits = {"at_once": fields.number("atOnce"), "bytes_per_second": fields.number("bytesPerSecond")}
    fields.end()
    return record(name=name, keeper=keeper, **limits)


def _bucket(fields: _Fields) -> Record:
    return record(
        endpoint=fields.text("endpoint"),
        region=fields.text("region"),
        name=fields.text("bucket"),
        prefix=fields.text("prefix", ""),
        layout=fields.one_of("layout", _LAYOUTS, "car"),
        access_key=fields.secret("accessKey"),
        secret_key=fields.secret("secretKey"),
        session_token=fields.secret("sessionToken", None),
    )


def _archive(fields: _Fields) -> Record:
    return record(
        upload=fields.endpoint("upload"),
        by_put=fields.one_of("by", _BY_PUT, "post"),
        pins=fields.endpoint("pins"),
        gateway=fields.text("gateway"),
        origins=fields.texts("origins") or [],
    )


def policy(given: Any) -> Record | None:
    """A policy of WIT; none says nothing."""
    if given is None:
        return None
    fields = _Fields(given, "the policy")
    # An option of a variant: wasmtime has no tags but where values would not tell the cases apart.
    read_back = fields.take("readBack", None)
    if read_back is None:
        read_back = Variant("none")
    else:
        read_back = Variant("some", None if read_back == "all" else _whole("readBack", read_back))
    archive = fields.take("archive", None)
    made = record(
        backends=fields.texts("backends"),
        copies=fields.number("copies"),
        read_back=read_back,
        evict_with=fields.number("evictWith"),
        pin=fields.flag("pin"),
        audit_days=fields.number("auditDays"),
        archive=None if archive is None else _archive_rule(archive),
        local_days=fields.number("localDays"),
    )
    fields.end()
    return made


def _archive_rule(given: Any) -> Record:
    fields = _Fields(given, "the policy's archive")
    made = record(
        backend=fields.text("backend"),
        days=_whole("days", fields.take("days")),
        moves=fields.flag("moves") or False,
    )
    fields.end()
    return made


_NEEDED = object()


class _Fields:
    """A dict of which each field is taken once, and none is left over. What is in a wrong place may be a secret, so that
    no error shows a value."""

    def __init__(self, given: Any, what: str) -> None:
        if not isinstance(given, Mapping):
            raise _wrong(f"{what} is no dict")
        self._given, self._what = dict(given), what

    def take(self, name: str, default: Any = _NEEDED) -> Any:
        found = self._given.pop(name, default)
        if found is _NEEDED:
            raise _wrong(f"{self._what} has no {name}")
        return found

    def text(self, name: str, default: Any = _NEEDED) -> Any:
        found = self.take(name, default)
        if found is not default and not isinstance(found, str):
            raise _wrong(f"{name} of {self._what} is no text")
        return found

    def texts(self, name: str) -> list[str] | None:
        found = self.take(name, None)
        if found is not None and (isinstance(found, str) or not all(isinstance(text, str) for text in found)):
            raise _wrong(f"{name} of {self._what} is no list of texts")
        return None if found is None else list(found)

    def number(self, name: str) -> int | None:
        found = self.take(name, None)
        return None if found is None else _whole(name, found)

    def flag(self, name: str) -> bool | None:
        found = self.take(name, None)
        if found is not None and not isinstance(found, bool):
            raise _wrong(f"{name} of {self._what} is neither True nor False")
        return found

    def one_of(self, name: str, known: Mapping[str, Any], default: str) -> Any:
        found = self.text(name, default)
        if found not in known:
            raise _wrong(f"{name} of {self._what} is one of {', '.join(known)}")
        return known[found]

    def secret(self, name: str, default: Any = _NEEDED) -> Any:
        """A text, or the environment variable that has it: `{"env": "NAME"}`."""
        if not isinstance(self._given.get(name), Mapping):
            return self.text(name, default)
        place = _Fields(self.take(name), "a secret")
        variable = place.text("env")
        place.end()
        if variable not in os.environ:
            raise _wrong(f"{variable} is not in the environment")
        return os.environ[variable]

    def endpoint(self, name: str) -> Record:
        """A URL, or a dict of a `url` and a `token`, or a `user` and a `password`."""
        if not isinstance(self._given.get(name), Mapping):
            return record(url=self.text(name), credentials=None)
        service = _Fields(self.take(name), "a service")
        url, token, user = service.text("url"), service.secret("token", None), service.text("user", None)
        if token is not None and user is not None:
            raise _wrong("a service with a token and a user: it is one or the other")
        credentials = token if user is None else record(name=user, password=service.secret("password"))
        service.end()
        return record(url=url, credentials=credentials)

    def end(self) -> None:
        if self._given:
            raise _wrong(f"{self._what} has no field {next(iter(self._given))!r}")


def _whole(name: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise _wrong(f"{name} is no whole number")
    return given


def _wrong(problem: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"invalid argument: in what configures the backends: {problem}")
