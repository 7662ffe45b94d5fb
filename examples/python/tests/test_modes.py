"""Where a storage is, and whom it may ask."""

import http.server
import logging
import threading
from pathlib import Path

import pytest

from ipfs_kit_storage import (
    InvalidArgumentError,
    IPFSKitStorage,
    LockedError,
    NoComponentError,
    NotAvailableOfflineError,
    StorageBackendConfig,
    UnavailableError,
)

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"  # hello world
OTHER = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"  # hello


class Gateway(http.server.BaseHTTPRequestHandler):
    """A trustless gateway on this machine, which has blocks, and notes what it was asked for."""

    blocks: dict[str, bytes]
    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        cid = self.path.split("/ipfs/")[-1].split("?")[0]
        block = self.blocks.get(cid)
        wants_block = "format=raw" in self.path or "vnd.ipld.raw" in self.headers.get("Accept", "")
        self.send_response(404 if block is None else 200 if wants_block else 501)
        if block is not None and wants_block:
            self.send_header("Content-Type", "application/vnd.ipld.raw")
            self.send_header("Content-Length", str(len(block)))
            self.end_headers()
            self.wfile.write(block)
        else:
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def gateway():
    handler = type("Handler", (Gateway,), {"blocks": {HELLO: b"hello world"}, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    handler.address = f"http://127.0.0.1:{server.server_port}"
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def remote(tmp_path, gateway):
    with IPFSKitStorage(cache_dir=str(tmp_path / "cache"), config={"remotes": [gateway.address]}) as storage:
        yield storage


class TestDirectory:
    def test_the_one_given(self, tmp_path):
        chosen = tmp_path / "nested" / "cache"
        storage = IPFSKitStorage(cache_dir=str(chosen), force_fallback=True)
        assert storage.cache_dir == chosen
        assert chosen.is_dir()

    def test_of_the_environment_in_this_order(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert IPFSKitStorage().cache_dir == tmp_path / "home/.cache/ipfs_accelerate"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert IPFSKitStorage().cache_dir == tmp_path / "xdg/ipfs_accelerate"
        monkeypatch.setenv("IPFS_KIT_CACHE_DIR", str(tmp_path / "kit"))
        assert IPFSKitStorage().cache_dir == tmp_path / "kit"
        monkeypatch.setenv("IPFS_ACCELERATE_CACHE_DIR", str(tmp_path / "accelerate"))
        assert IPFSKitStorage().cache_dir == tmp_path / "accelerate"
        assert IPFSKitStorage(cache_dir=str(tmp_path / "given")).cache_dir == tmp_path / "given"

    def test_tildes_are_homes(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert IPFSKitStorage(cache_dir="~/here").cache_dir == tmp_path / "here"

    def test_one_that_cannot_be_written_is_replaced_and_told(self, tmp_path, monkeypatch, caplog):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        storage = IPFSKitStorage(cache_dir="/proc/nowhere", force_fallback=True)
        assert storage.cache_dir.parent == tmp_path
        assert storage.cache_dir.stat().st_mode & 0o777 == 0o700
        assert "/proc/nowhere cannot be written" in caplog.text
        assert storage.exists(storage.store(b"x"))

    def test_when_nothing_can_be_written_it_raises(self, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", "/proc")
        with pytest.raises(OSError):
            IPFSKitStorage(cache_dir="/proc/nowhere", force_fallback=True)


class TestLocal:
    @pytest.mark.parametrize("value", ["1", "true", "YES"])
    def test_the_environment_locks_down(self, tmp_path, monkeypatch, gateway, value):
        monkeypatch.setenv("IPFS_KIT_DISABLE", value)
        self.asks_nobody(IPFSKitStorage(cache_dir=str(tmp_path), config={"remotes": [gateway.address]}), gateway)

    @pytest.mark.parametrize("options", [{"force_fallback": True}, {"enable_ipfs_kit": False}])
    def test_so_do_these_options(self, tmp_path, monkeypatch, gateway, options):
        monkeypatch.setenv("IPFS_KIT_REMOTES", gateway.address)
        client = {"cat": lambda cid: gateway.asked.append(cid)}
        self.asks_nobody(IPFSKitStorage(cache_dir=str(tmp_path), ipfs_kit_client=client, **options), gateway)

    def test_so_does_naming_nobody(self, tmp_path, gateway):
        storage = IPFSKitStorage(cache_dir=str(tmp_path))
        assert storage.force_fallback is False
        self.asks_nobody(storage, gateway)

    def asks_nobody(self, storage, gateway):
        assert storage.using_fallback is True
        assert storage.is_available() is False
        assert storage.retrieve(HELLO) is None
        assert storage.pin(HELLO) is False
        assert storage.get_backend_status()["store"]["local_only"] == "no-network"
        assert gateway.asked == []

    def test_other_values_do_not(self, tmp_path, monkeypatch, gateway):
        monkeypatch.setenv("IPFS_KIT_DISABLE", "0")
        monkeypatch.setenv("IPFS_KIT_REMOTES", gateway.address)
        assert IPFSKitStorage(cache_dir=str(tmp_path)).retrieve(HELLO) == b"hello world"


class TestRemotes:
    def test_what_is_not_here_is_fetched_once_and_kept(self, remote, gateway):
        assert (remote.using_fallback, remote.is_available()) == (False, True)
        assert remote.exists(HELLO) is False
        assert remote.retrieve(HELLO) == b"hello world"
        asked = len(gateway.asked)
        assert remote.exists(HELLO) is True
        assert remote.retrieve(HELLO) == b"hello world"
        assert len(gateway.asked) == asked > 0
        assert [file["cid"] for file in remote.list_files()] == [HELLO]

    def test_status_has_the_evidence(self, remote, gateway):
        remote.retrieve(HELLO)
        status = remote.get_backend_status()
        assert status["backends"]["ipfs"] is True
        (backend,) = [one for one in status["store"]["backends"] if one["name"] != "local"]
        assert (backend["name"], backend["kind"], backend["state"]) == (gateway.address, "gateway", "available")
        assert backend["bytes_in"] >= len(b"hello world")

    def test_pin_fetches(self, remote):
        assert remote.pin(HELLO) is True
        (file,) = remote.list_files()
        assert file["pinned"] is True

    def test_what_nobody_has_is_none(self, remote):
        assert remote.retrieve(OTHER) is None
        with pytest.raises(UnavailableError) as caught:
            next(remote.stream(OTHER))
        assert caught.value.cid == OTHER
        assert caught.value.attempts

    def test_what_is_false_is_not_kept(self, remote, gateway):
        gateway.blocks[OTHER] = b"something else"
        assert remote.retrieve(OTHER) is None
        assert remote.exists(OTHER) is False

    def test_a_remote_that_is_none_raises(self, tmp_path):
        with pytest.raises(InvalidArgumentError):
            IPFSKitStorage(cache_dir=str(tmp_path), config={"remotes": "http://127.0.0.1:1"})
        with pytest.raises(InvalidArgumentError):
            IPFSKitStorage(cache_dir=str(tmp_path), config={"remotes": ["gopher://example"]}).list_files()

    def test_a_local_storage_of_the_same_folder_still_asks_nobody(self, tmp_path, gateway):
        here = str(tmp_path)
        local = IPFSKitStorage(cache_dir=here, force_fallback=True)
        cid = local.store(b"hello")
        remote = IPFSKitStorage(cache_dir=here, config={"remotes": [gateway.address]})
        assert remote.retrieve(cid) == b"hello"
        assert gateway.asked == []
        assert local.retrieve(HELLO) is None
        assert local.pin(HELLO) is False
        with pytest.raises(NotAvailableOfflineError) as caught:
            local.list_files(HELLO)
        assert caught.value.reason == "requested"
        assert gateway.asked == []
        assert remote.retrieve(HELLO) == b"hello world"
        assert local.retrieve(HELLO) == b"hello world"

    def test_other_remotes_for_the_same_folder_are_refused(self, remote, gateway):
        remote.list_files()
        other = IPFSKitStorage(cache_dir=str(remote.cache_dir), config={"remotes": ["http://127.0.0.1:1"]})
        with pytest.raises(InvalidArgumentError, match="close that storage first"):
            other.list_files()

    def test_nobody_is_allowed_while_a_file_is_read(self, tmp_path, gateway):
        local = IPFSKitStorage(cache_dir=str(tmp_path), force_fallback=True)
        stream = local.stream(local.store(bytes(200_000)))
        next(stream)
        remote = IPFSKitStorage(cache_dir=str(tmp_path), config={"remotes": [gateway.address]})
        with pytest.raises(LockedError, match="when they have ended"):
            remote.retrieve(HELLO)
        assert sum(map(len, stream)) == 200_000 - 65_536
        assert remote.retrieve(HELLO) == b"hello world"


class TestConfiguration:
    def test_is_kept_as_it_is(self, tmp_path):
        given = {"enable_ipfs": True, "custom_option": "value"}
        assert IPFSKitStorage(cache_dir=str(tmp_path), config=given).config == given
        assert IPFSKitStorage(cache_dir=str(tmp_path)).config == {}

    def test_backend_config(self, tmp_path):
        settings = StorageBackendConfig()
        assert vars(settings) == {
            "enable_ipfs": True,
            "enable_s3": False,
            "enable_filecoin": False,
            "enable_local": True,
            "cache_dir": "~/.cache/ipfs_accelerate",
            "ipfs_kit_available": False,
            "cache_memory_mb": 100,
            "cache_disk_mb": 1024,
            "cache_eviction_policy": "lru",
        }
        assert IPFSKitStorage(cache_dir=str(tmp_path), config=vars(settings)).config["enable_s3"] is False

    def test_a_component_that_is_nowhere(self, tmp_path, monkeypatch):
        monkeypatch.setenv("IPFS_KIT_STORAGE_COMPONENTS", str(tmp_path))
        with pytest.raises(NoComponentError, match="IPFS_KIT_STORAGE_COMPONENTS"):
            IPFSKitStorage(cache_dir=str(tmp_path))


def ipfs_client(files, asked=None):
    def cat(path):
        if asked is not None:
            asked.append(path)
        return files.get(path)

    return {"cat": cat}


class TestClient:
    def storage(self, tmp_path, client):
        return IPFSKitStorage(cache_dir=str(tmp_path / "cache"), ipfs_kit_client=client)

    def test_is_asked_for_what_is_not_here_and_once(self, tmp_path):
        asked = []
        storage = self.storage(tmp_path, ipfs_client({HELLO: b"hello world"}, asked))
        assert (storage.using_fallback, storage.is_available()) == (False, True)
        assert storage.retrieve(HELLO) == b"hello world"
        assert storage.retrieve(HELLO) == b"hello world"
        assert asked == [HELLO]
        assert [file["cid"] for file in storage.list_files()] == [HELLO]
        assert storage.retrieve(OTHER) is None

    def test_by_the_other_path_too(self, tmp_path):
        assert self.storage(tmp_path, ipfs_client({f"/ipfs/{HELLO}": b"hello world"})).retrieve(HELLO) == b"hello world"

    @pytest.mark.parametrize("cid", [HELLO, "bafyremote"])
    def test_what_it_gives_must_have_that_cid(self, tmp_path, caplog, cid):
        storage = self.storage(tmp_path, ipfs_client({cid: b"something else"}))
        assert storage.retrieve(cid) is None
        assert storage.list_files() == []
        assert "does not have this CID" in caplog.text

    @pytest.mark.parametrize("variant", ["unixfs-v1-2025", "unixfs-v0-2015", "cidv1"])
    def test_large_files_are_proven_however_they_were_cut(self, tmp_path, vectors, variant):
        from conftest import pattern

        for size in ("1048577", "10485760"):
            cid = vectors[variant][size]
            storage = self.storage(tmp_path, ipfs_client({cid: pattern(int(size))}))
            assert storage.retrieve(cid) == pattern(int(size))
            assert storage.exists(cid)

    @pytest.mark.parametrize("wrap", [bytearray, memoryview, bytes.decode, lambda data: {"content": data}])
    def test_what_it_may_give(self, tmp_path, wrap):
        assert self.storage(tmp_path, ipfs_client({HELLO: wrap(b"hello world")})).retrieve(HELLO) == b"hello world"

    @pytest.mark.parametrize("wrap", [str, lambda path: {"path": str(path)}])
    def test_or_where_it_put_it(self, tmp_path, wrap):
        file = tmp_path / "fetched"
        file.write_bytes(b"hello world")
        assert self.storage(tmp_path, ipfs_client({HELLO: wrap(file)})).retrieve(HELLO) == b"hello world"

    def test_an_object_within_a_dict_is_asked_and_failing_ones_passed_over(self, tmp_path):
        class Node:
            def get(self, cid):
                return b"hello world"

        def fails(cid):
            raise OSError("no daemon")

        client = {"cat": fails, "backend": Node(), "kind": Node, "available": True}
        assert self.storage(tmp_path, client).retrieve(HELLO) == b"hello world"

    def test_hears_of_limits_and_services(self, tmp_path):
        heard = []
        client = {
            "configure_cache": lambda **limits: heard.append(limits),
            "register_service": lambda name, service: heard.append((name, service)),
            "get_service_config": lambda name: {"model_id": name} if name == "else_where" else None,
        }
        storage = self.storage(tmp_path, client)
        storage.configure_cache(memory_mb=1, disk_mb=2, eviction_policy="arc")
        storage.register_model_service("a/b", {"is": 1})
        assert heard == [
            {"memory_mb": 1, "disk_mb": 2, "eviction_policy": "arc"},
            ("a_b", {"model_id": "a/b", "serving_config": {"is": 1}}),
        ]
        assert storage.get_model_service_config("else/where") == {"model_id": "else_where"}
        assert storage.get_model_service_config("no/where") is None


def test_what_cannot_be_done_is_logged(storage, caplog):
    caplog.set_level(logging.INFO)
    storage.pin(HELLO)
    assert HELLO in caplog.text and "remotes" in caplog.text
    assert isinstance(storage.cache_dir, Path)
