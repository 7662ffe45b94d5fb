"""What the tests share: storages in folders of their own, and data with known CIDs."""

import json
from pathlib import Path

import pytest

from ipfs_kit_storage import IPFSKitStorage, reset_storage, store

REPOSITORY = Path(__file__).resolve().parents[3]
PATIENCE = store.PATIENCE
VARIABLES = (
    "IPFS_KIT_DISABLE",
    "IPFS_KIT_REMOTES",
    "IPFS_ACCELERATE_CACHE_DIR",
    "IPFS_KIT_CACHE_DIR",
    "XDG_CACHE_HOME",
)


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No settings of the environment, no shared storage, and no patience, which would hide what is not given up."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(store, "PATIENCE", 0.0)
    reset_storage()
    yield
    reset_storage()


@pytest.fixture
def patient(clean, monkeypatch):
    """The patience that a storage has."""
    monkeypatch.setattr(store, "PATIENCE", PATIENCE)


@pytest.fixture
def storage(tmp_path):
    """A local storage in an empty folder."""
    with IPFSKitStorage(enable_ipfs_kit=False, cache_dir=str(tmp_path / "cache"), force_fallback=True) as storage:
        yield storage


@pytest.fixture(scope="session")
def vectors():
    """CIDs that Kubo gives: of each variant by the number of bytes of `pattern`."""
    given = json.loads((REPOSITORY / "tests/vectors/unixfs-cids.json").read_text())
    return {name: variant["files"] for name, variant in given["variants"].items()}


def pattern(size: int) -> bytes:
    """The bytes that the vectors are of."""
    period = bytes((i * 31 + 7) % 256 for i in range(256))
    return (period * (size // 256 + 1))[:size]
