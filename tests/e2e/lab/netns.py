"""Named network namespaces, as a runtime gives one to each pod."""

import ctypes
import itertools
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Iterator, Optional

import pytest

FOLDER = Path("/run/netns")

MNT_DETACH = 2  # of <sys/mount.h>
RESIDENT = ("sleep", "infinity")

_numbers = itertools.count(1)
_libc = ctypes.CDLL(None)
_residents: dict[str, subprocess.Popen] = {}


def create(*names: str) -> None:
    """Makes many at once, bare: a hundredth of a second for ten."""
    commands = "".join(f"netns add {name}\n" for name in names)
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True)


def occupy(*names: str) -> None:
    """Starts a process in each, as every real pod has one. It proves to podlease that /proc shows
    the processes of pods: the sandbox is not in the machine's first PID namespace, where nothing
    has to be proven (FACTS, section 1)."""
    for name in names:
        _residents[name] = subprocess.Popen(["nsenter", f"--net={FOLDER / name}", *RESIDENT])
    own = os.readlink("/proc/self/ns/net")
    deadline = time.monotonic() + 20
    for name in names:
        while os.readlink(f"/proc/{_residents[name].pid}/ns/net") == own:
            assert time.monotonic() < deadline, f"no process ever entered {name}"
            time.sleep(0.0005)


def vacate(*names: str) -> None:
    """The processes that `occupy` has started there end."""
    processes = [_residents.pop(name) for name in names if name in _residents]
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()


def remove(*names: str) -> None:
    """Removes the names, as `ip netns del` does, once the processes of `occupy` have ended; a
    namespace itself ends with its last process."""
    vacate(*names)
    for name in names:
        _libc.umount2(os.fsencode(FOLDER / name), MNT_DETACH)
        (FOLDER / name).unlink()


def names() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir())


class Netns:
    """A network namespace below /run/netns."""

    def __init__(self, name: Optional[str] = None) -> None:
        self.name = name or f"pod-{next(_numbers)}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        occupy(self.name)
        # Nobody else is there to have an address already, and waiting to see takes ptp 1.5 s.
        self.run("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")

    @property
    def path(self) -> Path:
        return FOLDER / self.name

    def delete(self) -> None:
        """Removes the name, once the process of `occupy` has ended; the namespace itself ends with
        its last process."""
        vacate(self.name)
        if self.path.exists():
            subprocess.run(["ip", "netns", "del", self.name], check=True)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Runs a command inside."""
        inside = ["ip", "netns", "exec", self.name, *command]
        return subprocess.run(inside, check=check, capture_output=True, text=True)

    def addresses(self, ifname: str = "eth0") -> list[str]:
        """The global addresses of an interface; empty if there is no such interface."""
        show = ["ip", "-json", "address", "show", "dev", ifname, "scope", "global"]
        shown = self.run(*show, check=False)
        links = json.loads(shown.stdout or "[]")
        # ip prints {} for an address (or link) that the scope filters out.
        infos = [info for link in links for info in link.get("addr_info", [])]
        return [info["local"] for info in infos if "local" in info]

    def reaches(self, address: str, within: float = 5) -> bool:
        """Pings until an answer comes: a fresh IPv6 path needs a moment to find its neighbours."""
        deadline = time.monotonic() + within
        while True:
            if self.run("ping", "-n", "-q", "-c1", "-W1", address, check=False).returncode == 0:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)


class NetnsFactory:
    """Makes namespaces and deletes those that are left."""

    def __init__(self) -> None:
        self._made: list[Netns] = []

    def __call__(self, name: Optional[str] = None) -> Netns:
        self._made.append(Netns(name))
        return self._made[-1]

    def clear(self) -> None:
        for netns in self._made:
            netns.delete()


@pytest.fixture
def new_netns() -> Iterator[NetnsFactory]:
    """Call it for a new network namespace; the test's namespaces are deleted after it."""
    factory = NetnsFactory()
    yield factory
    factory.clear()
