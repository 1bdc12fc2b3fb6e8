"""Lost DELs, reboots and new sandboxes of old pods: no range runs out for pods that have ended, and
no pod that lives loses its address. Namespaces, processes and boots are real; see lab/machine.py
for how a minute passes without anybody waiting."""

import itertools
import json
import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, Optional

import pytest
from lab import cni, cnitool, netns, places, store
from lab.cnitool import Network
from lab.ipam import Ipam
from lab.machine import Machine
from lab.node import Node, Pod, exhaustion
from lab.shell import Shell

V4, V6 = "10.86.0.0/28", "fd00:86::/124"
ROOM = 13  # of a /28: without network, broadcast and gateway
GRACE = 60  # kGrace of src/ipam/reclaim.h, in seconds
HALF = GRACE // 2
SEED = int(os.environ.get("PODLEASE_LIFE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()
    netns.remove(*netns.names())


@pytest.fixture
def node(machine: Machine) -> Node:
    return Node(machine, places.LEASES, V4)


@pytest.fixture
def dual(machine: Machine) -> Node:
    """As many addresses of each family."""
    return Node(machine, places.LEASES, V4, V6, exclude=["fd00:86::f"])


# --- Lost DELs ----------------------------------------------------------------------------------


def test_a_range_full_of_lost_pods_is_whole_after_the_grace(node: Node):
    lost = node.start(ROOM)
    assert node.refuse() == {"used": 13, "free": 0, "cooling": 0, "suspect": 0, "excluded": 1}
    node.lose(*lost)
    newcomers = node.pods(ROOM)
    node.machine.later(2)  # or it is told what the last one was
    refused = node.try_add(newcomers[0])
    assert "try again" in refused.json["details"]
    assert node.refuse(newcomers[0])["suspect"] == ROOM
    node.machine.later(HALF)
    assert node.refuse(newcomers[0])["suspect"] == ROOM
    node.machine.later(HALF)
    node.add(*newcomers)
    assert node.refuse()["suspect"] == 0
    assert node.leases() == node.living()


def test_one_add_ends_all_that_were_missed_for_the_grace(dual: Node):
    dual.lose(*dual.start(ROOM))
    dual.refuse()
    dual.machine.later(GRACE)
    dual.start(1)
    assert dual.leases() == dual.living()


def test_adds_at_once_share_what_comes_back(dual: Node):
    pods = dual.start(ROOM)
    dual.lose(*pods[:8])
    dual.refuse()
    dual.machine.later(GRACE)
    newcomers = dual.pods(10)
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda pod: dual.call("ADD", pod), newcomers))
    given = [address for answer in answers if answer.ok for address in answer.addresses]
    assert len(given) == len(set(given)) == 16
    assert not set(given) & set(dual.living())
    for answer in answers:
        assert answer.ok or exhaustion(answer)["suspect"] == 0


def test_a_full_range_of_living_pods_stays_full(dual: Node):
    dual.start(ROOM)
    for _ in range(3):
        assert dual.refuse()["suspect"] == 0
        dual.machine.later(100 * GRACE)
    assert dual.leases() == dual.living()
    assert len(dual.live) == ROOM


def test_only_the_addresses_of_lost_pods_come_back(node: Node):
    pods = node.start(ROOM)
    node.lose(*pods[::3])
    assert node.refuse() == {"used": 13, "free": 0, "cooling": 0, "suspect": 5, "excluded": 1}
    node.machine.later(GRACE)
    node.start(5)
    assert node.refuse()["suspect"] == 0
    assert node.leases() == node.living()


def test_the_grace_begins_when_a_namespace_is_first_missed(node: Node):
    pods = node.start(ROOM)
    node.machine.later(10 * GRACE)
    node.lose(pods[0])
    node.refuse()
    node.machine.later(HALF)
    node.lose(pods[1])
    assert node.refuse()["suspect"] == 2
    node.machine.later(HALF)
    node.start(1)
    assert node.refuse()["suspect"] == 1
    node.machine.later(HALF)
    node.start(1)
    assert node.refuse()["suspect"] == 0


@pytest.mark.parametrize("age", [0, 100_000], ids=["young", "old"])
def test_a_store_cleans_itself_long_before_its_range_is_full(machine: Machine, age: int):
    """Also on a node that has had many pods, of which a few still live."""
    node = Node(machine, places.LEASES, "10.86.0.0/24")
    node.start(10)
    with Shell(places.LEASES) as shell:
        shell.ask(f"UPDATE lease SET id = id + {age} WHERE id = (SELECT max(id) FROM lease)")
    lost = node.start(20)
    node.lose(*lost)
    for _ in range(40):
        node.stop(*node.start(1))
        machine.later(HALF)
    assert node.leases() == node.living()


def test_status_counts_what_an_add_could_have(node: Node):
    node.ipam["statusFailsWhenExhausted"] = True
    pods = node.start(ROOM - 1)
    assert node.call("STATUS", pods[0]).ok
    node.start(1)
    answer = node.call("STATUS", pods[0])
    assert answer.json["code"] == 50, answer
    node.lose(pods[1])
    assert node.refuse()["suspect"] == 1
    node.machine.later(GRACE)
    assert node.call("STATUS", pods[0]).ok


