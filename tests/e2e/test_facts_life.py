"""FACTS.md section 1, and the rows of section 5 about who lives: 1 to 5, 12, 19, 35, 36, 41. An
address ends with its namespace, not with a name; what cannot be known is kept.

The sandbox has a PID namespace of its own, so nobody here is in the machine's initial one: a walk
over /proc proves that a namespace is empty only if it finds a process in the caller's namespace or
in another lease's. Each pod has one here unless a test says otherwise."""

import contextlib
import ctypes
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest
from lab import cnitool, netns, places
from lab.cnitool import Network
from lab.ipam import Ipam
from lab.node import exhaustion
from lab.world import (
    CACHE,
    DOCKER,
    GATEWAY,
    HOST_LOCAL,
    LONG_AGO,
    PROC,
    PTP,
    RUN,
    VAR_RUN,
    Pod,
    World,
    cache_entry,
    configuration,
    show,
    wait_until,
)

TAKEN, EXHAUSTED = 101, 100
V4, V6 = "10.61.0.0/29", "fd00:61::/125"
FIRST = {V4: "10.61.0.2", V6: "fd00:61::2"}
ROOM = {V4: 5, V6: 6}  # an IPv6 network has no broadcast address

FAMILY = pytest.mark.parametrize("subnet", [V4, V6], ids=["v4", "v6"])
FOLDER = pytest.mark.parametrize(
    "folder", [RUN, VAR_RUN, DOCKER, PROC], ids=["run", "var-run", "docker", "proc"]
)
NAMED = pytest.mark.parametrize("folder", [RUN, VAR_RUN, DOCKER], ids=["run", "var-run", "docker"])
UID = pytest.mark.parametrize("uid", ["", "uid-"], ids=["nameless", "uid"])


def conf_of(*subnets: str, **more: Any) -> dict:
    return configuration(*subnets, **more)


def suspects(world: World, conf: dict, resident: bool = True) -> int:
    """What an ADD that finds the range full says."""
    pod = world.pod(resident=resident)
    number = exhaustion(world.try_add(pod, conf))["suspect"]
    world.lose(pod)
    return number


# --- Row 1: a namespace lives on without its name -------------------------------------------------


@FAMILY
@FOLDER
@UID
def test_1_an_occupied_namespace_keeps_its_address_without_a_name(
    world: World, subnet: str, folder: Path, uid: str
):
    conf = conf_of(subnet)
    pods = world.pods(ROOM[subnet], folder, uid=uid)
    world.add_all(pods, conf)
    for pod in pods[:2]:
        world.occupy(pod)
        world.forget_name(pod)
    for _ in range(3):
        assert suspects(world, conf) == 0
        world.later()
    assert world.leases() == world.living()


@FAMILY
@FOLDER
def test_1_a_requested_address_of_an_occupied_namespace_is_taken(
    world: World, subnet: str, folder: Path
):
    conf = conf_of(subnet)
    (pod, other) = world.pods(2, folder)
    world.add_all([pod, other], conf)
    world.occupy(pod)
    world.forget_name(pod)
    for _ in range(3):
        newcomer = world.pod(folder)
        world.refuse(newcomer, conf, TAKEN, pod.container, args=f"IP={pod.addresses[0]}")
        world.later()
    assert world.leases() == world.living()


@FOLDER
def test_1_the_same_pods_next_sandbox_does_not_take_over_from_a_living_one(
    world: World, folder: Path
):
    conf = conf_of(V4)
    pod = world.pod(folder, uid="uid-1")
    world.add(pod, conf)
    world.occupy(pod)
    world.forget_name(pod)
    world.add(world.next_sandbox(pod, folder), conf)
    assert world.leases() == world.living()
    assert len(world.live) == 2


