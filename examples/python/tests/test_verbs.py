"""Each verb, on a local storage."""

import time
from pathlib import Path

import pytest
from conftest import pattern

from ipfs_kit_storage import (
    CancelledError,
    CorruptError,
    InvalidArgumentError,
    IPFSKitStorage,
    NotAvailableOfflineError,
    QuotaExceededError,
    UnsupportedError,
)

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"  # hello world
ABSENT = "bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy"
# A CIDv1 of a directory without entries, which every IPFS node has.
EMPTY_DIRECTORY = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"


class TestStore:
    def test_gives_the_cid_that_kubo_gives(self, storage, vectors):
        for size, cid in vectors["unixfs-v1-2025"].items():
            assert storage.store(pattern(int(size))) == cid

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_takes_bytes(self, storage, kind):
        assert storage.store(kind(b"hello world")) == HELLO

    def test_takes_text_as_utf_8(self, storage):
        assert storage.store("hello world") == HELLO
        assert storage.retrieve(storage.store("grün")) == "grün".encode()

    def test_takes_text_for_text_even_if_a_file_has_that_name(self, storage, tmp_path):
        file = tmp_path / "file.txt"
        file.write_bytes(b"hello world")
        assert storage.retrieve(storage.store(str(file))) == str(file).encode()

    def test_takes_a_path_for_the_file_there(self, storage, tmp_path):
        file = tmp_path / "file.txt"
        file.write_bytes(b"hello world")
        assert storage.store(file) == HELLO

    def test_a_large_file_has_the_same_cid_from_a_path(self, storage, tmp_path, vectors):
        file = tmp_path / "large"
        file.write_bytes(pattern(10_485_760))
        cid = storage.store(file)
        assert cid == vectors["unixfs-v1-2025"]["10485760"]
        assert storage.retrieve(cid) == pattern(10_485_760)

    def test_a_path_without_a_file_raises(self, storage):
        with pytest.raises(FileNotFoundError):
            storage.store(Path("/nonexistent/file.txt"))
        assert storage.list_files() == []

    def test_a_directory_raises(self, storage, tmp_path):
        with pytest.raises(IsADirectoryError):
            storage.store(tmp_path)

    def test_other_things_raise(self, storage):
        with pytest.raises(TypeError, match="int"):
            storage.store(5)

    def test_a_name_that_is_too_long_raises(self, storage):
        with pytest.raises(InvalidArgumentError) as caught:
            storage.store(b"x", filename="n" * 5000)
        assert caught.value.code == "invalid-argument"

    def test_the_same_content_is_stored_once(self, storage):
        assert storage.store(b"same", filename="one.txt") == storage.store(b"same", filename="two.txt")
        assert [file["filename"] for file in storage.list_files()] == ["two.txt"]
        assert storage.store(b"other") != storage.store(b"same")


class TestRetrieve:
    @pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_048_577])
    def test_gives_back_what_was_stored(self, storage, size):
        assert storage.retrieve(storage.store(pattern(size))) == pattern(size)

    @pytest.mark.parametrize("cid", [ABSENT, "bafynonexistent", "", "../etc/passwd"])
    def test_what_is_not_there_is_none(self, storage, cid):
        assert storage.retrieve(cid) is None

    def test_after_a_restart(self, storage):
        cid = storage.store(b"kept", filename="kept.txt", pin=True)
        storage.close()
        with IPFSKitStorage(cache_dir=str(storage.cache_dir), force_fallback=True) as again:
            assert again.retrieve(cid) == b"kept"
            (file,) = again.list_files()
            assert (file["filename"], file["pinned"]) == ("kept.txt", True)

    def test_of_a_closed_storage_raises(self, storage):
        cid = storage.store(b"kept")
        storage.close()
        with pytest.raises(CancelledError):
            storage.retrieve(cid)

    def test_what_is_damaged_on_disk_raises(self, storage):
        cid = storage.store(b"some bytes that are easily found", filename="a")
        storage.close()
        damaged = 0
        for file in storage.cache_dir.rglob("*"):
            if file.is_file() and b"easily found" in file.read_bytes():
                file.write_bytes(file.read_bytes().replace(b"easily found", b"easily f0und"))
                damaged += 1
        assert damaged
        with IPFSKitStorage(cache_dir=str(storage.cache_dir), force_fallback=True) as again:
            with pytest.raises(CorruptError) as caught:
                again.retrieve(cid)
            assert "store it again" in str(caught.value)
            assert again.store(b"some bytes that are easily found") == cid
            assert again.retrieve(cid) == b"some bytes that are easily found"

    def test_a_stream_has_small_pieces_and_says_what_is_missing(self, storage):
        pieces = list(storage.stream(storage.store(pattern(1_000_000))))
        assert b"".join(pieces) == pattern(1_000_000)
        assert max(map(len, pieces)) <= 65_536
        with pytest.raises(NotAvailableOfflineError) as caught:
            next(storage.stream(ABSENT))
        assert (caught.value.cid, caught.value.reason) == (ABSENT, "no-network")

    def test_a_stream_that_is_left_keeps_nothing_from_going_on(self, storage):
        cid = storage.store(pattern(1_000_000))
        stream = storage.stream(cid)
        next(stream)
        stream.close()
        assert storage.delete(cid) is True


