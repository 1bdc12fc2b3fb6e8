"""A store that is new, lost or damaged learns who has addresses before it gives any away: from the
namespaces, from libcni's cache, from host-local's folder. And DELs that find their lease although
much has changed."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest
from lab import cni, cnitool, hold, netns, places, store
from lab.cni import Answer
from lab.cnitool import Network
from lab.ipam import DEFAULT_ROUTES, Ipam
from lab.machine import Machine
from lab.netns import Netns, NetnsFactory
from lab.node import Node
from lab.shell import Shell

V4, V6 = "10.87.0.0/24", "fd00:87::/64"
CACHE = Path("/var/lib/cni/results")
NETWORKS = Path("/var/lib/cni/networks")
GRACE = 60  # kGrace of src/ipam/reclaim.h, in seconds
LONG_AGO = 1_000_000_000  # before this boot, by the clock on the wall


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


class Lab:
    """A real bridge under cnitool, and what became of its pods."""

    def __init__(self, folder: Path, new_netns: NetnsFactory) -> None:
        self.ipam = Ipam("podlease", places.LEASES)
        self.new_netns = new_netns
        self.network = Network(folder / "net.d", self.conflist())
        self.held: dict[Netns, list[str]] = {}

    def conflist(self, *subnets: str, plugin: str = "podlease", **more: Any) -> dict:
        ipam = self.ipam.config(*(subnets or (V4, V6)), routes=DEFAULT_ROUTES, **more)
        if plugin == "host-local":
            del ipam["dataDir"]
        return cnitool.conflist("lab", cnitool.bridge({**ipam, "type": plugin}))

    def try_start(self, number: int, ifname: str = "eth0") -> Answer:
        pod = self.new_netns()
        answer = self.network.add(pod, args=args_of(number), ifname=ifname)
        if answer.ok:
            taken = {address for held in self.held.values() for address in held}
            assert not taken & set(answer.addresses), f"{answer.addresses} given twice"
            self.held[pod] = answer.addresses
        return answer

    def start(self, *numbers: int) -> list[Netns]:
        for number in numbers:
            answer = self.try_start(number)
            assert answer.ok, answer
        return list(self.held)[-len(numbers) :]

    def lose(self, *pods: Netns) -> None:
        """They end, and nobody sends a DEL."""
        for pod in pods:
            pod.delete()
            del self.held[pod]

    def stop(self, *pods: Netns) -> None:
        for pod in pods:
            assert self.network.delete(pod).stderr == ""
            pod.delete()
            del self.held[pod]

    def living(self) -> dict[str, str]:
        return {address: str(pod.path) for pod, held in self.held.items() for address in held}

    def leases(self) -> dict[str, str]:
        """Address to namespace."""
        return {lease["address"]: lease["netns"] for lease in self.ipam.leases()}

    def names(self) -> dict[str, tuple[str, str, str]]:
        """Of the pods, by address."""
        return {
            lease["address"]: (lease["podNamespace"], lease["podName"], lease["podUID"])
            for lease in self.ipam.leases()
        }

    def lose_store(self) -> None:
        shutil.rmtree(self.ipam.data_dir)

    def container_of(self, pod: Netns) -> str:
        """Its id, as the store has it."""
        leases = self.ipam.leases()
        return next(one["containerID"] for one in leases if one["netns"] == str(pod.path))

    def call(self, verb: str, pod: Netns, container_id: str, **more: Any) -> Answer:
        """The plugin alone, about a pod of the network."""
        ipam = self.ipam.config(V4, V6)
        config = {"cniVersion": "1.1.0", "name": "lab", "ipam": ipam, **more}
        how = {"container_id": container_id, "netns": pod.path, "args": args_of(1)}
        return cni.call(places.podlease(), verb, config, **how)


def args_of(number: int) -> str:
    return (
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;"
        f"K8S_POD_NAME=cart-{number};K8S_POD_UID=uid-{number}"
    )


def name_of(number: int) -> tuple[str, str, str]:
    return ("shop", f"cart-{number}", f"uid-{number}")


@pytest.fixture
def lab(tmp_path: Path, new_netns: NetnsFactory) -> Lab:
    return Lab(tmp_path, new_netns)


# --- Lost stores --------------------------------------------------------------------------------


def keep_cache() -> None:
    pass


def lose_cache() -> None:
    """As an ADD that was under way is not in it."""
    shutil.rmtree(CACHE)


BY = pytest.mark.parametrize("cache", [keep_cache, lose_cache])


@BY
def test_a_lost_store_gives_away_no_address_that_a_pod_has(lab: Lab, cache: Callable[[], None]):
    pods = lab.start(1, 2, 3, 4)
    before = lab.ipam.leases()
    lab.lose(pods[1])
    lab.lose_store()
    cache()
    (newcomer,) = lab.start(5)
    assert newcomer.reaches(lab.held[pods[0]][0])
    assert newcomer.reaches(lab.held[pods[3]][1])
    assert lab.leases() == lab.living()
    if cache is keep_cache:
        for number, pod in ((1, pods[0]), (3, pods[2]), (4, pods[3])):
            for address in lab.held[pod]:
                assert lab.names()[address] == name_of(number)
        same = ("network", "containerID", "ifname", "address", "prefixLength", "gateway", "bootID")
        rebuilt = [[lease[key] for key in same] for lease in lab.ipam.leases()]
        for lease in before:
            assert lease["netns"] == str(pods[1].path) or [lease[key] for key in same] in rebuilt
    lab.stop(*lab.held)
    assert lab.leases() == {}


FIRST = pytest.mark.parametrize("first", [True, False], ids=["first of all", "after another"])


@FIRST
@BY
def test_check_of_a_pod_passes_after_the_store_was_lost(
    lab: Lab, cache: Callable[[], None], first: bool
):
    """Whoever has rebuilt it, and from what."""
    (pod,) = lab.start(1)
    container_id = lab.container_of(pod)
    result = {"cniVersion": "1.1.0", "ips": [ip_of(address) for address in lab.held[pod]]}
    lab.lose_store()
    cache()
    if not first:
        lab.start(2)
    known = lab.leases()
    answer = lab.call("CHECK", pod, container_id, prevResult=result)
    assert answer.ok, answer
    assert lab.leases() == known, "it changes nothing"
    lab.start(1)
    assert lab.leases() == lab.living()


def ip_of(address: str) -> dict:
    return {"address": f"{address}/{24 if '.' in address else 64}"}


@FIRST
@BY
def test_a_repeated_add_after_the_loss_gives_a_pod_what_it_has(
    lab: Lab, cache: Callable[[], None], first: bool
):
    (pod, _) = lab.start(1, 2)
    container_id = lab.container_of(pod)
    lab.lose_store()
    cache()
    if not first:
        lab.start(3)
    answer = lab.call("ADD", pod, container_id)
    assert answer.addresses == lab.held[pod]
    assert lab.leases() == lab.living()


@BY
def test_a_full_range_is_full_after_the_loss_too(lab: Lab, cache: Callable[[], None]):
    lab.network.write(lab.conflist("10.87.0.0/29", "fd00:87::/125"))
    lab.start(*range(5))
    lab.lose_store()
    cache()
    assert "no IP addresses available" in lab.try_start(5).stderr
    pod = list(lab.held)[2]
    assert lab.network.delete(pod).ok
    pod.delete()
    del lab.held[pod]
    lab.start(6)
    assert lab.leases() == lab.living()


@BY
def test_the_del_that_comes_first_after_the_loss_frees_its_own(
    lab: Lab, cache: Callable[[], None]
):
    pods = lab.start(1, 2, 3)
    lab.lose_store()
    cache()
    lab.stop(pods[0])
    lab.start(4)
    lab.stop(pods[1])
    assert lab.leases() == lab.living()


@BY
def test_the_del_of_an_adopted_pod_succeeds_when_its_namespace_is_gone(
    lab: Lab, cache: Callable[[], None]
):
    pods = lab.start(1, 2)
    lab.lose_store()
    cache()
    lab.start(3)
    for pod in pods:
        pod.delete()
        assert lab.network.delete(pod).stderr == ""
        (address, _) = lab.held.pop(pod)
        if cache is lose_cache:
            # Nothing but the namespace tells whose it is, and a name is no namespace: it ends as
            # that of a lost DEL does (FACTS, section 2).
            subprocess.run([places.podlease(), "release", address], check=True)
    assert lab.leases() == lab.living()


def test_every_interface_of_a_pod_is_found(lab: Lab):
    (pod,) = lab.start(1)
    second = lab.network.add(pod, ifname="net1", args=args_of(1)).addresses
    lab.lose_store()
    lab.start(2)
    found = {lease["address"]: lease["ifname"] for lease in lab.ipam.leases()}
    for address, ifname in [(a, "eth0") for a in lab.held[pod]] + [(a, "net1") for a in second]:
        assert found[address] == ifname
    assert lab.network.delete(pod, ifname="net1").ok
    lab.stop(*lab.held)
    assert lab.leases() == {}


def test_a_namespace_that_only_the_cache_knows_is_looked_into(lab: Lab, tmp_path: Path):
    """It has its name in a folder that nobody would look into."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (pod,) = lab.start(1)
    there = folder / "pod"
    there.touch()
    subprocess.run(["mount", "--bind", pod.path, there], check=True)
    (entry,) = CACHE.iterdir()
    entry.write_text(entry.read_text().replace(str(pod.path), str(there)))
    pod.delete()
    lab.lose_store()
    lab.start(2)
    for address in lab.held[pod]:
        assert lab.leases()[address] == str(there)
        assert lab.names()[address] == name_of(1)
    subprocess.run(["umount", there], check=True)