@FOLDER
@pytest.mark.parametrize("which", ["gc", "GC", "release"])
def test_1_no_command_ends_the_lease_of_an_occupied_namespace(
    world: World, folder: Path, which: str
):
    conf = conf_of(V4)
    pods = world.pods(3, folder)
    world.add_all(pods, conf)
    world.occupy(pods[0])
    world.forget_name(pods[0])
    for _ in range(2):
        if which == "gc":
            world.command("gc")
        elif which == "GC":
            answer = world.call("GC", pods[1], conf, **{"cni.dev/valid-attachments": []})
            assert answer.ok, answer
        else:
            done = world.command("release", pods[0].addresses[0], statuses=(1,))
            assert "--force" in done.stderr
        world.later()
    assert world.leases() == world.living()


def test_1_a_thread_alone_occupies_a_namespace(world: World):
    """The process's first thread has ended: /proc/PID/ns/net of a zombie says nothing."""
    program = """
import ctypes, threading, time
libc = ctypes.CDLL(None)
def stay():
    print("here", flush=True)
    time.sleep(1000)
threading.Thread(target=stay).start()
time.sleep(0.2)
libc.pthread_exit(None)
"""
    conf = conf_of(V4)
    pods = world.pods(5)
    world.add_all(pods, conf)
    enter = ["nsenter", f"--net={pods[0].name}", "python3", "-c", program]
    with subprocess.Popen(enter, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"here\n"
            state = Path(f"/proc/{process.pid}/stat")
            wait_until(lambda: state.read_text().split()[2] == "Z", "the first thread is there")
            world.vacate(pods[0])
            world.forget_name(pods[0])
            for _ in range(3):
                assert suspects(world, conf) == 0
                world.later()
            assert world.leases() == world.living()
        finally:
            process.kill()


def test_1_a_process_of_a_nested_pid_namespace_occupies_its_network_namespace(world: World):
    conf = conf_of(V4)
    pods = world.pods(5)
    world.add_all(pods, conf)
    world.vacate(pods[0])
    command = ["nsenter", f"--net={pods[0].name}", "unshare", "--pid", "--fork", "--kill-child"]
    world.start(*command, "--mount-proc", "sleep", "infinity")
    world.forget_name(pods[0])
    for _ in range(3):
        assert suspects(world, conf) == 0
        world.later()
    assert world.leases() == world.living()


def test_1_an_address_that_the_neighbour_table_has_reachable_stays_a_suspect(world: World):
    """A namespace that only a descriptor keeps has no name and no process, and lives."""
    run = lambda *words: subprocess.run(["ip", *words], check=True)
    run("link", "add", "cni0", "type", "bridge")
    run("address", "add", "10.61.0.1/29", "dev", "cni0")
    run("link", "set", "cni0", "up")
    conf = conf_of(V4, main=GATEWAY)
    pods = world.pods(5)
    world.add_all(pods, conf)
    address = pods[0].addresses[0]
    world.lose(pods[0])
    assert suspects(world, conf) == 1
    world.later()
    neighbour = ["lladdr", "02:00:00:00:00:01", "dev", "cni0", "nud", "reachable"]
    run("neigh", "replace", address, *neighbour)
    assert suspects(world, conf) == 1, "given although the host exchanges frames with it"
    run("neigh", "del", address, "dev", "cni0")
    assert world.add(world.pod(), conf) == [address]


# --- What proves emptiness ------------------------------------------------------------------------


@FAMILY
@FOLDER
@UID
def test_a_lost_pod_is_reclaimed_after_the_grace(
    world: World, subnet: str, folder: Path, uid: str
):
    conf = conf_of(subnet)
    pods = world.pods(ROOM[subnet], folder, uid=uid)
    world.add_all(pods, conf)
    world.lose(*pods[1:3])
    newcomers = world.pods(2, folder)
    error = world.refuse(newcomers[0], conf, EXHAUSTED, "2 suspect")
    assert "try again" in error["details"]
    world.later(30)
    world.refuse(newcomers[0], conf, EXHAUSTED, "2 suspect")
    world.later(32)
    world.add_all(newcomers, conf)
    assert world.leases() == world.living()


@NAMED
def test_without_any_process_to_see_emptiness_is_not_proven(world: World, folder: Path):
    """The walk may be over another PID namespace than the pods are in."""
    conf = conf_of(V4)
    pods = world.pods(5, folder, resident=False)
    world.add_all(pods, conf)
    lost = pods[:2]
    addresses = {address for pod in lost for address in pod.addresses}
    world.lose(*lost)
    for _ in range(3):
        world.refuse(world.pod(folder, resident=False), conf, EXHAUSTED)
        world.later()
    assert addresses <= set(world.leases()), "reclaimed without a proof"
    for address in addresses:
        pod = world.pod(folder, resident=False)
        world.refuse(pod, conf, TAKEN, args=f"IP={address}")
    assert len(world.leases()) == 5


@pytest.mark.parametrize("whose", ["caller", "another lease"])
def test_one_process_in_a_pod_proves_that_the_walk_sees_pods(world: World, whose: str):
    conf = conf_of(V4)
    pods = world.pods(5, resident=False)
    world.add_all(pods, conf)
    address = pods[0].addresses[0]
    world.lose(pods[0])
    newcomer = world.pod(resident=whose == "caller")
    if whose != "caller":
        world.occupy(pods[3])
    world.refuse(newcomer, conf, EXHAUSTED, "1 suspect")
    world.later()
    assert world.add(newcomer, conf) == [address]


def test_gc_without_a_namespace_of_its_own_goes_by_the_leases_that_live(world: World):
    conf = conf_of(V4)
    pods = world.pods(3)
    world.add_all(pods, conf)
    world.lose(pods[0])
    for _ in range(2):
        world.command("gc")
        world.later()
    assert world.leases() == world.living()


def test_the_runtimes_gc_and_release_need_a_proof_but_no_grace(world: World):
    conf = conf_of(V4)
    pods = world.pods(4)
    world.add_all(pods, conf)
    world.lose(pods[0], pods[1])
    valid = [{"containerID": pod.container, "ifname": "eth0"} for pod in pods[1:]]
    answer = world.call("GC", pods[2], conf, **{"cni.dev/valid-attachments": valid})
    assert answer.ok, answer
    assert set(world.leases().values()) == {pod.container for pod in pods[1:]}
    world.command("release", pods[1].addresses[0])
    assert world.leases() == world.living()


def test_status_counts_and_names_what_is_in_doubt(world: World):
    """And says what would settle it."""
    conf = conf_of(V4)
    pods = world.pods(2, resident=False)
    world.add_all(pods, conf)
    world.lose(*pods)
    done = world.command("status")
    assert "doubt" in done.stdout.lower(), done.stdout
    (network,) = world.json("status")["stores"][0]["networks"]
    assert any("doubt" in key.lower() for key in network), network


# --- Row 2: two views of /run/netns ---------------------------------------------------------------


class View:
    """A mount namespace with a /run/netns of its own, as each of two runtimes in containers has."""

    def __init__(self, world: World) -> None:
        program = "mount -t tmpfs view /run/netns && exec sleep infinity"
        self.world = world
        self.process = subprocess.Popen(["unshare", "--mount", "sh", "-c", program])
        world._processes.append(self.process)
        comm = Path(f"/proc/{self.process.pid}/comm")
        wait_until(lambda: comm.read_text() == "sleep\n", "no mount namespace")
        self.under = ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt"]

    def pods(self, *names: str, resident: bool = True) -> list[Pod]:
        pods = []
        for name in names:
            subprocess.run([*self.under, "ip", "netns", "add", name], check=True)
            pod = Pod(f"{name}-of-{self.process.pid}", RUN / name)
            if resident:
                enter = [*self.under, "nsenter", f"--net={pod.name}", "sleep", "infinity"]
                pod.processes.append(self.world.start(*enter))
            pods.append(pod)
        return pods


@pytest.mark.parametrize("resident", [True, False], ids=["occupied", "fresh"])
@pytest.mark.parametrize("names", [("a", "b"), ("c", "d")], ids=["equal names", "other names"])
def test_2_two_views_with_one_store_leave_each_others_leases_alone(
    world: World, resident: bool, names: tuple[str, ...]
):
    conf = conf_of(V4)
    one, two = View(world), View(world)
    for pod in one.pods("a", "b", resident=resident):
        world.add(pod, conf, under=one.under)
    for pod in two.pods(*names, resident=resident):
        world.add(pod, conf, under=two.under)
    newcomers = [(view, view.pods("x", "y")) for view in (one, two)]
    world.add(newcomers[0][1][0], conf, under=one.under)
    for _ in range(3):
        for view, pods in newcomers:
            answer = world.try_add(pods[1], conf, under=view.under)
            assert exhaustion(answer)["suspect"] == 0
        world.later()
    assert world.leases() == world.living()


@pytest.mark.parametrize("which", ["gc", "IP=", "release", "GC"])
def test_2_nothing_else_ends_a_lease_of_another_view(world: World, which: str):
    conf = conf_of(V4)
    one, two = View(world), View(world)
    (theirs,) = one.pods("a", resident=False)
    world.add(theirs, conf, under=one.under)
    (ours,) = two.pods("b")
    world.add(ours, conf, under=two.under)
    (newcomer,) = two.pods("c")
    for _ in range(2):
        if which == "gc":
            world.command("gc", under=two.under)
        elif which == "IP=":
            ask = f"IP={theirs.addresses[0]}"
            world.refuse(newcomer, conf, TAKEN, args=ask, under=two.under)
        elif which == "release":
            refused = world.command(
                "release", theirs.addresses[0], statuses=(1,), under=two.under
            )
            assert "--force" in refused.stderr
        else:
            attachments = {"cni.dev/valid-attachments": []}
            assert world.call("GC", ours, conf, under=two.under, **attachments).ok
        world.later()
    assert world.leases() == world.living()


# --- Row 3: another PID namespace -----------------------------------------------------------------

NESTED = ["unshare", "--pid", "--fork", "--mount-proc"]


@FAMILY
@pytest.mark.parametrize("nested", [NESTED, NESTED[:-1]], ids=["own proc", "outer proc"])
def test_3_gc_in_another_pid_namespace_ends_no_living_lease(
    world: World, subnet: str, nested: list[str]
):
    conf = conf_of(subnet)
    pods = world.pods(2, PROC)
    world.add_all(pods, conf)
    for _ in range(3):
        world.command("gc", under=nested)
        world.later()
    assert world.leases() == world.living()


@NAMED
def test_3_nor_one_whose_name_is_gone_and_whose_process_is_not_to_be_seen(
    world: World, folder: Path
):
    conf = conf_of(V4)
    pods = world.pods(2, folder)
    world.add_all(pods, conf)
    world.forget_name(pods[0])
    for _ in range(3):
        world.command("gc", under=NESTED)
        world.later()
    assert world.leases() == world.living()


@pytest.mark.parametrize("which", ["release", "IP=", "full"])
def test_3_nor_does_anything_else_in_another_pid_namespace(world: World, which: str):
    conf = conf_of(V4)
    pods = world.pods(5, PROC)
    world.add_all(pods, conf)
    newcomer = world.pod(RUN)
    for _ in range(3):
        if which == "release":
            refused = world.command(
                "release", pods[0].addresses[0], statuses=(1,), under=NESTED
            )
            assert "--force" in refused.stderr
        elif which == "IP=":
            ask = f"IP={pods[0].addresses[0]}"
            world.refuse(newcomer, conf, TAKEN, args=ask, under=NESTED)
        else:
            world.refuse(newcomer, conf, EXHAUSTED, " 0 suspect", under=NESTED)
        world.later()
    assert world.leases() == world.living()


def test_3_gc_view_ended_ends_the_leases_of_a_view_that_is_no_more(world: World):
    """A container-node (kind, LXC) was started again: another PID namespace, the same boot."""
    conf = conf_of(V4)
    (theirs, ours) = world.pod(RUN, resident=False), world.pod(RUN)
    world.add(theirs, conf, under=NESTED)
    world.add(ours, conf)
    world.lose(theirs)
    for _ in range(2):
        world.command("gc")
        world.later()
    assert set(theirs.addresses) <= set(world.leases())
    for _ in range(2):
        world.command("gc", "--view-ended")
        world.later()
    assert world.leases() == world.living()


# --- Row 4: release -------------------------------------------------------------------------------


def blind_by_a_mount(pod: Pod) -> list[str]:
    return ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs over /run/netns && exec "$@"', "sh"]


def blind_by_a_pid_namespace(pod: Pod) -> list[str]:
    return NESTED


def plain_file(pod: Pod) -> list[str]:
    """As a runtime leaves it that was killed between unmounting and removing."""
    subprocess.run(["umount", pod.name], check=True)
    assert pod.name.is_file()
    return []


def folder_away(pod: Pod) -> list[str]:
    program = 'umount -l /run/netns 2>/dev/null; mount -t tmpfs over /run && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", program, "sh"]


@FAMILY
@pytest.mark.parametrize(
    "blind", [blind_by_a_mount, blind_by_a_pid_namespace, plain_file, folder_away]
)
def test_4_release_in_doubt_needs_force(
    world: World, subnet: str, blind: Callable[[Pod], list[str]]
):
    conf = conf_of(subnet)
    (pod, other) = world.pods(2, resident=False)
    world.add_all([pod, other], conf)
    if blind is blind_by_a_pid_namespace:
        world.forget_name(pod)  # else it is seen to live
    under = blind(pod)
    address = pod.addresses[0]
    for word in (address, pod.container):
        refused = world.command("release", word, statuses=(1,), under=under)
        assert "--force" in refused.stderr and address in refused.stderr
    assert world.leases() == world.living()
    world.command("release", address, "--force", under=under)
    assert set(world.leases()) == set(other.addresses)


# --- Row 5: a lost store, pods known by paths of another view -------------------------------------


@pytest.fixture
def real(tmp_path: Path) -> Network:
    """A bridge of the real plugin."""
    ipam = Ipam("podlease", places.LEASES).config("10.61.0.0/24")
    return Network(tmp_path / "net.d", cnitool.conflist("lab", cnitool.bridge(ipam, "cni0")))


def plain(network: Network) -> dict:
    ipam = Ipam("podlease", places.LEASES).config("10.61.0.0/24")
    return {"cniVersion": "1.1.0", "name": "lab", **GATEWAY, "ipam": ipam}


class Named:
    """cnitool only wants a path."""

    def __init__(self, path: Path) -> None:
        self.path = path


@pytest.mark.parametrize("cache", ["kept", "of the runtime's view", "lost"])
def test_5_pods_without_a_named_namespace_survive_the_loss_of_the_store(
    world: World, real: Network, cache: str
):
    pods = world.pods(2, PROC)
    for pod in pods:
        answer = real.add(Named(pod.name))
        assert answer.ok, answer
        world.note(pod, answer.addresses)
    places.LEASES.joinpath("podlease.db").unlink()
    places.LEASES.joinpath("podlease.db-wal").unlink(missing_ok=True)
    for entry in CACHE.iterdir():
        if cache == "lost":
            entry.unlink()
        elif cache == "of the runtime's view":  # there each pod's first process is process 1
            for pod in pods:
                entry.write_text(entry.read_text().replace(str(pod.name), "/proc/1/ns/net"))
    held = set(world.living())
    conf = plain(real)
    stranger = world.pod(PROC, container="stranger")
    unknown = Pod("unknown", Path("/proc/1/ns/net"))
    assert world.call("DEL", unknown, conf).ok
    world.add(stranger, conf)
    assert held <= set(world.leases()), "the living pods' addresses were not adopted"
    for name in ("/proc/1/ns/net", "/proc/self/ns/net", str(stranger.name)):
        assert world.call("DEL", Pod("unknown", Path(name)), conf).ok
        assert held <= set(world.leases()), f"the DEL of an unknown id in {name} ended a lease"
    world.fill({**conf, "ipam": {**conf["ipam"], "ranges": [[{"subnet": "10.61.0.0/29"}]]}})


def test_5_the_del_of_an_adopted_pod_finds_its_lease_by_the_namespace(world: World, real: Network):
    pods = world.pods(2, PROC)
    for pod in pods:
        answer = real.add(Named(pod.name))
        world.note(pod, answer.addresses)
    for file in places.LEASES.iterdir():
        file.unlink()
    for entry in CACHE.iterdir():
        entry.unlink()
    conf = plain(real)
    world.add(world.pod(), conf)
    assert world.add(pods[0], conf) == pods[0].addresses, "a repeated ADD knows its namespace"
    world.delete(pods[1], conf)
    assert set(world.leases()) == set(world.living())


# --- Row 12: files of before the boot -------------------------------------------------------------


def before_boot(seconds: int) -> int:
    return int(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)) - seconds