class TestExistsAndDelete:
    def test_exists_until_deleted(self, storage):
        cid = storage.store(b"there")
        assert storage.exists(cid) is True
        assert storage.delete(cid) is True
        assert storage.exists(cid) is False
        assert storage.retrieve(cid) is None
        assert storage.list_files() == []

    @pytest.mark.parametrize("cid", [ABSENT, "bafynonexistent"])
    def test_what_is_not_there(self, storage, cid):
        assert storage.exists(cid) is False
        assert storage.delete(cid) is False

    def test_deletes_what_is_pinned(self, storage):
        cid = storage.store(b"pinned", pin=True)
        assert storage.delete(cid) is True
        assert storage.exists(cid) is False

    def test_what_others_need_stays(self, storage):
        large = storage.store(pattern(2_097_152))
        part = storage.store(pattern(1_048_576))
        assert storage.delete(part) is True
        assert storage.retrieve(large) == pattern(2_097_152)


class TestPins:
    def pinned(self, storage):
        return [file["pinned"] for file in storage.list_files()]

    def test_pin_and_unpin(self, storage):
        cid = storage.store(b"content")
        assert self.pinned(storage) == [False]
        assert storage.pin(cid) is True
        assert self.pinned(storage) == [True]
        assert storage.unpin(cid) is True
        assert self.pinned(storage) == [False]
        assert storage.retrieve(cid) == b"content"

    def test_pinned_as_it_is_stored(self, storage):
        storage.store(b"content", pin=True)
        assert self.pinned(storage) == [True]
        storage.store(b"content", pin=False)
        assert self.pinned(storage) == [True]

    @pytest.mark.parametrize("cid", [ABSENT, "bafynonexistent"])
    def test_nothing_is_pinned_that_is_not_there(self, storage, cid):
        assert storage.pin(cid) is False
        assert storage.unpin(cid) is False

    def test_what_is_pinned_makes_no_room(self, storage):
        storage.configure_cache(disk_mb=1)
        kept = storage.store(bytes(600_000), pin=True)
        for number in range(5):
            storage.store(bytes([number + 1]) * 300_000)
        assert storage.exists(kept)
        assert len(storage.list_files()) < 6


class TestListFiles:
    def test_empty(self, storage):
        assert storage.list_files() == []

    def test_tells_of_each_file(self, storage):
        before = time.time() - 1
        cid = storage.store(b"12345", filename="five.txt", pin=True)
        (file,) = storage.list_files()
        assert before < file.pop("modified") < time.time() + 1
        assert file == {
            "cid": cid,
            "filename": "five.txt",
            "size": 5,
            "pinned": True,
            "fallback": True,
            "kind": "file",
        }

    def test_a_file_without_a_name_has_its_cid_for_one(self, storage):
        cid = storage.store(b"x")
        assert [file["filename"] for file in storage.list_files()] == [cid]

    def test_by_the_beginning_of_their_names(self, storage):
        model = storage.store(b"m", filename="models/a.bin")
        storage.store(b"n", filename="models-old.bin")
        assert [file["cid"] for file in storage.list_files("/models/")] == [model]
        assert [file["cid"] for file in storage.list_files("models")] == [model]
        assert storage.list_files("/nothing") == []

    def test_more_than_one_page(self, storage):
        cids = {storage.store(str(number)) for number in range(1_001)}
        assert {file["cid"] for file in storage.list_files()} == cids

    def test_a_directory_that_is_not_here_raises(self, storage):
        with pytest.raises(NotAvailableOfflineError):
            storage.list_files(EMPTY_DIRECTORY)