def test_a_late_del_of_a_suspect_and_of_a_reclaimed_pod_succeeds(node: Node):
    pods = node.start(ROOM)
    node.lose(*pods[:2])
    node.refuse()
    node.delete(pods[0])  # a suspect's
    node.machine.later(2)  # nothing freed within the last second is leased
    node.start(1)
    node.machine.later(GRACE)
    node.start(1)
    assert pods[1].addresses == node.live[-1].addresses
    node.delete(pods[1])  # its address is another pod's by now
    assert node.leases() == node.living()
    assert len(node.live) == ROOM


def test_a_repeated_add_clears_a_suspect(node: Node):
    pods = node.start(ROOM)
    node.lose(pods[4])
    assert node.refuse()["suspect"] == 1
    netns.create(pods[4].netns.name)
    node.add(pods[4])
    node.machine.later(GRACE)
    assert node.refuse()["suspect"] == 0
    assert node.leases() == node.living()


def test_a_repeated_add_tells_the_pod_of_a_lease_that_was_made_without(dual: Node):
    """As those of host-local are."""
    (pod,) = dual.start(1)
    pod.uid = "uid-1"
    dual.add(pod)
    assert [lease["podUID"] for lease in dual.listed()] == ["uid-1", "uid-1"]
    dual.lose(pod)
    dual.start(2, "other-")
    successor = dual.next_sandbox(pod)
    dual.add(successor)
    assert successor.addresses == pod.addresses


def test_a_name_that_another_pod_has_by_now_says_that_the_old_one_is_gone(node: Node):
    """Also where the kernel gives the new namespace the inode of the old one, as it mostly does."""
    pods = node.start(ROOM)
    node.lose(pods[3])
    netns.create(pods[3].netns.name)
    assert node.refuse()["suspect"] == 1
    node.machine.later(GRACE)
    node.start(1)
    assert node.leases() == node.living()


def test_a_namespace_whose_name_another_pod_has_lives_while_a_process_is_in_it(node: Node):
    pods = node.start(ROOM)
    with inside(pods[3].netns, "sleep", "infinity"):
        netns.remove(pods[3].netns.name)
        netns.create(pods[3].netns.name)
        for _ in range(3):
            node.refuse()
            node.machine.later(2 * GRACE)
        assert node.leases() == node.living()


@contextmanager
def inside(path: Path, *command: str) -> Iterator[subprocess.Popen]:
    """A process in a namespace, as a pod has."""
    process = subprocess.Popen(["nsenter", f"--net={path}", *command])
    try:
        wait_until_elsewhere(process.pid)
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until_elsewhere(pid: int) -> None:
    """Until the process has left the namespace of the tests, and become what it is to be."""
    own = os.readlink("/proc/self/ns/net")
    for _ in range(2000):
        if os.readlink(f"/proc/{pid}/ns/net") != own:
            name = Path(f"/proc/{pid}/comm").read_text()
            if name not in ("unshare\n", "nsenter\n"):
                return
        time.sleep(0.005)
    raise AssertionError(f"process {pid} never entered its namespace")


def test_a_namespace_that_was_back_meanwhile_has_a_whole_grace_again(node: Node, elsewhere: Path):
    """Whoever moves or remounts a namespace may leave a moment without it, twice."""
    pods = node.start(ROOM)
    path, keeper = pods[0].netns, elsewhere / "keeper"
    keeper.touch()
    subprocess.run(["mount", "--bind", path, keeper], check=True)
    netns.remove(path.name)
    assert node.refuse()["suspect"] == 1
    node.machine.later(HALF)
    path.touch()
    subprocess.run(["mount", "--bind", keeper, path], check=True)
    assert node.refuse()["suspect"] == 0
    node.machine.later(2 * GRACE)
    assert node.refuse()["suspect"] == 0
    netns.remove(path.name)
    assert node.refuse()["suspect"] == 1, "reclaimed on the first look"
    node.machine.later(GRACE)
    node.live.remove(pods[0])
    node.start(1)


# --- In doubt it is kept ------------------------------------------------------------------------


def leave_a_plain_file(pods: list[Pod]) -> None:
    """As a runtime does that was killed between unmounting and removing."""
    for pod in pods:
        subprocess.run(["umount", pod.netns], check=True)
        assert pod.netns.is_file()


def leave_a_folder(pods: list[Pod]) -> None:
    netns.remove(*(pod.netns.name for pod in pods))
    for pod in pods:
        pod.netns.mkdir()


def leave_another_kind_of_namespace(pods: list[Pod]) -> None:
    leave_a_plain_file(pods)
    for pod in pods:
        subprocess.run(["mount", "--bind", "/proc/self/ns/uts", pod.netns], check=True)


def leave_a_link_in_a_circle(pods: list[Pod]) -> None:
    netns.remove(*(pod.netns.name for pod in pods))
    for pod in pods:
        pod.netns.symlink_to(pod.netns)