@FAMILY
@pytest.mark.parametrize("path", ["/proc/4194000/ns/net", "/run/nowhere/{}", "/run/netns/{}"])
@pytest.mark.parametrize("age", ["long ago", "an hour before"])
def test_12_cache_files_of_before_the_boot_fill_no_range(
    world: World, subnet: str, path: str, age: str
):
    when = LONG_AGO if age == "long ago" else before_boot(3600)
    base = FIRST[subnet][:-1]
    for number in range(2, 2 + ROOM[subnet]):
        cache_entry("lab", f"old-{number}", path.format(number), f"{base}{number}", time=when)
    world.add_all(world.pods(ROOM[subnet]), conf_of(subnet))
    assert world.leases() == world.living()


@FAMILY
@pytest.mark.parametrize("folder", [RUN, DOCKER], ids=["run", "docker"])
def test_12_with_the_clock_in_1970_a_pod_that_is_there_lives(
    world: World, subnet: str, folder: Path
):
    """A machine without a battery writes files that look older than its boot."""
    pods = world.pods(3, folder)
    base = FIRST[subnet][:-1]
    for number, pod in enumerate(pods, 2):
        pod.addresses = [f"{base}{number}"]
        show(pod, *pod.addresses)
        cache_entry("lab", pod.container, pod.name, *pod.addresses, time=100)
        world.note(pod, pod.addresses)
    started = world.fill(conf_of(subnet))
    assert len(started) == ROOM[subnet] - 3
    assert world.leases() == world.living()