class TestStatusAndLimits:
    def test_status(self, storage):
        storage.store(b"12345", pin=True)
        status = storage.get_backend_status()
        assert status["ipfs_kit_available"] is False
        assert status["using_fallback"] is True
        assert status["cache_dir"] == str(storage.cache_dir)
        assert status["backends"] == {"local": True, "ipfs": False, "s3": False, "filecoin": False}
        assert (status["store"]["blocks"], status["store"]["bytes"], status["store"]["pinned"]) == (1, 5, 1)
        assert [backend["kind"] for backend in status["store"]["backends"]] == ["pack"]

    def test_configure_cache_tells_what_holds(self, storage):
        told = storage.configure_cache(memory_mb=50, disk_mb=512, eviction_policy="lfu")
        assert told == {"memory_mb": 50, "disk_mb": 512, "eviction_policy": "lfu", "using_fallback": True}
        limits = storage.get_backend_status()["store"]
        assert (limits["memory_limit"], limits["disk_limit"]) == (50 << 20, 512 << 20)

    def test_files_make_room(self, storage):
        storage.configure_cache(disk_mb=1)
        first = storage.store(bytes(500_000))
        storage.store(b"1" * 500_000)
        last = storage.store(b"2" * 500_000)
        assert not storage.exists(first)
        assert storage.exists(last)

    def test_no_room_at_all_raises(self, storage):
        storage.configure_cache(disk_mb=0)
        with pytest.raises(QuotaExceededError) as caught:
            storage.store(b"12345")
        assert caught.value.limit == 0
        assert caught.value.needed >= 5

    @pytest.mark.parametrize("limits", [{"eviction_policy": "random"}, {"disk_mb": -1}])
    def test_limits_that_are_none_raise(self, storage, limits):
        with pytest.raises(InvalidArgumentError):
            storage.configure_cache(**limits)


class TestModelServices:
    CONFIG = {"engine": "vllm", "launch_args": {"--tp": 2}, "scale": 1.5, "tags": ["a", None, True]}

    def test_registers_and_gives_back(self, storage):
        assert storage.register_model_service("test/my-model", self.CONFIG) is True
        assert storage.get_model_service_config("test/my-model") == {
            "model_id": "test/my-model",
            "serving_config": self.CONFIG,
        }

    def test_an_unknown_model_is_none(self, storage):
        assert storage.get_model_service_config("does/not-exist") is None
        assert storage.get_model_service_config("") is None

    def test_models_whose_names_are_alike_are_not_confused(self, storage):
        storage.register_model_service("a/b", {"is": 1})
        storage.register_model_service("a_b", {"is": 2})
        assert storage.get_model_service_config("a/b")["serving_config"] == {"is": 1}
        assert storage.get_model_service_config("a_b")["serving_config"] == {"is": 2}

    def test_the_latest_counts_and_leaves_nothing_of_the_one_before(self, storage):
        storage.register_model_service("m", {"is": 1})
        storage.register_model_service("m", {"is": 2})
        storage.register_model_service("m", {"is": 2})
        assert storage.get_model_service_config("m")["serving_config"] == {"is": 2}
        (file,) = storage.list_files()
        assert (file["filename"], file["kind"]) == ("service_m.json", "value")
        assert storage.retrieve(file["cid"]) == b'{"model_id":"m","serving_config":{"is":2}}'

    def test_one_that_serves_two_models_stays_for_the_other(self, storage):
        cid = self.name_of(storage, "m")
        store = storage._opened()
        from wasmtime.component import Variant

        store.function("names", "set-name", "service/other", cid, Variant("any"))
        storage.register_model_service("m", {"is": 2})
        assert storage.exists(cid)

    def name_of(self, storage, model):
        storage.register_model_service(model, {"is": 1})
        (file,) = storage.list_files()
        return file["cid"]

    def test_what_json_does_not_know_is_text(self, storage):
        assert storage.register_model_service("m", {"path": Path("/models/m")}) is True
        assert storage.get_model_service_config("m")["serving_config"] == {"path": "/models/m"}

    @pytest.mark.parametrize("config", [{"scale": float("nan")}, {("a", "b"): 1}, {"size": 2**80}])
    def test_what_cannot_be_kept_is_not_said_to_be(self, storage, config):
        assert storage.register_model_service("m", config) is False
        assert storage.get_model_service_config("m") is None

    def test_survives_a_restart_and_makes_no_room(self, storage):
        storage.register_model_service("m", self.CONFIG)
        storage.close()
        with IPFSKitStorage(cache_dir=str(storage.cache_dir), force_fallback=True) as again:
            again.configure_cache(disk_mb=1)
            for number in range(5):
                again.store(bytes([number]) * 500_000)
            assert again.get_model_service_config("m")["serving_config"] == self.CONFIG


def test_a_directory_is_listed_and_not_retrieved(storage):
    """It comes in as it does from another host of the store: this class stores files alone."""
    from ipfs_kit_storage.component import record

    store = storage._opened()
    metadata = record(mode=None, mtime=None)
    options = record(filename="site", pin=False, layout=None, replicate=None)
    with store._resource("storage", "[method]handle.create-tree", options) as (instance, tree):
        store._on(instance, "storage", "[method]tree-writer.file", tree, "docs/a.txt", b"hello world", metadata)
        root = store._on(instance, "storage", "[method]tree-writer.finish", tree)["cid"]
    assert [file["filename"] for file in storage.list_files(f"{root}/docs")] == ["a.txt"]
    assert storage.retrieve(f"{root}/docs/a.txt") == b"hello world"
    with pytest.raises(UnsupportedError):
        storage.retrieve(root)