@pytest.mark.parametrize(
    "leave",
    [
        leave_a_plain_file,
        leave_a_folder,
        leave_another_kind_of_namespace,
        leave_a_link_in_a_circle,
    ],
)
def test_something_else_in_place_of_a_namespace_is_no_proof(
    node: Node, leave: Callable[[list[Pod]], None]
):
    pods = node.start(ROOM)
    leave(pods[:4])
    try:
        for _ in range(3):
            assert node.refuse()["suspect"] == 0
            node.machine.later(2 * GRACE)
        assert node.leases() == node.living()
        node.delete(*pods[:4])
        node.machine.later(2)
        node.start(4)
    finally:
        for pod in pods[:4]:
            subprocess.run(["umount", "--quiet", pod.netns], check=False)
            pod.netns.rmdir() if pod.netns.is_dir() else pod.netns.unlink()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Another folder of namespaces."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "elsewhere", folder], check=True)
    yield folder
    subprocess.run(["umount", "--recursive", folder], check=True)


def move(pod: Pod, folder: Path) -> None:
    """Gives the namespace of a pod a name in another folder, and takes the first one away."""
    there = folder / pod.netns.name
    there.touch()
    subprocess.run(["mount", "--bind", pod.netns, there], check=True)
    netns.remove(pod.netns.name)
    pod.netns = there


def end(*pods: Pod) -> None:
    for pod in pods:
        subprocess.run(["umount", pod.netns], check=True)
        pod.netns.unlink()


def test_a_folder_out_of_sight_is_no_proof(node: Node, elsewhere: Path):
    pods = node.pods(ROOM)
    for pod in pods[:4]:
        move(pod, elsewhere)
    node.add(*pods)
    subprocess.run(["mount", "-t", "tmpfs", "over", elsewhere], check=True)
    for _ in range(3):
        assert node.refuse()["suspect"] == 0
        node.machine.later(2 * GRACE)
    assert node.leases() == node.living()
    subprocess.run(["umount", elsewhere], check=True)
    end(*pods[:2])  # two are left there: now their absence means something
    for pod in pods[:2]:
        node.live.remove(pod)
    assert node.refuse()["suspect"] == 2
    node.machine.later(GRACE)
    node.start(2)
    assert node.leases() == node.living()
    end(*pods[2:4])


def test_a_plugin_in_another_mount_namespace_concludes_nothing(node: Node):
    """The runtime's namespaces are not there at all where it runs."""
    pods = node.start(ROOM)
    newcomer = node.pods(1)[0]
    program = 'mount -t tmpfs over /run/netns && touch /run/netns/x && exec "$@"'
    blind = ["unshare", "--mount", "sh", "-c", program, "sh"]
    node.lose(*pods[:3])
    for _ in range(3):
        answer = node.try_add(newcomer, under=blind)
        assert answer.json["code"] == 100 and " 0 suspect" in answer.json["details"], answer
        node.machine.later(2 * GRACE)
    assert len(node.leases()) == ROOM
    assert node.refuse()["suspect"] == 3


def test_permission_denied_is_no_proof(node: Node, elsewhere: Path):
    pods = node.start(ROOM)
    # The folder where the names are can be seen; what they lead to cannot.
    for pod in pods[:4]:
        name = pod.netns
        move(pod, elsewhere)
        name.symlink_to(pod.netns)
        pod.netns = name
    os.chown(elsewhere, 65534, 65534)
    elsewhere.chmod(0o700)
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    newcomer = node.pods(1)[0]
    looked = subprocess.run([*powerless, "ls", elsewhere], capture_output=True, text=True)
    assert "Permission denied" in looked.stderr
    for _ in range(3):
        answer = node.try_add(newcomer, under=powerless)
        assert answer.json["code"] == 100 and " 0 suspect" in answer.json["details"], answer
        node.machine.later(2 * GRACE)
    assert node.leases() == node.living()
    for pod in pods[:4]:
        pod.netns.unlink()


def test_a_caller_without_a_namespace_concludes_nothing(node: Node):
    pods = node.start(ROOM)
    node.lose(*pods)
    newcomer = Pod("no-namespace", Path("/run/netns/never-there"))
    for _ in range(3):
        assert node.refuse(newcomer)["suspect"] == 0
        assert f"{ROOM} in doubt" in node.call("ADD", newcomer).json["details"]
        node.machine.later(2 * GRACE)
    assert len(node.leases()) == ROOM


# --- Namespaces that have no name ---------------------------------------------------------------


@contextmanager
def process_with_a_namespace() -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        wait_until_elsewhere(process.pid)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_namespace_with_another_process_in_it_outlives_the_one_it_is_named_after(node: Node):
    pods = node.pods(ROOM)
    with process_with_a_namespace() as pause:
        pods[5].netns = Path(f"/proc/{pause.pid}/ns/net")
        node.add(*pods)
        with inside(pods[5].netns, "sleep", "infinity"):
            pause.kill()
            pause.wait()
            for _ in range(3):
                assert node.refuse()["suspect"] == 0
                node.machine.later(2 * GRACE)
            assert node.leases() == node.living()
        node.live.remove(pods[5])
        assert node.refuse()["suspect"] == 1
        node.machine.later(GRACE)
        node.start(1)
        assert node.leases() == node.living()