def test_12_a_living_namespace_that_shows_an_address_speaks_for_an_old_entry(world: World):
    """The entry's path is of another view; a process shows the namespace."""
    pod = world.pod(PROC)
    show(pod, "10.61.0.3")
    world.note(pod, ["10.61.0.3"])
    cache_entry("lab", pod.container, "/proc/4194000/ns/net", "10.61.0.3", time=LONG_AGO)
    assert len(world.fill(conf_of(V4))) == ROOM[V4] - 1


# --- Row 19: a requested address ------------------------------------------------------------------


@FAMILY
@FOLDER
def test_19_the_requested_address_of_a_dead_container_is_taken_over_after_the_grace(
    world: World, subnet: str, folder: Path
):
    conf = conf_of(subnet)
    (dead, _) = pods = world.pods(2, folder)
    world.add_all(pods, conf)
    address = dead.addresses[0]
    world.lose(dead)
    newcomer = world.pod(folder)
    error = world.refuse(newcomer, conf, TAKEN, address, args=f"IP={address}")
    assert "try again" in error["details"], "says nothing of when to try again"
    world.later(30)
    world.refuse(newcomer, conf, TAKEN, args=f"IP={address}")
    world.later(32)
    assert world.add(newcomer, conf, f"IP={address}") == [address]
    assert world.leases() == world.living()


