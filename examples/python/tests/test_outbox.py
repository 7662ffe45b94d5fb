"""Copies elsewhere: by policy, queued with what is stored, counted when they were read back."""

import json
import subprocess

import pytest
from conftest import REPOSITORY, pattern

from ipfs_kit_storage import InvalidArgumentError, IPFSKitStorage, NotAvailableOfflineError

SECRET = "known to tests"


class Counterpart:
    """A server of the tests, in a process of its own."""

    def __init__(self, kind):
        main = REPOSITORY / "tests/counterparts/main.mjs"
        self._process = subprocess.Popen(["node", main, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = json.loads(self._process.stdout.readline())["url"]

    def stop(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def start():
    started = []

    def start(kind):
        started.append(Counterpart(kind))
        return started[-1].url

    yield start
    for one in started:
        one.stop()


def node(url, name="node"):
    return {"kind": "kubo", "name": name, "url": url}


def bucket(url):
    keys = {"accessKey": "counterpart", "secretKey": {"env": "COPIES_SECRET"}}
    return {"kind": "s3", "name": "bucket", "endpoint": url, "region": "us-east-1", "bucket": "copies", **keys}


def opened(folder, backends, /, **policy):
    config = {"backends": backends, "policy": {"readBack": "all", **policy}}
    return IPFSKitStorage(cache_dir=str(folder), config=config)


def test_what_is_stored_goes_to_each_backend_and_is_read_back(tmp_path, start, monkeypatch):
    monkeypatch.setenv("COPIES_SECRET", SECRET)
    backends = [node(start("rpc")), bucket(start("s3"))]
    with opened(tmp_path, backends, backends=["node", "bucket"]) as storage:
        assert storage.using_fallback is False
        cid = storage.store(pattern(3_000_000), filename="model.bin")
        queued = list(storage.outbox())
        assert {(one["cid"], one["backend"], one["state"]) for one in queued} == {
            (cid, "bucket", "queued"),
            (cid, "node", "queued"),
        }
        assert storage.replication(cid)["replicated"] is False
        report = storage.sync(wait=60)
        assert (report["verified"], report["waiting"], report["failed"], report["offline"]) == (2, 0, 0, None)
        standing = storage.replication(cid)
        assert (standing["replicated"], standing["wanted"], standing["deliveries"]) == (True, 2, [])
        assert [(one["backend"], one["all"]) for one in standing["replicas"]] == [("bucket", True), ("node", True)]
        assert dict(standing["replicas"][0]["details"]) == {"archives": "1"}
        status = storage.get_backend_status()
        assert status["backends"] == {"local": True, "ipfs": True, "s3": True, "filecoin": False}
        assert SECRET not in repr(status)
        storage.audit()
        assert storage.sync(wait=60)["verified"] == 2
        storage.release(cid, "bucket")
        assert storage.sync(wait=60)["removed"] == 1
        assert [one["backend"] for one in storage.replication(cid)["replicas"]] == ["node"]
        # A call's policy lies over the configuration's.
        other = storage.store(b"stays here", policy={"backends": []})
        assert storage.replication(other) == {"replicated": False, "wanted": None, "replicas": [], "deliveries": []}
        storage.replicate(other, {"backends": ["node"]})
        assert storage.sync(wait=60)["verified"] == 1


def test_what_has_left_comes_back_when_it_is_read(tmp_path, start):
    with opened(tmp_path, [node(start("rpc"))], backends=["node"], localDays=0) as storage:
        cid = storage.store(pattern(2_000_000), filename="model.bin")
        assert storage.sync(wait=60)["verified"] == 1
        assert storage.exists(cid) is False
        assert storage.list_files() == []
        assert storage.retrieve(cid) == pattern(2_000_000)
        assert [file["filename"] for file in storage.list_files()] == ["model.bin"]


def test_without_a_network_it_waits_and_goes_on_later(tmp_path, start):
    url = start("rpc")
    with opened(tmp_path, [node(url)], backends=["node"]) as storage:
        cid = storage.store(b"kept")
    with IPFSKitStorage(cache_dir=str(tmp_path), force_fallback=True) as local:
        assert local.sync()["offline"] == "no-network"
        assert [one["state"] for one in local.outbox()] == ["queued"]
        local.delete(local.store(b"more"))
    with opened(tmp_path, [node(url)], backends=["node"]) as storage:
        assert storage.sync(wait=60)["verified"] == 1
        assert storage.replication(cid)["replicated"] is True


def test_who_cannot_be_reached_is_told_and_tried_again(tmp_path):
    with opened(tmp_path, [node("http://127.0.0.1:9")], backends=["node"]) as storage:
        cid = storage.store(b"kept")
        report = storage.sync()
        assert (report["verified"], report["waiting"], report["failed"]) == (0, 1, 0)
        (delivery,) = storage.replication(cid)["deliveries"]
        assert delivery["setback"]["failures"] == 1
        assert delivery["setback"]["next"] == report["next"]
        assert list(delivery["setback"]["why"]) == ["there"]
        assert storage.get_backend_status()["backends"]["ipfs"] is False
        assert storage.retrieve(cid) == b"kept"
        assert storage.retrieve("bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy") is None
        with pytest.raises(NotAvailableOfflineError):
            storage.replicate("bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy")


def test_local_storages_hand_nothing_out(tmp_path, start):
    url = start("rpc")
    config = {"backends": [node(url)], "policy": {"backends": ["node"]}}
    with IPFSKitStorage(cache_dir=str(tmp_path), config=config, force_fallback=True) as storage:
        assert storage.using_fallback is True
        cid = storage.store(b"stays")
        assert storage.sync()["offline"] == "no-network"
        assert storage.replication(cid)["deliveries"] == []


@pytest.mark.parametrize(
    ("backends", "policy", "said"),
    [
        ({"kind": "kubo"}, None, "no list"),
        ([{"kind": "kubo", "name": "a"}], None, "no url"),
        ([{"kind": "tape", "name": "a"}], None, "kubo, cluster, s3 and archive"),
        ([{**node("http://127.0.0.1:1"), "token": SECRET}], None, "no field 'token'"),
        ([{**bucket("http://127.0.0.1:1"), "secretKey": {"env": "NOT_THERE"}}], None, "NOT_THERE is not in the environment"),
        ([{**bucket("http://127.0.0.1:1"), "secretKey": 7}], None, "secretKey of a backend is no text"),
        ([node("http://127.0.0.1:1")], {"copies": "two"}, "copies is no whole number"),
        ([node("http://127.0.0.1:1")], {"archive": {"backend": "node"}}, "no days"),
    ],
)
def test_what_is_configured_wrongly_is_refused(tmp_path, backends, policy, said):
    with pytest.raises(InvalidArgumentError, match=said) as refused:
        IPFSKitStorage(cache_dir=str(tmp_path), config={"backends": backends, "policy": policy})
    assert SECRET not in str(refused.value)


def test_names_that_no_backend_has_are_refused(tmp_path):
    with opened(tmp_path, [node("http://127.0.0.1:9")]) as storage:
        with pytest.raises(InvalidArgumentError, match="elsewhere"):
            storage.store(b"x", policy={"backends": ["elsewhere"]})
        assert storage.list_files() == []


def test_other_backends_for_one_directory_are_refused_and_show_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("COPIES_SECRET", SECRET)
    with opened(tmp_path, [bucket("http://127.0.0.1:9")]) as first:
        first.exists("bafkreigcfzeq3ksel6zpxjccpdacfxytkmip2j4mvpfevv4rt3o4zti5zy")
        with opened(tmp_path, [node("http://127.0.0.1:9")]) as second, pytest.raises(InvalidArgumentError) as refused:
            second.store(b"x")
        assert "backends bucket" in str(refused.value)
        assert SECRET not in str(refused.value)