def process_with_id(pid: int) -> subprocess.Popen:
    """A process that has the id of one that has ended, as happens after some time."""
    for _ in range(100):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        if process.pid == pid:
            wait_until_elsewhere(pid)
            return process
        process.kill()
        process.wait()
    raise AssertionError(f"process {pid} was always another one")


def test_another_process_with_the_same_id_does_not_end_a_namespace(node: Node):
    pods = node.pods(ROOM)
    with process_with_a_namespace() as pause:
        pods[5].netns = Path(f"/proc/{pause.pid}/ns/net")
        node.add(*pods)
        with inside(pods[5].netns, "sleep", "infinity"):
            pause.kill()
            pause.wait()
            stranger = process_with_id(pause.pid)
            try:
                for _ in range(2):
                    assert node.refuse()["suspect"] == 0
                    node.machine.later(2 * GRACE)
                (newcomer,) = node.pods(1)
                newcomer.netns = pods[5].netns  # it sees that something is there
                assert node.refuse(newcomer)["suspect"] == 0
            finally:
                stranger.kill()
                stranger.wait()


def test_a_thread_keeps_its_namespace_too(node: Node):
    """The first thread of a process has ended; another one goes on in the pod."""
    program = """
import ctypes, threading, time
libc = ctypes.CDLL(None)
def run():
    assert libc.unshare(0x40000000) == 0
    print("in", flush=True)
    time.sleep(1000)
threading.Thread(target=run).start()
libc.syscall(60, 0)  # exit, of this thread only
"""
    pods = node.pods(ROOM)
    with subprocess.Popen(["python3", "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"in\n"
        while "Z (zombie)" not in Path(f"/proc/{process.pid}/status").read_text():
            time.sleep(0.005)
        tasks = Path(f"/proc/{process.pid}/task").iterdir()
        (there,) = [task / "ns/net" for task in tasks if task.name != str(process.pid)]
        with process_with_a_namespace() as pause:
            # A path that will not be there any more, to the namespace of the thread.
            pause_path = Path(f"/proc/{pause.pid}/ns/net")
            enter = ["nsenter", f"--net={there}", "sleep", "infinity"]
            named = subprocess.Popen(enter)
            wait_until_elsewhere(named.pid)
            pods[0].netns = Path(f"/proc/{named.pid}/ns/net")
            pods[1].netns = pause_path
            node.add(*pods)
            named.kill()
            named.wait()
        node.live.remove(pods[1])
        try:
            assert node.refuse()["suspect"] == 1
            node.machine.later(GRACE)
            node.start(1)
            assert node.refuse()["suspect"] == 0
            assert node.leases() == node.living()
        finally:
            process.kill()


def test_a_lease_by_process_ends_once_no_process_is_in_its_namespace(machine: Machine):
    """Long before its range is full. Until then the absence of its name means nothing."""
    node = Node(machine, places.LEASES, "10.86.0.0/24")
    (pod,) = node.pods(1)
    with process_with_a_namespace() as pause:
        pod.netns = Path(f"/proc/{pause.pid}/ns/net")
        node.add(pod)
        with inside(pod.netns, "sleep", "infinity"):
            pause.kill()
            pause.wait()
            for _ in range(10):
                node.stop(*node.start(1))
                machine.later(GRACE)
            assert node.leases() == {pod.addresses[0]: pod.container}
    for _ in range(4):
        node.stop(*node.start(1))
        machine.later(GRACE)
    assert node.leases() == {}


# --- Reboots ------------------------------------------------------------------------------------


def test_leases_of_an_earlier_boot_are_taken_one_by_one(dual: Node):
    dual.start(ROOM)
    old = dual.leases()
    dual.reboot()
    for count in range(1, ROOM + 1):
        dual.start(1)
        leases = dual.leases()
        kept = old.items() & leases.items()
        assert len(leases) == 2 * ROOM
        assert len(kept) == 2 * (ROOM - count), "more ended than were needed"
    dual.refuse()
    assert dual.leases() == dual.living()


def test_without_need_no_lease_of_an_earlier_boot_ends(node: Node):
    old = node.start(ROOM - 5)
    node.reboot()
    node.start(5)
    assert {pod.addresses[0] for pod in old} <= set(node.leases())


@pytest.mark.parametrize("count", [6, ROOM], ids=["with room", "full"])
def test_after_a_reboot_pods_have_the_addresses_they_had(dual: Node, count: int):
    old = dual.start(count, "uid-")
    dual.reboot()
    back = [dual.next_sandbox(pod) for pod in old]
    dual.add(*reversed(back))
    assert [pod.addresses for pod in back] == [pod.addresses for pod in old]
    assert dual.leases() == dual.living()


def test_after_a_reboot_each_interface_has_the_addresses_it_had(dual: Node):
    old = dual.start(ROOM // 2, "uid-")
    second = [Pod(pod.container, pod.netns, pod.uid, "net1") for pod in old]
    dual.add(*second)
    dual.reboot()
    dual.start(1, "other-")
    back = [dual.next_sandbox(pod) for pod in old]
    again = [Pod(pod.container, pod.netns, pod.uid, "net1") for pod in back]
    for before, after in (*zip(second, again), *zip(old, back)):
        dual.add(after)
        assert after.addresses == before.addresses


def test_others_that_come_first_cost_no_more_addresses_than_they_need(dual: Node):
    old = dual.start(ROOM, "uid-")
    dual.reboot()
    first = dual.start(4, "first-")
    taken = {address for pod in first for address in pod.addresses}
    back = [dual.next_sandbox(pod) for pod in old]
    kept = [index for index, pod in enumerate(old) if not taken & set(pod.addresses)]
    assert len(kept) == ROOM - 4, "the two families of a newcomer are of different pods"
    for index in kept:
        dual.add(back[index])
        assert back[index].addresses == old[index].addresses
    late = next(index for index in range(ROOM) if index not in kept)
    assert dual.refuse(back[late])["suspect"] == 0
    dual.stop(first[0])
    dual.machine.later(2)
    dual.add(back[late])
    assert dual.leases() == dual.living()


def test_a_container_that_keeps_its_id_over_a_reboot_keeps_its_lease(dual: Node):
    """podman's do; and nothing tells its new boot from the old one but the repeated ADD."""
    old = dual.start(ROOM)
    dual.reboot()
    before = [list(pod.addresses) for pod in old[:6]]
    netns.create(*(pod.netns.name for pod in old[:6]))
    dual.add(*old[:6])
    assert [pod.addresses for pod in old[:6]] == before
    dual.start(ROOM - 6)
    assert dual.refuse()["suspect"] == 0
    assert dual.leases() == dual.living()


def test_the_del_of_a_pod_of_an_earlier_boot_succeeds(dual: Node):
    old = dual.start(3)
    dual.reboot()
    dual.delete(*old)
    assert dual.leases() == {}


@pytest.mark.parametrize("cooldown", ["30s", "24h"])
def test_what_was_freed_before_a_reboot_is_leased_after_it(node: Node, cooldown: str):
    """Though the clock of the boot begins anew."""
    node.ipam["cooldown"] = cooldown
    node.machine.later(1_000_000)
    node.stop(*node.start(ROOM))
    node.reboot()
    node.machine.later(2)
    node.start(ROOM)
    assert node.leases() == node.living()


def test_a_suspect_of_an_earlier_boot_is_no_suspect_of_this_one(node: Node):
    """Its clock was another one, and the name may be in use again."""
    pods = node.start(ROOM)
    node.lose(pods[0])
    assert node.refuse()["suspect"] == 1
    node.reboot()
    netns.create(*(pod.netns.name for pod in pods))
    node.add(*pods)
    node.machine.later(GRACE)
    node.refuse()
    node.lose(pods[0])
    assert node.refuse()["suspect"] == 1
    assert len(node.leases()) == ROOM


# --- The next sandbox of a pod ------------------------------------------------------------------


def end_with_del(node: Node, pod: Pod) -> None:
    """As the kubelet does."""
    node.stop(pod)


def end_without_del(node: Node, pod: Pod) -> None:
    node.lose(pod)


ENDS = [end_with_del, end_without_del]


@pytest.mark.parametrize("count", [3, ROOM], ids=["with room", "full"])
@pytest.mark.parametrize("ended", ENDS)
def test_a_new_sandbox_has_the_addresses_of_the_old_one(
    dual: Node, ended: Callable[[Node, Pod], None], count: int
):
    pods = dual.start(count, "uid-")
    for pod in (pods[0], pods[-1]):
        for _ in range(3):
            ended(dual, pod)
            successor = dual.next_sandbox(pod)
            dual.add(successor)
            assert successor.addresses == pod.addresses
            pod = successor
    assert dual.leases() == dual.living()


@pytest.mark.parametrize("ended", ENDS)
def test_the_own_address_comes_back_after_others_came(
    machine: Machine, ended: Callable[[Node, Pod], None]
):
    node = Node(machine, places.LEASES, "10.86.0.0/24")
    (pod, *_) = node.start(3, "uid-")
    ended(node, pod)
    node.start(5, "other-")
    successor = node.next_sandbox(pod)
    node.add(successor)
    assert successor.addresses == pod.addresses


def test_a_freed_address_that_another_pod_got_stays_with_it(node: Node):
    pods = node.start(ROOM, "uid-")
    node.stop(pods[2])
    node.machine.later(2)  # under pressure a cooling address is leased
    (heir,) = node.start(1, "heir-")
    assert heir.addresses == pods[2].addresses
    node.refuse(node.next_sandbox(pods[2]))
    assert node.leases() == node.living()


def test_nobody_is_dispossessed_while_its_namespace_lives(node: Node):
    pods = node.start(ROOM, "uid-")
    assert node.refuse(node.next_sandbox(pods[0]))["suspect"] == 0
    node.stop(pods[1])
    node.machine.later(2)
    successor = node.next_sandbox(pods[0])
    node.add(successor)
    assert successor.addresses == pods[1].addresses
    assert node.leases() == node.living()


def test_another_pod_or_interface_takes_nothing_over(node: Node):
    pods = node.start(ROOM, "uid-")
    node.lose(pods[0])
    other = node.next_sandbox(pods[0])
    other.ifname = "net1"
    assert node.refuse(other)["suspect"] == 1
    other.ifname, other.uid = "eth0", "uid-x"
    assert node.refuse(other)["suspect"] == 1
    other.uid = ""
    assert node.refuse(other)["suspect"] == 1
    other.uid = pods[0].uid
    node.add(other)
    assert node.leases() == node.living()


def test_a_requested_address_is_taken_over_from_a_pod_that_is_gone(dual: Node):
    pods = dual.start(ROOM, "uid-")
    successor = dual.next_sandbox(pods[7])
    asking = {"args": {"cni": {"ips": pods[7].addresses}}}
    answer = dual.call("ADD", successor, more=asking)
    assert answer.json["code"] == 101, answer
    dual.lose(pods[7])
    answer = dual.call("ADD", successor, more=asking)
    assert answer.ok and answer.addresses == pods[7].addresses, answer


# --- A chained plugin that fails ----------------------------------------------------------------


def fail_add_and_del(node: Node, pod: Pod) -> None:
    """libcni deletes from the last plugin on: one that fails keeps the DEL from the others."""
    node.lose(pod)


def fail_add(node: Node, pod: Pod) -> None:
    node.stop(pod)


@pytest.mark.parametrize(
    "failed, uid, retries",
    [
        (fail_add_and_del, "uid", 1000),
        (fail_add_and_del, "", 200),
        (fail_add, "uid", 100),
        (fail_add, "", 100),
    ],
)
def test_retries_never_exhaust_a_range(
    node: Node, failed: Callable[[Node, Pod], None], uid: str, retries: int
):
    """A pod that cannot start is tried again and again, each time in a new sandbox. Where nothing
    tells that it is the same pod, not more often than lost pods can be noticed."""
    others = node.start(4, "other-")
    before = [pod.addresses for pod in others]
    attempt = None
    for _ in range(retries // 50):
        for sandbox in node.pods(50):
            sandbox.uid = uid
            node.add(sandbox)
            assert not uid or attempt is None or sandbox.addresses == attempt
            attempt = list(sandbox.addresses)
            failed(node, sandbox)
            if not uid:
                node.machine.later(20)
    node.add(*others)
    assert [pod.addresses for pod in others] == before
    assert set(node.living().items()) <= set(node.leases().items())


FAILING = """#!/bin/sh
case $CNI_COMMAND in
  ADD | DEL)
    echo '{"cniVersion": "1.1.0", "code": 999, "msg": "out of order"}'
    exit 1
    ;;
esac
"""


def test_retries_through_libcni_never_exhaust_a_range(ipam: Ipam, new_netns, tmp_path, monkeypatch):
    """With a real bridge, and a plugin behind it that fails on ADD and on DEL."""
    failing = tmp_path / "plugins/failing"
    failing.parent.mkdir()
    failing.write_text(FAILING)
    failing.chmod(0o755)
    path = os.pathsep.join([str(failing.parent), cnitool.plugin_path()])
    monkeypatch.setattr(cnitool, "plugin_path", lambda: path)
    bridge = cnitool.bridge(ipam.config("10.86.0.0/29", "fd00:86::/125"))
    network = Network(tmp_path / "net.d", cnitool.conflist("lab", bridge, {"type": "failing"}))
    args = "IgnoreUnknown=1;K8S_POD_UID=uid"
    for _ in range(12):
        sandbox = new_netns()
        for answer in (network.add(sandbox, args=args), network.delete(sandbox)):
            assert not answer.ok and "out of order" in answer.stderr, answer
        assert ipam.leased() == ["10.86.0.2", "fd00:86::2"]
        sandbox.delete()
    network.write(cnitool.conflist("lab", bridge))
    sandbox = new_netns()
    assert network.add(sandbox, args=args).ok
    assert network.delete(sandbox).ok
    assert ipam.leases() == []


# --- What a person can do -----------------------------------------------------------------------


def gc(node: Node, *options: str) -> dict[str, str]:
    """`podlease gc`: what it says of each address that is not certainly in use."""
    said = json.loads(node.command("gc", "--output", "json", *options).stdout)
    return {item["address"]: item["verdict"] for item in said}


def addresses_of(*pods: Pod) -> set[str]:
    return {address for pod in pods for address in pod.addresses}


def test_gc_ends_what_a_second_look_after_the_grace_finds_gone_too(dual: Node):
    pods = dual.start(5)
    dual.lose(*pods[1:3])
    before = store.snapshot(Path(dual.ipam["dataDir"]))
    assert set(gc(dual, "--dry-run")) == addresses_of(*pods[1:3])
    assert store.snapshot(Path(dual.ipam["dataDir"])) == before
    for _ in range(2):
        assert set(gc(dual)) == addresses_of(*pods[1:3])
        assert len(dual.leases()) == 10
    dual.machine.later(GRACE)
    assert set(gc(dual, "--dry-run")) == addresses_of(*pods[1:3])
    assert len(dual.leases()) == 10
    assert gc(dual, "--network", "another") == {}
    assert set(gc(dual, "--network", "lab")) == addresses_of(*pods[1:3])
    assert dual.leases() == dual.living()
    assert gc(dual) == {}


def test_gc_concludes_nothing_without_any_namespace_to_see(node: Node):
    """It has no namespace of its own to go by; for all it knows the folder is another one."""
    node.lose(*node.start(5))
    for _ in range(3):
        gc(node)
        assert len(node.leases()) == 5
        node.machine.later(2 * GRACE)
    node.start(1)
    gc(node)
    node.machine.later(GRACE)
    gc(node)
    assert node.leases() == node.living()


def test_gc_ends_the_leases_of_an_earlier_boot(dual: Node):
    old = dual.start(5)
    dual.reboot()
    assert set(gc(dual, "--dry-run")) == addresses_of(*old)
    assert len(dual.leases()) == 10
    gc(dual)
    assert dual.leases() == {}


def test_gc_by_the_runtime_frees_what_it_does_not_know_but_for_the_living(dual: Node):
    pods = dual.start(4)
    dual.lose(pods[0], pods[1])
    known = [{"containerID": pods[1].container, "ifname": "eth0"}]
    for key in ("cni.dev/valid-attachments", "cni.dev/attachments"):
        answer = dual.call("GC", pods[0], more={key: known})
        assert answer.ok, answer
        assert set(dual.leases()) == addresses_of(*pods[1:])
    assert dual.call("GC", pods[0]).ok, "without the key there is nothing to go by"
    assert set(dual.leases()) == addresses_of(*pods[1:])
    assert dual.call("GC", pods[0], more={"cni.dev/valid-attachments": None}).ok
    assert dual.leases() == dual.living()


def test_history_tells_why_each_lease_ended(node: Node):
    pods = node.start(ROOM, "uid-")
    ended: dict[str, str] = {}

    node.stop(pods[0])
    ended[pods[0].container] = "del"

    node.lose(pods[1])
    node.add(node.next_sandbox(pods[1]))
    ended[pods[1].container] = "takeover"

    node.lose(pods[2])
    known = [{"containerID": pod.container, "ifname": "eth0"} for pod in node.live]
    assert node.call("GC", pods[3], more={"cni.dev/valid-attachments": known}).ok
    ended[pods[2].container] = "gc"

    node.command("release", pods[3].addresses[0], "--force")
    ended[pods[3].container] = "release"
    node.lose(pods[3])

    node.machine.later(2)
    node.start(3)
    node.lose(pods[4])
    node.refuse()
    node.machine.later(GRACE)
    node.start(1)
    ended[pods[4].container] = "reclaim"

    node.reboot()
    before = set(node.leases().values())
    node.start(1)
    (dead,) = before - set(node.leases().values())
    ended[dead] = "reboot"

    past = json.loads(node.command("history", "--output", "json").stdout)
    told = {item["containerID"]: item["why"] for item in past if item["until"]}
    assert told == ended
    assert {item["containerID"] for item in past if not item["until"]} == set(
        node.leases().values()
    )
    address = pods[4].addresses[0]
    of_one = json.loads(node.command("history", address, "--output", "json").stdout)
    assert pods[4].container in [item["containerID"] for item in of_one]
    assert {item["address"] for item in of_one} == {address}
    of_pod = json.loads(node.command("history", "lab/uid-1", "--output", "json").stdout)
    assert {item["address"] for item in of_pod} == set(pods[1].addresses)
    assert pods[1].container in [item["containerID"] for item in of_pod]


def test_release_ends_what_is_dead_and_the_living_only_by_force(node: Node):
    pods = node.start(5, "uid-")
    node.lose(pods[0])
    for word in (pods[1].addresses[0], "lab/uid-1", pods[1].container):
        refused = node.command("release", word, statuses=(1,))
        assert pods[1].addresses[0] in refused.stderr and "--force" in refused.stderr
        node.command("release", word, "--force", "--dry-run")
    node.command("release", "lab/uid-0", "--dry-run")
    assert len(node.leases()) == 5
    node.command("release", "lab/uid-0")
    assert node.leases() == node.living()
    node.command("release", pods[1].addresses[0], "--force")
    node.lose(pods[1])
    node.command("release", pods[2].container, "--force")
    node.lose(pods[2])
    assert node.leases() == node.living()
    node.command("release", "10.86.0.99", statuses=(1,))


# --- The life of a node -------------------------------------------------------------------------


class Life:
    """Random events of a node with one full-ish range, and what is known of its pods."""

    def __init__(self, node: Node, chance: random.Random) -> None:
        self.node = node
        self.chance = chance
        self.clock = 0
        self.lost: dict[str, Optional[int]] = {}  # container: when the plugin must have missed it
        self.numbers = itertools.count(1)

    def run(self, events: int) -> None:
        likely = {
            self.start: 12,
            self.stop: 6,
            self.lose: 4,
            self.fail: 2,
            self.replace: 5,
            self.repeat: 2,
            self.kill: 3,
            self.collect: 1,
            self.check: 2,
            self.edit: 1,
            self.wait: 6,
            self.reboot: 1,
        }
        for event in self.chance.choices(list(likely), list(likely.values()), k=events):
            print(f"{self.clock} s: {event.__name__}, {len(self.node.live)} live")
            event()
            self.demand_sound()

    def demand_sound(self) -> None:
        leases = self.node.leases()
        living = self.node.living()
        assert living.items() <= leases.items(), "a pod lives without its lease"
        known = {*living.values(), *self.lost}
        assert set(leases.values()) <= known, "a lease of nobody"

    def usable(self) -> set[str]:
        every = {f"10.86.0.{last}" for last in range(2, 15)}
        return every - set(self.node.ipam.get("exclude", []))

    def pod(self) -> Pod:
        (pod,) = self.node.pods(1)
        pod.uid = self.chance.choice(["", f"uid-{next(self.numbers)}"])
        return pod

    def any(self) -> Optional[Pod]:
        return self.chance.choice(self.node.live) if self.node.live else None

    def add(self, pod: Pod) -> bool:
        """A refusal must be for want of addresses: each usable one is of a pod that lives, or that
        was missed for less than the grace."""
        answer = self.node.try_add(pod)
        if not answer.ok:
            self.clock += 2  # it may have been told what another one found just before
            self.node.machine.later(2)
            answer = self.node.try_add(pod)
        if answer.ok:
            assert set(pod.addresses) <= self.usable()
            return True
        exhaustion(answer)
        leases = self.node.leases()
        assert self.usable() <= set(leases)
        holders = {leases[address] for address in self.usable()}
        for container in holders - set(self.node.living().values()):
            since = self.lost[container]
            assert since is None or self.clock - since < GRACE, f"{container} is a leak"
            self.lost[container] = self.clock if since is None else since
        netns.remove(pod.netns.name)
        return False

    def start(self) -> None:
        self.add(self.pod())

    def stop(self) -> None:
        if pod := self.any():
            self.node.stop(pod)
            if self.chance.random() < 0.3:
                self.node.delete(pod)

    def lose(self) -> None:
        if pod := self.any():
            self.node.lose(pod)
            self.lost[pod.container] = None

    def fail(self) -> None:
        """Another plugin of the list failed."""
        pod = self.pod()
        if self.add(pod):
            self.node.stop(pod)

    def replace(self) -> None:
        """The next sandbox of a pod."""
        pod = self.any()
        if not pod or not pod.uid:
            return
        if self.chance.random() < 0.5:
            self.node.stop(pod)
        else:
            self.node.lose(pod)
            self.lost[pod.container] = None
        successor = self.node.next_sandbox(pod)
        if self.add(successor) and set(pod.addresses) <= self.usable():
            assert successor.addresses == pod.addresses

    def repeat(self) -> None:
        if pod := self.any():
            before = pod.addresses
            self.node.add(pod)
            assert pod.addresses == before

    def kill(self) -> None:
        """The plugin is killed at any point of an ADD; then the runtime tries again, or gives up,
        or loses the pod."""
        pod = self.pod()
        with self.node.spawn("ADD", pod) as process:
            time.sleep(self.chance.random() * 0.01)
            process.kill()
        after = self.chance.choice(["again", "give up", "lose"])
        if after == "again":
            # It may have a lease by now that nobody knows of.
            self.lost[pod.container] = None
            self.add(pod)
        elif after == "give up":
            self.node.stop(pod)
        else:
            self.node.lose(pod)
            self.lost[pod.container] = None

    def collect(self) -> None:
        """GC by a runtime that knows of some pods only."""
        count = self.chance.randint(0, len(self.node.live))
        valid = self.chance.sample(self.node.live, count)
        known = [{"containerID": pod.container, "ifname": pod.ifname} for pod in valid]
        config = self.node.config(**{"cni.dev/valid-attachments": known})
        answer = cni.call(places.podlease(), "GC", config, under=self.node.machine.under)
        assert answer.ok, answer
        # Without a process of a pod, nothing proves here that the others have none.
        assert not self.node.live or self.node.leases() == self.node.living()

    def check(self) -> None:
        for pod in self.node.live:
            answer = self.node.call("CHECK", pod, more={"prevResult": pod.result})
            assert answer.ok, answer

    def edit(self) -> None:
        every = [f"10.86.0.{last}" for last in range(2, 15)]
        self.node.ipam["exclude"] = self.chance.sample(every, self.chance.choice([0, 0, 3]))

    def wait(self) -> None:
        seconds = self.chance.choice([2, 10, HALF, GRACE])
        self.clock += seconds
        self.node.machine.later(seconds)

    def reboot(self) -> None:
        self.lost.update({pod.container: None for pod in self.node.live})
        self.node.reboot()

    def fill(self) -> None:
        while self.add(self.pod()):
            self.demand_sound()


def test_the_life_of_a_node(node: Node):
    print(f"PODLEASE_LIFE_SEED={SEED}")
    life = Life(node, random.Random(SEED))
    life.run(int(os.environ.get("PODLEASE_LIFE_EVENTS", "250")))
    node.ipam["exclude"] = []
    life.fill()
    node.machine.later(GRACE)
    life.fill()
    assert node.leases() == node.living()
    assert len(node.live) == ROOM
    node.stop(*node.live)
    assert store.read_sound(Path(node.ipam["dataDir"])).leased == {}
