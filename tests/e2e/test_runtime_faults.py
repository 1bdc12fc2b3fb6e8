"""containerd and the plugin are killed in the middle of a pod's start, or lose their pods: the
range is whole again after the grace, and no pod gets the address of another."""

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator, Optional

import pytest
from lab import cnitool, hold, netns, places
from lab.containerd import Containerd, CriError
from lab.ipam import Ipam

SUBNETS = ("10.92.0.0/29", "fd00:92::/125")
EXCLUDED = ["10.92.0.5-10.92.0.6", "fd00:92::5-fd00:92::7"]
ROOM = 3
GRACE = 60  # kGrace of src/ipam/reclaim.h, in seconds

# In place of the plugin: the same, by another clock, and with a process in the pod's namespace:
# that other pods' namespaces are empty is only believed where a process of some pod is seen, as the
# sandbox is not in the machine's first PID namespace (FACTS, section 1).
CLOCK = """#!/bin/sh
if [ "$CNI_COMMAND" = ADD ]; then
  setpriv --pdeathsig KILL nsenter --net="$CNI_NETNS" sleep 60 </dev/null >/dev/null 2>&1 &
  resident=$!
  until [ "$(cat /proc/$resident/comm)" = sleep ]; do
    sleep 0.01
  done
  trap 'kill $resident' EXIT
  unshare --time --fork --kill-child --boottime "$(cat {clock})" {podlease}
  exit
fi
exec unshare --time --fork --kill-child --boottime "$(cat {clock})" {podlease}
"""

# A plugin that lets an ADD through only while there is a file `open`. What libcni sends is sorted
# by key.
GATE = """#!/bin/sh
config=$(cat)
if [ "$CNI_COMMAND" = ADD ]; then
  touch {folder}/arrived
  while [ ! -e {folder}/open ]; do
    sleep 0.01
  done
  printf '%s' "$config" | sed 's/.*"prevResult":\\(.*\\),"type":"gate".*/\\1/'
fi
"""


class Start:
    """A pod that is being started meanwhile."""

    def __init__(self, containerd: Containerd, name: str) -> None:
        self._failure: Optional[CriError] = None
        self._thread = threading.Thread(target=self._run, args=(containerd, name))
        self._thread.start()

    def _run(self, containerd: Containerd, name: str) -> None:
        try:
            containerd.run_pod(name, uid=f"uid-{name}")
        except CriError as error:
            self._failure = error

    def demand_failure(self) -> None:
        self._thread.join()
        assert self._failure, "the pod runs"


class Lab:
    """A containerd with a small dual-stack bridge and a gate behind it. A test decides by which
    clock the plugin goes."""

    def __init__(self, folder: Path, pause_image: Path) -> None:
        self.ipam = Ipam("podlease", places.LEASES)
        self.gate = folder / "gate"
        self.gate.mkdir()
        self.open_gate()
        self._clock = folder / "clock"
        self.later(0)
        plugins = folder / "plugins"
        plugins.mkdir()
        podlease = CLOCK.format(clock=self._clock, podlease=places.podlease())
        for name, program in (("podlease", podlease), ("gate", GATE.format(folder=self.gate))):
            (plugins / name).write_text(program)
            (plugins / name).chmod(0o755)
        self.containerd = Containerd(folder / "containerd", pause_image, plugins)
        bridge = cnitool.bridge(self.ipam.config(*SUBNETS, exclude=EXCLUDED, cooldown="0s"))
        self.containerd.use_network(cnitool.conflist("lab", bridge, {"type": "gate"}))
        self.containerd.start()

    def later(self, seconds: int) -> None:
        self._clock.write_text(str(seconds))

    def open_gate(self) -> None:
        (self.gate / "open").touch()

    def close_gate(self) -> None:
        (self.gate / "open").unlink()
        (self.gate / "arrived").unlink(missing_ok=True)

    def begin(self, name: str) -> Start:
        return Start(self.containerd, name)

    def run(self, *names: str, attempt: int = 0) -> dict[str, list[str]]:
        """Runs pods; returns their addresses by id."""
        pods = [self.containerd.run_pod(name, uid=f"uid-{name}", attempt=attempt) for name in names]
        return {pod: self.containerd.pod_addresses(pod) for pod in pods}

    def refuse(self, name: str) -> None:
        with pytest.raises(CriError, match="no IP addresses available in range set"):
            self.run(name)

    def clear(self) -> None:
        """What a kubelet does with sandboxes that it has no use for."""
        pods = [pod["id"] for pod in self.containerd.pods()]
        self.containerd.stop_pods(*pods)
        self.containerd.remove_pods(*pods)

    def demand_whole(self) -> None:
        """Every address can be had by a pod, and then none more."""
        pods = self.run(*(f"new-{number}" for number in range(ROOM)))
        held = [address for addresses in pods.values() for address in addresses]
        assert len(set(held)) == 2 * ROOM
        assert set(self.ipam.leased()) == set(held)
        self.refuse("one-too-many")


@pytest.fixture
def lab(tmp_path: Path, pause_image: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, pause_image)
    yield lab
    lab.open_gate()
    lab.containerd.destroy()
    netns.remove(*(name for name in netns.names() if name.startswith("cni-")))