@FOLDER
def test_19_the_same_pods_next_sandbox_waits_for_no_grace(world: World, folder: Path):
    conf = conf_of(V4)
    (dead, _) = pods = world.pods(2, folder, uid="uid-")
    world.add_all(pods, conf)
    address = dead.addresses[0]
    world.lose(dead)
    successor = world.next_sandbox(dead, folder)
    assert world.add(successor, conf, f"IP={address}") == [address]
    assert world.leases() == world.living()


# --- Rows 35 and 36: equal paths and inodes -------------------------------------------------------


CLONE_NEWUTS = 0x04000000  # of <sched.h>


@contextlib.contextmanager
def numbers_taken(below: int) -> Iterator[Callable[[], None]]:
    """Gives a function that takes the lowest free number if it is below this one. A namespace of
    host names needs one number; a network namespace takes dozens, for what is in its /proc/net."""
    libc = ctypes.CDLL(None)
    with contextlib.ExitStack() as taken:
        own = os.open("/proc/thread-self/ns/uts", os.O_RDONLY)
        taken.callback(os.close, own)

        def take() -> None:
            assert libc.unshare(CLONE_NEWUTS) == 0
            descriptor = os.open("/proc/thread-self/ns/uts", os.O_RDONLY)
            assert libc.setns(own, CLONE_NEWUTS) == 0  # else this thread would keep it too
            if os.fstat(descriptor).st_ino < below:
                taken.callback(os.close, descriptor)
            else:
                os.close(descriptor)

        yield take


