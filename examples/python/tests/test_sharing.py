"""Several instances, threads and processes; the shared instance; large files."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from conftest import pattern

from ipfs_kit_storage import (
    ForkedError,
    IoError,
    IPFSKitStorage,
    LockedError,
    get_storage,
    reset_storage,
)


def program(code: str, *args: object) -> subprocess.Popen[str]:
    """Another process, which runs this code with the package at hand."""
    here = Path(__file__).resolve().parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        env={**os.environ, "PYTHONPATH": str(here)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


OWNER = """
    import sys
    from ipfs_kit_storage import IPFSKitStorage, store
    store.PATIENCE = 0.0
    storage = IPFSKitStorage(cache_dir=sys.argv[1])
    print(storage.store(b"of another process"), flush=True)
    storage.configure_cache(disk_mb=7)
    for cid in sys.stdin:
        print(storage.retrieve(cid.strip()).decode(), storage.get_backend_status()["store"]["disk_limit"] >> 20)
"""


class TestInstances:
    def test_for_one_directory_share_its_store(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "real")
        one = IPFSKitStorage(cache_dir=str(tmp_path / "real"))
        two = IPFSKitStorage(cache_dir=str(tmp_path / "link"))
        stream = two.stream(one.store(bytes(200_000)))
        next(stream)
        one.close()
        assert sum(map(len, stream)) == 200_000 - 65_536
        assert len(IPFSKitStorage(cache_dir=str(tmp_path / "real")).list_files()) == 1

    def test_the_last_to_go_gives_it_up(self, tmp_path):
        one, two = (IPFSKitStorage(cache_dir=str(tmp_path)) for _ in range(2))
        cid = one.store(b"x")
        two.list_files()
        one.close()
        del two
        gc.collect()
        other = program(OWNER, tmp_path)
        assert other.stdout.readline().startswith("bafkrei")
        other.communicate("")
        assert other.returncode == 0
        assert IPFSKitStorage(cache_dir=str(tmp_path)).exists(cid)

    def test_nothing_is_opened_before_it_is_needed(self, tmp_path):
        storage = IPFSKitStorage(cache_dir=str(tmp_path))
        assert list(tmp_path.iterdir()) == []
        storage.list_files()
        assert [path.name for path in tmp_path.iterdir()] == ["ipfs-kit-storage"]

    def test_threads_take_turns(self, storage):
        cids, failed = {}, []

        def work(number):
            try:
                for turn in range(5):
                    data = pattern(100_000 + 1000 * number + turn)
                    cid = storage.store(data, pin=turn % 2 == 0)
                    cids[cid] = data
                    assert storage.retrieve(cid) == data
                    for small in range(20):
                        assert storage.exists(storage.store(f"{number} {turn} {small}"))
                    storage.list_files()
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert {file["cid"] for file in storage.list_files() if file["size"] > 100} == set(cids)
        assert len(cids) == 30
        assert len(storage.list_files()) == 630

    def test_a_reader_whose_store_was_closed_says_so(self, storage):
        stream = storage.stream(storage.store(bytes(200_000)))
        next(stream)
        storage._store.close()
        with pytest.raises(IoError, match="begin again"):
            next(stream)
        assert len(storage.list_files()) == 1

    def test_a_reader_that_was_left_holds_nothing_up(self, storage):
        stream = storage.stream(storage.store(bytes(200_000)))
        next(stream)
        stream.close()
        storage._store.close()
        assert len(storage.list_files()) == 1

    def test_a_component_that_was_stopped_starts_anew(self, storage):
        cid = storage.store(b"kept")
        storage._store._instance._store.set_limits(memory_size=1 << 20)
        with pytest.raises(IoError, match="starts anew"):
            storage.store(bytes(20_000_000))
        assert storage.retrieve(cid) == b"kept"
        assert len(storage.list_files()) == 1


class TestProcesses:
    def test_a_second_owner_is_told_and_may_follow(self, tmp_path):
        other = program(OWNER, tmp_path)
        cid = other.stdout.readline().strip()
        storage = IPFSKitStorage(cache_dir=str(tmp_path))
        with pytest.raises(LockedError) as caught:
            storage.list_files()
        assert caught.value.code == "locked"
        other.communicate("")
        assert storage.retrieve(cid) == b"of another process"

    def test_after_an_owner_was_killed_the_first_call_waits(self, tmp_path, patient):
        other = program(OWNER, tmp_path)
        cid = other.stdout.readline().strip()
        other.send_signal(signal.SIGKILL)
        other.communicate()
        assert IPFSKitStorage(cache_dir=str(tmp_path)).retrieve(cid) == b"of another process"

    def test_an_idle_owner_is_followed_and_follows_again(self, tmp_path, patient):
        other = program(OWNER, tmp_path)
        other.stdout.readline()
        storage = IPFSKitStorage(cache_dir=str(tmp_path))
        cid = storage.store(b"of this process")
        storage.close()
        said, wrong = other.communicate(cid + "\n")
        assert said == "of this process 7\n", wrong

    def test_the_end_of_a_process_gives_it_up(self, tmp_path):
        other = program(OWNER, tmp_path)
        other.communicate("")
        assert len(IPFSKitStorage(cache_dir=str(tmp_path)).list_files()) == 1

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_forked_process_is_told_and_harms_nothing(self, storage):
        cid = storage.store(b"parent" * 100_000)
        stream = storage.stream(cid)
        next(stream)

        def child(answers):
            try:
                storage.retrieve(cid)
            except ForkedError as error:
                answers.put(str(error))
            stream.close()
            storage._store.close()
            storage.close()

        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        process = context.Process(target=child, args=(answers,))
        process.start()
        try:
            assert "spawn" in answers.get(timeout=60)
            process.join(20)
            assert process.exitcode == 0
        finally:
            process.kill()
        assert storage.retrieve(cid) == b"parent" * 100_000


class TestLargeFiles:
    def test_memory_stays_bounded(self, tmp_path):
        """96 MiB go in and out while the process grows by less than a third of that."""
        file = tmp_path / "large"
        with open(file, "wb") as out:
            for number in range(96):
                out.write(bytes([number]) * (1 << 20))
        worker = program(
            """
            import hashlib, resource, sys
            from pathlib import Path
            from ipfs_kit_storage import IPFSKitStorage
            storage = IPFSKitStorage(cache_dir=sys.argv[1])
            storage.retrieve(storage.store(bytes(8 << 20)))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            digest = hashlib.sha256()
            for piece in storage.stream(storage.store(Path(sys.argv[2]))):
                digest.update(piece)
            print(digest.hexdigest(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
            """,
            tmp_path / "cache",
            file,
        )
        said, wrong = worker.communicate()
        assert worker.returncode == 0, wrong
        digest, kilobytes = said.split()
        expected = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True)
        assert digest == expected.stdout.split()[0]
        assert int(kilobytes) < 32_000


class TestSharedInstance:
    def test_is_one(self, tmp_path):
        one = get_storage(enable_ipfs_kit=False, cache_dir=str(tmp_path), force_fallback=True)
        assert get_storage() is one
        assert one.cache_dir == tmp_path

    def test_until_it_is_reset(self, tmp_path):
        one = get_storage(cache_dir=str(tmp_path / "one"), force_fallback=True)
        reset_storage()
        two = get_storage(cache_dir=str(tmp_path / "two"), force_fallback=True)
        assert two is not one
        assert two.cache_dir != one.cache_dir

    def test_may_be_given(self, storage):
        assert get_storage(storage_instance=storage) is storage
        assert get_storage() is storage

    @pytest.mark.parametrize("kind", ["dict", "object"])
    def test_is_kept_with_dependencies(self, storage, kind):
        class Dependencies:
            def __init__(self):
                self.kept = {}

            def get_cached(self, key):
                return self.kept.get(key)

            def set_cached(self, key, value):
                self.kept[key] = value

        deps = {} if kind == "dict" else Dependencies()
        get_storage(deps=deps, storage_instance=storage)
        assert (deps if kind == "dict" else deps.kept)["ipfs_accelerate_py::storage"] is storage
        reset_storage()
        assert get_storage(deps=deps) is storage
        reset_storage(deps=deps)
        assert get_storage(deps=deps, cache_dir=str(storage.cache_dir)) is not storage
