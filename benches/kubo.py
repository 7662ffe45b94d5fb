"""One repetition of the WASI home's comparison in Kubo, the node itself as a shared library: prints its seconds.

kubo.py LIBRARY REPO BIG SMALL OUT: stores the file BIG and the folder SMALL in a new REPO, and writes BIG back to OUT.
"""

import ctypes
import json
import os
import sys
import time

library, repo, big, small, out = sys.argv[1:]
kubo = ctypes.CDLL(library)
kubo.AddFile.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_bool]
kubo.AddFile.restype = ctypes.c_void_p
kubo.FreeString.argtypes = [ctypes.c_void_p]
REPO = repo.encode()


def add(path):
    pointer = kubo.AddFile(REPO, path.encode(), False)
    if not pointer:
        sys.exit(f"Kubo cannot add {path}")
    cid = ctypes.string_at(pointer)
    kubo.FreeString(pointer)
    return cid


def download(cid):
    if kubo.Download(REPO, cid, out.encode()) != 0:
        sys.exit("Kubo cannot give the file back")


def timed(action, *arguments):
    start = time.perf_counter()
    result = action(*arguments)
    return time.perf_counter() - start, result


def add_each(folder):
    for name in sorted(os.listdir(folder)):
        add(os.path.join(folder, name))


def peak_memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def keep_off_the_network(config):
    config["Bootstrap"] = []
    config["Routing"] = {"Type": "none"}
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["Addresses"]["Swarm"] = ["/ip4/127.0.0.1/tcp/0"]
    config["Swarm"] |= {"DisableNatPortMap": True, "RelayClient": {"Enabled": False}, "RelayService": {"Enabled": False}}
    config["AutoNAT"] = {"ServiceMode": "disabled"}


# Its answers are 1 at success here, and 0 elsewhere.
if kubo.CreateRepo(REPO) < 0:
    sys.exit("Kubo cannot make a repository")
with open(os.path.join(repo, "config"), "r+") as file:
    config = json.load(file)
    keep_off_the_network(config)
    file.seek(0)
    json.dump(config, file)
    file.truncate()
if kubo.RunNode(REPO) < 0:
    sys.exit("Kubo cannot start")
add(__file__)

import_seconds, cid = timed(add, big)
memory = peak_memory()
read_seconds, _ = timed(download, cid)
directory_seconds, _ = timed(add, small)
each_seconds, _ = timed(add_each, small)
print(
    json.dumps(
        {
            "import": import_seconds,
            "read": read_seconds,
            "smallTogether": directory_seconds,
            "smallEach": each_seconds,
            "memory": memory,
            "cid": cid.decode(),
        }
    )
)
kubo.CleanupNode(REPO)