def test_pods_of_another_network_are_not_taken_for_those_of_this_one(lab: Lab, tmp_path: Path):
    """Two bridges may use the same addresses, if nobody routes between them: without gateways."""
    lab.network.write({**lab.conflist(), "plugins": [bridge_named("br-lab", lab)]})
    other = Network(
        tmp_path / "net.d",
        {**lab.conflist(), "name": "other", "plugins": [bridge_named("br-other", lab)]},
    )
    stranger = lab.new_netns()
    taken = other.add(stranger).addresses
    lab.lose_store()
    # The new store knows nothing of the other's wire, which may be ours (FACTS, section 2).
    (pod,) = lab.start(1)
    assert not set(lab.held[pod]) & set(taken)
    late = lab.new_netns()
    given = other.add(late).addresses
    assert not set(given) & set(taken)
    by_network = {(lease["network"], lease["address"]) for lease in lab.ipam.leases()}
    assert by_network == {("lab", address) for address in lab.held[pod]} | {
        ("other", address) for address in (*taken, *given)
    }
    assert other.delete(stranger).ok
    assert not {("other", address) for address in taken} & {
        (lease["network"], lease["address"]) for lease in lab.ipam.leases()
    }


def bridge_named(name: str, lab: Lab) -> dict:
    return cnitool.bridge(lab.ipam.config(V4, V6), name=name, isGateway=False)