def create_with_inode(name: str, inode: int) -> None:
    """The kernel hands out the lowest number that is free, and this one again once the namespace
    that had it is torn down, which it does in the background."""
    deadline = time.monotonic() + 60
    found = False
    with numbers_taken(below=inode) as take:
        while not found:
            assert time.monotonic() < deadline, f"the kernel never handed out {inode} again"
            netns.create("spare")
            number = (RUN / "spare").stat().st_ino
            found = number == inode
            if found:
                (RUN / name).touch()
                subprocess.run(["mount", "--bind", RUN / "spare", RUN / name], check=True)
            netns.remove("spare")
            if number > inode:
                time.sleep(0.01)  # it is not free yet
            elif number < inode:
                take()


def named_pod(world: World, name: str, inode: int, **more: Any) -> Pod:
    create_with_inode(name, inode)
    pod = Pod(more.pop("container", name), RUN / name, **more)
    world._mounts.append(pod.name)
    world.occupy(pod)
    return pod


@FAMILY
def test_35_another_namespace_with_an_old_ones_inode_does_not_keep_its_lease(
    world: World, subnet: str
):
    conf = conf_of(subnet)
    (x, *others) = pods = world.pods(ROOM[subnet] - 1)
    world.add_all(pods, conf)
    inode = x.name.stat().st_ino
    world.lose(x)
    y = named_pod(world, "y", inode)
    assert y.name.stat().st_ino == inode
    world.add(y, conf)
    assert x.addresses != y.addresses
    newcomer = world.pod()
    world.refuse(newcomer, conf, EXHAUSTED, "1 suspect")
    world.later()
    assert world.add(newcomer, conf) == x.addresses
    assert world.leases() == world.living()