def rounds(what: str, seconds: float = 30) -> Iterator[None]:
    """For a loop that ends once the caller has what it waits for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.01)
    raise AssertionError(f"{what} never came")


def plugin_in_queue(besides: int = 0) -> int:
    """A plugin that waits for the lock of the store."""
    for _ in rounds("the plugin"):
        for pid in hold.waiting():
            if pid != besides:
                return pid
    raise AssertionError


def running_plugins() -> list[str]:
    names = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # has ended
            names.append(path.read_text().strip())
    return [name for name in names if name in ("podlease", "bridge", "gate")]


def wait_for_orphans() -> None:
    for _ in rounds("the end of the plugins"):
        if not running_plugins():
            return


@pytest.fixture
def bridged(lab: Lab) -> Lab:
    """The bridge is there: its plugin stumbles over one that it made for a pod that failed."""
    lab.run("first")
    lab.clear()
    return lab


def test_a_plugin_killed_in_an_add_costs_no_address(bridged: Lab):
    lab = bridged
    for number in range(ROOM + 1):
        with hold.locked(lab.ipam.data_dir):
            start = lab.begin(f"web-{number}")
            os.kill(plugin_in_queue(), signal.SIGKILL)
        start.demand_failure()
    assert lab.ipam.leases() == []
    lab.demand_whole()


def test_a_plugin_killed_in_an_add_and_in_its_del_costs_no_address(bridged: Lab):
    lab = bridged
    for number in range(2):
        with hold.locked(lab.ipam.data_dir):
            start = lab.begin(f"web-{number}")
            victim = plugin_in_queue()
            os.kill(victim, signal.SIGKILL)
            os.kill(plugin_in_queue(besides=victim), signal.SIGKILL)
        start.demand_failure()
    lab.clear()
    lab.demand_whole()


def test_containerd_killed_while_the_plugin_waits_costs_no_address(lab: Lab):
    for number in range(2):
        with hold.locked(lab.ipam.data_dir):
            start = lab.begin(f"web-{number}")
            plugin_in_queue()
            lab.containerd.kill()
        start.demand_failure()
        wait_for_orphans()
        lab.containerd.start()
    lab.clear()
    lab.demand_whole()


@contextmanager
def caught_at_the_gate(lab: Lab, name: str) -> Iterator[None]:
    """containerd is killed after the plugin has given its answer."""
    lab.close_gate()
    start = lab.begin(name)
    for _ in rounds("the ADD at the gate"):
        if (lab.gate / "arrived").exists():
            break
    lab.containerd.kill()
    start.demand_failure()
    yield
    lab.open_gate()
    wait_for_orphans()


def test_containerd_killed_after_the_add_costs_no_address(lab: Lab):
    with caught_at_the_gate(lab, "web-0"):
        assert len(lab.ipam.leases()) == 2
    lab.containerd.start()
    (again,) = lab.run("web-0", attempt=1)
    lab.clear()
    assert lab.ipam.leases() == []
    lab.demand_whole()


def test_a_start_of_which_nothing_is_left_is_made_good_after_the_grace(lab: Lab):
    lab.run("old-0")
    with caught_at_the_gate(lab, "web-0"):
        pass
    assert len(lab.ipam.leases()) == 4
    lab.containerd.lose_everything()
    lab.containerd.start()
    lab.run("fill-0")
    lab.refuse("fill-1")
    lab.later(GRACE)
    lab.clear()
    lab.demand_whole()


def test_sandboxes_removed_without_del_are_made_good_after_the_grace(lab: Lab):
    lab.run(*(f"old-{number}" for number in range(ROOM)))
    before = lab.ipam.leases()
    lab.containerd.lose_everything()
    assert lab.ipam.leases() == before
    lab.containerd.start()
    lab.refuse("early")
    lab.later(GRACE)
    lab.demand_whole()


def test_pods_that_come_back_have_their_addresses_at_once(lab: Lab):
    names = [f"web-{number}" for number in range(ROOM)]
    before = list(lab.run(*names).values())
    lab.containerd.lose_everything()
    lab.containerd.start()
    assert list(lab.run(*reversed(names)).values()) == before[::-1]
    lab.refuse("other")


def processes_in(path: Path) -> list[int]:
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # has ended
            if (each / "ns/net").stat().st_ino == path.stat().st_ino:
                found.append(int(each.name))
    return found


def test_the_late_end_of_an_old_sandbox_takes_nothing_from_the_new_one(lab: Lab):
    """Its processes and its namespace are gone behind containerd's back."""
    ((old, before),) = lab.run("web-0").items()
    (name,) = netns.names()
    for pid in processes_in(netns.FOLDER / name):
        os.kill(pid, signal.SIGKILL)
    for _ in rounds("the end of the pod's process"):
        if not processes_in(netns.FOLDER / name):
            break
    netns.remove(name)
    ((new, after),) = lab.run("web-0", attempt=1).items()
    assert after == before
    lab.containerd.stop_pods(old)
    lab.containerd.remove_pods(old)
    assert sorted(lab.ipam.leased()) == sorted(after)
    assert {lease["containerID"] for lease in lab.ipam.leases()} == {new}


def test_a_sandbox_without_a_name_keeps_its_address_while_its_process_lives(lab: Lab):
    ((old, before),) = lab.run("web-0").items()
    (name,) = netns.names()
    netns.remove(name)
    ((new, after),) = lab.run("web-0", attempt=1).items()
    assert not set(after) & set(before)
    lab.containerd.stop_pods(old)
    lab.containerd.remove_pods(old)
    assert {lease["containerID"] for lease in lab.ipam.leases()} == {new}