@pytest.mark.parametrize("folder", ["/run/netns", "/var/run/netns"])
@BY
def test_what_was_adopted_is_reclaimed_once_it_is_gone(
    machine: Machine,
    tmp_path: Path,
    new_netns: NetnsFactory,
    cache: Callable[[], None],
    folder: str,
):
    """Whichever of the two names of one folder the runtime uses."""
    lab = Lab(tmp_path, new_netns)
    lab.network.write(lab.conflist("10.87.0.0/29"))
    lab.start(*range(4))
    for entry in CACHE.iterdir():
        entry.write_text(entry.read_text().replace("/run/netns", folder))
    lab.lose_store()
    cache()
    node = Node(machine, lab.ipam.data_dir, "10.87.0.0/29")
    newcomers = node.pods(2)
    for pod in newcomers:
        pod.netns = Path(folder) / pod.netns.name
    node.add(newcomers[0])
    lab.lose(*lab.held)
    try:
        assert node.refuse(newcomers[1])["suspect"] == 4
        machine.later(GRACE)
        node.add(newcomers[1])
        assert node.leases() == node.living()
    finally:
        netns.remove(*(pod.netns.name for pod in newcomers))


def test_a_damaged_store_is_moved_aside_and_rebuilt(lab: Lab):
    pods = lab.start(1, 2, 3)
    file = lab.ipam.data_dir / "podlease.db"
    garbage = b"garbage " * 512
    file.write_bytes(garbage)
    log = file.with_name("podlease.db-wal")
    log.unlink(missing_ok=True)
    answer = lab.try_start(4)
    assert answer.ok, answer
    assert lab.leases() == lab.living()
    aside = list(lab.ipam.data_dir.glob("podlease.db.damaged-*"))
    assert [path.read_bytes() for path in aside] == [garbage]
    lab.stop(*pods)
    assert lab.leases() == lab.living()


