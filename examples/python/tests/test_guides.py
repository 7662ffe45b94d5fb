"""The Python of the guides, as a reader runs it: in an empty folder beside dist/."""

import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


def programs(guide):
    return re.findall(r"^```python\n(.*?)^```$", (REPOSITORY / "docs" / guide).read_text(), re.M | re.S)


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "dist").symlink_to(REPOSITORY / "dist")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "examples" / "python"))

    def run(program):
        ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


class TestGuides:
    def test_python(self, run):
        use, copies, in_place = programs("python.md")
        printed = run(use)
        assert "models/model.bin 5000000 False" in printed
        assert "{'engine': 'vllm', 'launch_args': {'--tp': 2}}" in printed
        # Nobody is there to keep them: they wait, and why is told.
        printed = run(copies.replace("wait=60", "wait=0"))
        assert re.search(f"^{HELLO} home queued .*'failures': 1.*\nFalse$", printed, re.M), printed
        assert run(in_place) == ""

    def test_other_hosts(self, run):
        (program,) = programs("hosts.md")
        assert run(program) == f"{HELLO}\nb'hello world'\n"
