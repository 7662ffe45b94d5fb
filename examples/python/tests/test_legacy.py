"""A cache directory of the code before."""

import hashlib
import json

import pytest

from ipfs_kit_storage import IPFSKitStorage

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"  # hello world


def old_key(data: bytes) -> str:
    return "bafy" + hashlib.sha256(data).hexdigest()[:56]


def old_store(directory, data: bytes, **metadata) -> str:
    """Stores as the old code did; the key."""
    key = old_key(data)
    (directory / key).write_bytes(data)
    if metadata:
        (directory / f"{key}.meta").write_text(json.dumps(metadata))
    return key


@pytest.fixture
def old(tmp_path):
    """A storage in a directory with an old cache of three files."""
    old_store(tmp_path, b"hello world", filename="hello.txt", fallback=True, pinned=True)
    old_store(tmp_path, bytes(3_000_000), filename="large.bin", pinned=False)
    old_store(tmp_path, b"no metadata")
    with IPFSKitStorage(cache_dir=str(tmp_path), force_fallback=True) as storage:
        yield storage


def test_its_files_are_stored_under_their_cids(old):
    files = {file["filename"]: file for file in old.list_files()}
    assert files["hello.txt"]["cid"] == HELLO
    assert files["hello.txt"]["pinned"] is True
    assert (files["large.bin"]["size"], files["large.bin"]["pinned"]) == (3_000_000, False)
    assert len(files) == 3
    assert old.retrieve(HELLO) == b"hello world"


def test_its_keys_stand_for_their_cids(old):
    key = old_key(bytes(3_000_000))
    assert old.exists(key) is True
    assert old.retrieve(key) == bytes(3_000_000)
    assert b"".join(old.stream(key)) == bytes(3_000_000)
    assert old.pin(key) is True
    assert old.unpin(key) is True
    assert old.retrieve(old_key(b"never stored")) is None


def test_what_is_deleted_does_not_come_back(old):
    key = old_key(b"hello world")
    assert old.delete(key) is True
    assert old.exists(key) is False
    old.close()
    with IPFSKitStorage(cache_dir=str(old.cache_dir), force_fallback=True) as again:
        assert again.exists(key) is False
        assert len(again.list_files()) == 2
        assert again.retrieve(old_key(b"no metadata")) == b"no metadata"


def test_its_files_stay_as_they_are(old):
    before = {path.name: path.read_bytes() for path in old.cache_dir.iterdir() if path.is_file()}
    old.list_files()
    old.delete(old_key(b"hello world"))
    assert (
        before.items() <= {path.name: path.read_bytes() for path in old.cache_dir.iterdir() if path.is_file()}.items()
    )


def test_later_files_are_imported_when_asked(old):
    old.list_files()
    key = old_store(old.cache_dir, b"written by the old code since")
    assert old.retrieve(key) is None
    another = IPFSKitStorage(cache_dir=str(old.cache_dir), force_fallback=True)
    assert another.retrieve(key) is None
    assert old.import_legacy()[old_key(b"hello world")] == HELLO
    assert old.retrieve(key) == another.retrieve(key) == b"written by the old code since"


def test_what_cannot_be_imported_is_told(old, caplog):
    changed = old_store(old.cache_dir, b"before")
    (old.cache_dir / changed).write_bytes(b"after")
    (old.cache_dir / f"{old_key(b'lost')}.meta").write_text("{}")
    assert old.retrieve(changed) == b"after"
    assert f"{changed} of the old cache has other bytes" in caplog.text
    assert f"{old_key(b'lost')} of the old cache is not imported" in caplog.text


def test_its_model_services_are_found(old):
    service = {"model_id": "org/model", "serving_config": {"engine": "tgi"}}
    (old.cache_dir / "service_org_model.json").write_text(json.dumps(service))
    (old.cache_dir / "service_broken.json").write_text("{")
    assert old.get_model_service_config("org/model") == service
    assert old.get_model_service_config("org_model") is None
    assert old.get_model_service_config("broken") is None
    (old.cache_dir / "service_org_model.json").unlink()
    assert old.get_model_service_config("org/model") == service


def test_a_directory_without_one_gets_nothing(tmp_path):
    (tmp_path / "other.txt").write_text("x")
    with IPFSKitStorage(cache_dir=str(tmp_path), force_fallback=True) as storage:
        assert storage.list_files() == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["ipfs-kit-storage", "other.txt"]
        assert storage.import_legacy() == {}