# --- Cache files --------------------------------------------------------------------------------


def cache_entry(network: str, container_id: str, path: object, address: str) -> dict:
    """As libcni writes them."""
    return {
        "kind": "cniCacheV1",
        "containerId": container_id,
        "config": "e30=",
        "ifName": "eth0",
        "networkName": network,
        "netns": str(path),
        "cniArgs": [["K8S_POD_NAME", container_id]],
        "result": {"cniVersion": "1.1.0", "ips": [{"address": f"{address}/24"}]},
    }


def spoil_with(*contents: Optional[bytes]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        for number, content in enumerate(contents):
            (path / f"lab-spoilt{number}-eth0").write_bytes(content or b"")

    return spoil


def spoil_by_halves(path: Path) -> None:
    whole = json.dumps(cache_entry("lab", "half", "/run/netns/half", "10.87.0.77")).encode()
    for size in range(0, len(whole) - 1, 7):
        (path / f"lab-half{size}-eth0").write_bytes(whole[:size])


def spoil_types(path: Path) -> None:
    entry = cache_entry("lab", "wrong", "/run/netns/wrong", "10.87.0.77")
    for number, key in enumerate(entry):
        for wrong in (None, 7, [], {}, ["x"], "10.0.0.1/99", {"ips": [7]}):
            content = json.dumps({**entry, key: wrong})
            (path / f"lab-{key}-{json.dumps(wrong).replace('/', '_')}").write_text(content)


def spoil_kinds(path: Path) -> None:
    (path / "lab-folder-eth0").mkdir()
    os.mkfifo(path / "lab-pipe-eth0")
    (path / "lab-circle-eth0").symlink_to("lab-circle-eth0")
    (path / "lab-nowhere-eth0").symlink_to("/nowhere")
    (path / "lab-zeros-eth0").symlink_to("/dev/zero")
    (path / "lab-socket-eth0").symlink_to("/proc/self/fd/0")


def spoil_size(path: Path) -> None:
    with (path / "lab-huge-eth0").open("wb") as file:
        file.truncate(1 << 34)


SPOILT: dict[str, Callable[[Path], None]] = {
    "half written": spoil_by_halves,
    "not json": spoil_with(b"", b"\0" * 4096, b"\xff\xfe", b"{", b"[" * 100_000, b"null", b"7"),
    "wrong types": spoil_types,
    "no files": spoil_kinds,
    "huge": spoil_size,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_cache_files_that_tell_nothing_are_skipped(lab: Lab, spoil: Callable[[Path], None]):
    pods = lab.start(1, 2)
    lab.lose_store()
    spoil(CACHE)
    lab.start(3)
    for number, pod in ((1, pods[0]), (2, pods[1])):
        for address in lab.held[pod]:
            assert lab.leases()[address] == str(pod.path)
            assert lab.names()[address] == name_of(number)
    lab.stop(*lab.held)


def test_a_cache_that_is_no_folder_is_an_empty_one(lab: Lab):
    (pod,) = lab.start(1)
    config = {"cniVersion": "1.1.0", "name": "lab", "ipam": lab.ipam.config(V4, V6)}
    lab.lose_store()
    shutil.rmtree(CACHE)
    CACHE.write_text("a file")
    other = lab.new_netns()
    answer = cni.call(places.podlease(), "ADD", config, container_id="other", netns=other.path)
    assert answer.addresses == ["10.87.0.3", "fd00:87::3"]
    assert set(lab.held[pod]) <= set(lab.leases())


def test_an_entry_whose_namespace_is_gone_is_not_adopted(lab: Lab):
    pods = lab.start(1, 2, 3)
    lab.lose(*pods[:2])
    lab.lose_store()
    lab.start(4)
    assert lab.leases() == lab.living()
    assert lab.held[list(lab.held)[-1]][0] in ("10.87.0.2", "10.87.0.3", "10.87.0.5")


def test_an_entry_whose_namespace_is_out_of_sight_is_adopted(lab: Lab, tmp_path: Path):
    """Between a leak and a duplicate the leak."""
    CACHE.mkdir(parents=True)
    hidden = cache_entry("lab", "hidden", tmp_path / "not/here", "10.87.0.2")
    (CACHE / "lab-hidden-eth0").write_text(json.dumps(hidden))
    (pod,) = lab.start(1)
    assert lab.held[pod][0] == "10.87.0.3"
    (lease,) = (lease for lease in lab.ipam.leases() if lease["address"] == "10.87.0.2")
    assert (lease["containerID"], lease["podName"]) == ("hidden", "hidden")


# --- host-local's folder ------------------------------------------------------------------------


@pytest.fixture
def old(lab: Lab) -> Lab:
    """The lab under host-local."""
    lab.network.write(lab.conflist(plugin="host-local"))
    return lab


def test_host_locals_pods_have_their_names_from_the_cache(old: Lab):
    pods = old.start(1, 2)
    old.network.write(old.conflist())
    old.start(3)
    assert old.leases() == old.living()
    for number, pod in ((1, pods[0]), (2, pods[1])):
        for address in old.held[pod]:
            assert old.names()[address] == name_of(number)


def test_host_locals_entries_that_the_cache_refutes_are_not_adopted(old: Lab):
    """All that host-local leaked is free at once."""
    subnet = "10.87.0.0/29"
    old.network.write(old.conflist(subnet, plugin="host-local"))
    pods = old.start(*range(5))
    old.lose(*pods[1:4])
    assert "no IP addresses available" in old.try_start(5).stderr
    files = sorted(path.name for path in (NETWORKS / "lab").iterdir())
    old.network.write(old.conflist(subnet))
    old.start(6, 7, 8)
    assert old.leases() == old.living()
    assert sorted(path.name for path in (NETWORKS / "lab").iterdir()) == files
    assert "no IP addresses available" in old.try_start(9).stderr


def test_host_locals_entries_of_this_boot_count_without_a_cache(old: Lab):
    pods = old.start(1, 2)
    shutil.rmtree(CACHE)
    old.lose(pods[0])
    old.network.write(old.conflist())
    old.start(3)
    leases = old.leases()
    assert set(old.living()) <= set(leases)
    assert {"10.87.0.2", "fd00:87::2"} <= set(leases), "nothing tells that it has ended"


@pytest.mark.parametrize("source", ["host-local", "cache"])
def test_what_was_adopted_without_a_namespace_does_not_outlive_the_boot(
    machine: Machine, tmp_path: Path, source: str
):
    """Nothing but the boot tells that these have ended."""
    folder = NETWORKS / "lab" if source == "host-local" else CACHE
    folder.mkdir(parents=True)
    for last in range(2, 7):
        address, container_id = f"10.87.0.{last}", f"old-{last}"
        if source == "host-local":
            (folder / address).write_text(f"{container_id}\r\neth0")
        else:
            entry = cache_entry("lab", container_id, tmp_path / "out/of/sight", address)
            (folder / f"lab-{container_id}-eth0").write_text(json.dumps(entry))
    node = Node(machine, places.LEASES, "10.87.0.0/28")
    node.start(8)
    assert node.refuse()["suspect"] == 0
    node.reboot()
    node.start(13)
    assert node.leases() == node.living()
    netns.remove(*netns.names())


def test_host_locals_entries_of_an_earlier_boot_need_a_witness(old: Lab):
    cached, inside, neither = old.start(1, 2, 3)
    for entry in (NETWORKS / "lab").glob("*[.:]*"):
        os.utime(entry, (LONG_AGO, LONG_AGO))
    for entry in CACHE.iterdir():
        if str(cached.path) not in entry.read_text():
            entry.unlink()
    old.lose(neither)
    old.network.write(old.conflist())
    (newcomer,) = old.start(4)
    assert set(old.leases()) == set(old.living())
    old.stop(cached, inside, newcomer)
    assert old.leases() == {}


def test_a_lost_store_of_a_network_that_was_host_locals_once(old: Lab):
    """Its folder still has files; those of ended pods are refuted, and new pods are in none."""
    pods = old.start(1, 2, 3)
    old.network.write(old.conflist())
    late = old.start(4, 5)
    old.stop(pods[0])
    old.lose(pods[1])
    old.lose_store()
    old.start(6)
    leases = old.leases()
    assert old.living().items() <= leases.items()
    assert not set(leases) & {"10.87.0.3", "fd00:87::3"}, "its namespace is gone"
    for address in old.held[late[0]]:
        assert old.names()[address] == name_of(4)


@pytest.fixture
def alone(new_netns: NetnsFactory) -> Iterator[Callable[..., Any]]:
    """ADDs of the plugin alone, beside a folder of host-local's."""
    folder = NETWORKS / "lab"
    folder.mkdir(parents=True)
    (folder / "10.87.0.2").write_text("old\r\neth0")
    path = new_netns().path

    def add(**ipam: Any) -> Any:
        ipam = Ipam("podlease", places.LEASES).config(V4, **ipam)
        config = {"cniVersion": "1.1.0", "name": "lab", "ipam": ipam}
        process = cni.spawn(places.podlease(), "ADD", netns=path)
        process.stdin.write(cni.stdin_of(config))
        process.stdin.close()
        return process

    yield add


def answer_of(process: subprocess.Popen) -> Answer:
    with process:
        return Answer(process.wait(60), process.stdout.read(), process.stderr.read().decode())


def test_a_foreign_holder_of_host_locals_lock_is_waited_for(alone: Callable[..., Any]):
    with hold.locked(NETWORKS / "lab"):
        process = alone(lockTimeout="60s")
        hold.wait_until_waiting(process.pid)
    assert answer_of(process).addresses == ["10.87.0.3"]


def test_a_foreign_holder_that_stays_is_an_error_to_try_again(alone: Callable[..., Any]):
    with hold.locked(NETWORKS / "lab"):
        for _ in range(2):
            answer = answer_of(alone(lockTimeout="100ms"))
            assert answer.status == 1 and answer.json["code"] == 11, answer
            assert str(NETWORKS / "lab") in answer.json["msg"] + answer.json["details"]
    assert answer_of(alone(lockTimeout="100ms")).addresses == ["10.87.0.3"]


# --- What a person can see and do ---------------------------------------------------------------


def adopt(lab: Lab, *options: str) -> dict[str, bool]:
    """`podlease adopt`: the addresses found, and whether each is adopted."""
    conflist = (lab.network.folder / "lab.conflist").read_text()
    command = [places.podlease(), "adopt", "--output", "json", *options]
    done = subprocess.run(command, input=conflist, capture_output=True, text=True)
    assert done.returncode == 0, done
    found = json.loads(done.stdout)
    assert all(item["evidence"] for item in found)
    return {item["address"]: item["adopted"] for item in found}


def test_adopt_says_what_it_would_do_and_then_does_it(old: Lab):
    kept, gone = old.start(1, 2)
    expected = {address: True for address in old.held[kept]}
    expected.update({address: False for address in old.held[gone]})
    old.lose(gone)
    old.network.write(old.conflist())
    assert adopt(old, "--dry-run") == expected
    assert not old.ipam.data_dir.exists()
    assert adopt(old) == expected
    assert old.leases() == old.living()
    old.start(3)
    old.lose_store()
    expected.update({address: True for address in old.held[list(old.held)[-1]]})
    assert adopt(old, "--dry-run") == expected
    assert not old.ipam.data_dir.exists()
    assert adopt(old) == expected
    assert old.leases() == old.living()


def audit(lab: Lab, status: int) -> list[dict]:
    """`podlease audit`: what it finds."""
    command = [places.podlease(), "audit", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    findings = json.loads(done.stdout)
    assert done.returncode == status, findings
    assert all(item["evidence"] and item["remedy"] for item in findings)
    return findings


def age(lab: Lab) -> None:
    """Makes all leases older than an ADD may take."""
    with Shell(lab.ipam.data_dir) as shell:
        shell.ask("UPDATE lease SET created = created - 1000000")


def test_audit_of_a_healthy_node_finds_nothing(old: Lab):
    old.start(1, 2)
    old.network.write(old.conflist())
    old.start(3, 4)
    age(old)
    assert audit(old, 0) == []


def test_audit_finds_pods_that_are_gone(lab: Lab):
    (pod, _) = lab.start(1, 2)
    held = lab.held[pod]
    lab.lose(pod)
    age(lab)
    findings = audit(lab, 2)
    assert {item["address"] for item in findings} == set(held)
    assert all("podlease gc" in item["remedy"] for item in findings)


def test_audit_finds_addresses_that_only_one_side_has(lab: Lab):
    (unused, _, extra) = lab.start(1, 2, 3)
    age(lab)
    unused.run("ip", "address", "del", f"{lab.held[unused][0]}/24", "dev", "eth0")
    extra.run("ip", "address", "add", "10.87.0.99/24", "dev", "eth0")
    findings = audit(lab, 2)
    assert {item["address"] for item in findings} == {lab.held[unused][0], "10.87.0.99"}


def test_audit_finds_an_address_that_two_pods_use(lab: Lab):
    (first, second) = lab.start(1, 2)
    age(lab)
    second.run("ip", "address", "add", f"{lab.held[first][0]}/24", "dev", "eth0")
    (finding,) = audit(lab, 2)
    assert finding["address"] == lab.held[first][0]
    for pod in (first, second):
        assert str(pod.path) in finding["evidence"]


def test_audit_finds_a_pod_that_the_store_has_lost(lab: Lab):
    (pod, _) = lab.start(1, 2)
    age(lab)
    subprocess.run([places.podlease(), "release", "--force", "shop/cart-1"], check=True)
    findings = audit(lab, 2)
    assert {item["address"] for item in findings} == set(lab.held[pod])


def test_audit_lists_cache_files_that_tell_nothing(lab: Lab):
    lab.start(1)
    spoilt = CACHE / "lab-spoilt-eth0"
    spoilt.write_text('{"kind":')
    found = json.loads(
        subprocess.run([places.podlease(), "audit", "-o", "json"], capture_output=True).stdout
    )
    assert [item["subject"] for item in found] == [str(spoilt)]


@pytest.mark.parametrize("before", [True, False], ids=["known folder", "new folder"])
def test_audit_finds_that_host_local_still_leases(old: Lab, before: bool):
    """Two plugins on one network: no ADD succeeds any more, so something is wrong."""
    if before:
        old.start(1)
    old.network.write(old.conflist())
    old.start(2)
    old.network.write(old.conflist(plugin="host-local"))
    intruder = old.new_netns()
    answer = old.network.add(intruder)
    old.network.write(old.conflist())
    assert "host-local has leased" in old.try_start(3).stderr
    addresses = {item["address"] for item in audit(old, 2)}
    assert answer.addresses[0] in addresses


# --- DEL, whatever has changed ------------------------------------------------------------------


def edit_data_dir(lab: Lab) -> dict:
    return lab.conflist(dataDir=str(lab.ipam.data_dir.with_name("elsewhere")))


def edit_into_nonsense(lab: Lab) -> dict:
    return lab.conflist(ranges="all of them", cooldown=[], dataDir=7, mode={})


def edit_ranges(lab: Lab) -> dict:
    return lab.conflist("10.99.0.0/24")


def edit_out(lab: Lab) -> dict:
    return cnitool.conflist("lab", cnitool.bridge({"type": "podlease"}))


@pytest.mark.parametrize("edit", [edit_data_dir, edit_into_nonsense, edit_ranges, edit_out])
@pytest.mark.parametrize("gone", [False, True], ids=["namespace there", "namespace gone"])
def test_del_finds_its_lease_under_an_edited_configuration(
    lab: Lab, edit: Callable[[Lab], dict], gone: bool
):
    pods = lab.start(1, 2, 3)
    lab.network.write(edit(lab))
    for pod in pods[:2]:
        if gone:
            pod.delete()
        assert lab.network.delete(pod).stderr == ""
        del lab.held[pod]
    assert lab.leases() == lab.living()


def test_after_the_data_dir_was_edited_old_pods_keep_their_addresses(lab: Lab):
    """The store it names is a new one."""
    pods = lab.start(1, 2)
    lab.network.write(edit_data_dir(lab))
    late = lab.start(3)
    assert late[0].reaches(lab.held[pods[0]][0])
    lab.stop(*pods)
    lab.stop(*late)
    shown = json.loads(subprocess.check_output([places.podlease(), "list", "--output", "json"]))
    assert [(lease["dataDir"], lease["address"]) for lease in shown] == []


def test_a_data_dir_that_no_add_could_use_has_ended_no_lease(machine: Machine):
    """On the way back, the first time and after it was there before."""
    node = Node(machine, places.LEASES, "10.87.0.0/29")
    here, there = str(places.LEASES), str(places.LEASES.with_name("elsewhere"))
    node.start(5)
    for _ in range(2):
        for folder in (there, here, there, here):
            node.ipam["dataDir"] = folder
            assert node.refuse()["used"] == 5
        assert node.leases() == node.living()
        # Now it arrives, and comes back.
        for folder in (there, here):
            node.ipam["dataDir"] = folder
            node.stop(node.live[0])
            machine.later(2)
            node.start(1)
            assert node.leases() == node.living()
    node.stop(*node.live)
    netns.remove(*(name for name in netns.names() if name.startswith("box-")))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "disk", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("early", range(0, 20, 4))
def test_on_a_full_disk_pods_with_a_history_can_be_deleted(
    machine: Machine, small_disk: Path, early: int
):
    """What is remembered of pods and ended leases stops no DEL, and no ADD does half its work."""
    node = Node(machine, small_disk / "leases", V4, V6)
    node.stop(*node.start(early, "early-"))
    pods = node.start(20, "uid-")
    (newcomer,) = node.pods(1, "late-")
    with (small_disk / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"x" * 512)
        except OSError:
            pass
    node.delete(*pods[::2])
    while (answer := node.try_add(newcomer)).ok:
        (newcomer,) = node.pods(1, "late-")
    assert answer.json["code"] == 5, answer
    assert node.leases() == node.living()
    node.delete(*pods[1::2])
    (small_disk / "ballast").unlink()
    node.add(newcomer)
    node.delete(*node.live)
    assert store.read_sound(small_disk / "leases").leased == {}
    netns.remove(*(name for name in netns.names() if name.startswith("box-")))