def test_35_nor_does_gc_take_one_for_the_other(world: World):
    conf = conf_of(V4)
    pods = world.pods(2)
    world.add_all(pods, conf)
    inode = pods[0].name.stat().st_ino
    world.lose(pods[0])
    named_pod(world, "y", inode)  # has no lease
    for _ in range(2):
        world.command("gc")
        world.later()
    assert world.leases() == world.living()


def test_35_nor_is_the_next_sandbox_of_a_pod_kept_from_its_address(world: World):
    """By a stranger with the inode of the former one."""
    conf = conf_of(V4)
    (pod, _) = pods = world.pods(2, uid="uid-")
    world.add_all(pods, conf)
    inode = pod.name.stat().st_ino
    world.lose(pod)
    named_pod(world, "stranger", inode)
    assert world.add(world.next_sandbox(pod), conf) == pod.addresses


@pytest.mark.parametrize(
    "changed, expected",
    [
        ({"ranges": [[{"subnet": "10.62.0.0/24"}]]}, "10.62.0.2"),
        ({"exclude": ["10.61.0.2"]}, "10.61.0.3"),
        ({"ranges": [[{"subnet": V6}]]}, "fd00:61::2"),
    ],
    ids=["subnet", "exclude", "family"],
)
def test_36_a_name_made_again_with_the_same_inode_gets_todays_configuration(
    world: World, changed: dict, expected: str
):
    """podman starts a container again with its id and a namespace of the same name."""
    conf = conf_of(V4)
    netns.create("pod")
    pod = Pod("container", RUN / "pod")
    world._mounts.append(pod.name)
    world.occupy(pod)
    assert world.add(pod, conf) == ["10.61.0.2"]
    inode = pod.name.stat().st_ino
    world.lose(pod)
    again = named_pod(world, "pod", inode, container="container")
    assert world.add(again, {**conf, "ipam": {**conf["ipam"], **changed}}) == [expected]
    assert set(world.leases()) == {expected}


def test_36_while_the_same_namespace_keeps_what_it_has(world: World):
    conf = conf_of(V4)
    pod = world.pod()
    world.add(pod, conf)
    changed = conf_of("10.62.0.0/24")
    assert world.add(pod, changed) == ["10.61.0.2"]


# --- Row 41: sandboxes that hide their addresses --------------------------------------------------


@FAMILY
@FOLDER
@pytest.mark.parametrize("age", ["after the boot", "just before the boot", "1970"])
def test_41_a_living_pod_that_shows_no_address_keeps_it(
    world: World, subnet: str, folder: Path, age: str
):
    """gVisor, KubeVirt and DPDK take the address off the interface; a suspend moves the boot time
    that is computed from the clocks. A path under /proc may be anybody's."""
    if folder == PROC and age != "after the boot":
        pytest.skip("only a name outside /proc outweighs the age of a file")
    when = {"after the boot": None, "just before the boot": before_boot(5), "1970": 100}[age]
    base = FIRST[subnet][:-1]
    pods = world.pods(2, folder)
    for number, pod in enumerate(pods, 2):
        world.note(pod, [f"{base}{number}"])
        cache_entry("lab", pod.container, pod.name, *pod.addresses, time=when)
    started = world.fill(conf_of(subnet))
    assert len(started) == ROOM[subnet] - 2
    for _ in range(2):
        world.later()
        assert world.fill(conf_of(subnet)) == []
    assert world.leases() == world.living()


@FAMILY
@pytest.mark.parametrize("age", ["after the boot", "just before the boot", "1970"])
@pytest.mark.parametrize("body", ["{}\r\neth0", "{}", "{}\n"], ids=["body", "bare", "newline"])
@pytest.mark.parametrize("main", [None, GATEWAY, PTP], ids=["lan", "gateway", "ptp"])
def test_41_nor_does_a_pod_of_host_local_lose_it(
    world: World, subnet: str, age: str, body: str, main: Optional[dict]
):
    """host-local's files say no path: it comes from libcni's entry of the same container."""
    when = {"after the boot": None, "just before the boot": before_boot(5), "1970": 100}[age]
    conf = conf_of(subnet, main=main)
    pod = world.pod()
    world.note(pod, [FIRST[subnet]])
    folder = HOST_LOCAL / "lab"
    folder.mkdir(parents=True)
    file = folder / FIRST[subnet]
    file.write_bytes(body.format(pod.container).encode())
    if when is not None:
        os.utime(file, (when, when))
    cache_entry("lab", pod.container, pod.name, FIRST[subnet], time=when)
    assert len(world.fill(conf)) == ROOM[subnet] - 1
    world.later()
    assert world.fill(conf) == []
    assert set(world.leases()) == set(world.living())
