"""FACTS.md section 2, and the rows of section 5 about whose address it is: 6, 7, 15 to 18, 40, 42,
43. No two pods that could meet have one address, whatever their networks, folders and plugins are
called; and what a pod gets is what today's configuration says."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from lab import cni, cnitool, places
from lab.cnitool import Network
from lab.ipam import DEFAULT_ROUTES, Ipam
from lab.netns import Netns, NetnsFactory
from lab.world import (
    BRIDGE,
    CACHE,
    DOCKER,
    GATEWAY,
    HOST_LOCAL,
    PROC,
    PTP,
    RUN,
    VAR_RUN,
    World,
    cache_entry,
    configuration,
    show,
)

CONFIG, TAKEN, EXHAUSTED = 7, 101, 100
V4, V6 = "10.63.0.0/24", "fd00:63::/64"
FIRST = {V4: "10.63.0.2", V6: "fd00:63::2"}
MULTUS = Path("/var/lib/cni/multus/results")
MOVED = places.LEASES.with_name("moved")

FAMILY = pytest.mark.parametrize("subnet", [V4, V6], ids=["v4", "v6"])
FOLDER = pytest.mark.parametrize(
    "folder", [RUN, VAR_RUN, DOCKER, PROC], ids=["run", "var-run", "docker", "proc"]
)
CACHED = pytest.mark.parametrize("cached", [True, False], ids=["cache", "no cache"])


def lose_cache() -> None:
    shutil.rmtree(CACHE, ignore_errors=True)


class Real:
    """A network of real plugins under cnitool, and what its pods hold."""

    def __init__(self, folder: Path, new_netns: NetnsFactory) -> None:
        self.folder = folder
        self.new_netns = new_netns
        self.held: dict[str, list[str]] = {}

    def network(self, name: str, main: dict) -> Network:
        return Network(self.folder, cnitool.conflist(name, main))

    def start(self, network: Network, count: int = 1) -> list[Netns]:
        pods = []
        for _ in range(count):
            pod = self.new_netns()
            answer = network.add(pod)
            assert answer.ok, answer
            self.note(pod, answer.addresses)
            pods.append(pod)
        return pods

    def note(self, pod: Netns, addresses: list[str]) -> None:
        for other, held in self.held.items():
            assert not set(held) & set(addresses), f"{addresses} of {other} given again"
        self.held[pod.name] = addresses


@pytest.fixture
def real(tmp_path: Path, new_netns: NetnsFactory) -> Real:
    return Real(tmp_path / "net.d", new_netns)


def ipam_of(*subnets: str, plugin: str = "podlease", **more: Any) -> dict:
    return Ipam(plugin, places.LEASES).config(*(subnets or (V4, V6)), routes=DEFAULT_ROUTES, **more)


# --- Row 6: a network is called otherwise ---------------------------------------------------------


@pytest.mark.parametrize("main", [cnitool.bridge, cnitool.ptp], ids=["bridge", "ptp"])
@CACHED
def test_6_pods_keep_their_addresses_when_their_network_is_renamed(
    real: Real, main: Callable[..., dict], cached: bool
):
    before = real.network("lab", main(ipam_of()))
    pods = real.start(before, 3)
    if not cached:
        lose_cache()
    after = real.network("renamed", main(ipam_of()))
    late = real.start(after, 3)
    assert late[0].reaches(real.held[pods[0].name][0])
    listed = json.loads(subprocess.check_output([places.podlease(), "list", "-o", "json"]))
    addresses = [lease["address"] for lease in listed]
    assert len(addresses) == len(set(addresses)) == 12
    assert before.delete(pods[0]).ok, "its runtime kept the configuration it was started with"
    for pod in late:
        assert after.delete(pod).ok


@FAMILY
@pytest.mark.parametrize("main", [GATEWAY, BRIDGE, PTP], ids=["gateway", "lan", "ptp"])
def test_6_a_renamed_network_gets_the_next_free_address(world: World, subnet: str, main: dict):
    old = configuration(subnet, main=main)
    new = configuration(subnet, name="renamed", main=main)
    world.add_all(world.pods(3), old)
    (address,) = world.add(world.pod(), new)
    assert address == FIRST[subnet][:-1] + "5"
    world.refuse(world.pod(), new, TAKEN, args=f"IP={FIRST[subnet]}")
    world.add(world.pod(), old)  # and back
    world.add(world.pod(), new)
    assert len(world.leases()) == 6


def test_6_the_cool_down_survives_a_rename(world: World):
    subnet = "10.63.0.0/29"
    pods = world.pods(2)
    world.add_all(pods, configuration(subnet))
    gone = pods[0].addresses
    world.delete(pods[0], configuration(subnet))
    given = [world.add(world.pod(), configuration(subnet, name="renamed")) for _ in range(3)]
    assert gone not in given, "it was freed a moment ago and others were never touched"


def test_6_a_pods_own_address_comes_back_over_a_rename(world: World):
    (pod,) = world.pods(1, uid="uid-")
    world.add_all([pod, *world.pods(2)], configuration(V4))
    world.delete(pod, configuration(V4))
    world.lose(pod)
    successor = world.next_sandbox(pod)
    assert world.add(successor, configuration(V4, name="renamed")) == pod.addresses


# --- Row 7: two networks on one wire --------------------------------------------------------------

SAME_WIRE = {
    "one bridge": (BRIDGE, BRIDGE),
    "one bridge with a gateway": (GATEWAY, GATEWAY),
    "two ptp": (PTP, PTP),
    "ptp and a bridge with a gateway": (PTP, GATEWAY),
    "two bridges with gateways": (GATEWAY, {**GATEWAY, "bridge": "cni1"}),
    "one bridge by default": ({"type": "bridge"}, BRIDGE),
    "one vlan of a bridge": ({**BRIDGE, "vlan": 7}, {**BRIDGE, "vlan": 7}),
    "one master": (
        {"type": "macvlan", "master": "eth0"},
        {"type": "macvlan", "master": "eth0", "mode": "bridge"},
    ),
    "macvlan and ipvlan": (
        {"type": "macvlan", "master": "eth0"},
        {"type": "ipvlan", "master": "eth0"},
    ),
    "one vlan of a master": (
        {"type": "vlan", "master": "eth0", "vlanId": 9},
        {"type": "vlan", "master": "eth0", "vlanId": 9},
    ),
    "an unknown plugin": ({"type": "sriov"}, BRIDGE),
}
OTHER_WIRE = {
    "two bridges": (BRIDGE, {**BRIDGE, "bridge": "cni1"}),
    "two vlans of a bridge": ({**BRIDGE, "vlan": 7}, {**BRIDGE, "vlan": 8}),
    "two masters": (
        {"type": "macvlan", "master": "eth0"},
        {"type": "macvlan", "master": "eth1"},
    ),
    "two vlans of a master": (
        {"type": "vlan", "master": "eth0", "vlanId": 9},
        {"type": "vlan", "master": "eth0", "vlanId": 10},
    ),
}


def link(name: str, *addresses: str, via: Optional[str] = None, peer: str = "") -> None:
    """An uplink of the host, on 192.0.2.0/24 unless said otherwise."""
    peer = peer or f"peer-{name}"
    run("link", "add", name, "type", "veth", "peer", "name", peer)
    for one in (name, peer):
        run("link", "set", one, "up")
    for address in addresses:
        run("address", "add", address, "dev", name)
    if via:
        run("route", "add", "default", "via", via, "dev", name)


def run(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@FAMILY
@pytest.mark.parametrize("mains", SAME_WIRE.values(), ids=SAME_WIRE.keys())
def test_7_two_networks_on_one_wire_never_give_one_address(
    world: World, subnet: str, mains: tuple[dict, dict]
):
    link("eth0", "192.0.2.9/24", via="192.0.2.1")
    confs = [configuration(subnet, name=n, main=m) for n, m in zip(("a", "b"), mains)]
    for number in range(6):
        world.add(world.pod(), confs[number % 2])
    assert len(world.leases()) == 6
    (first, holder) = next(iter(world.leases("a").items()))
    world.refuse(world.pod(), confs[1], TAKEN, holder, args=f"IP={first}")


@pytest.mark.parametrize("mains", OTHER_WIRE.values(), ids=OTHER_WIRE.keys())
def test_7_two_networks_on_different_wires_may(world: World, mains: tuple[dict, dict]):
    """Two LANs with equal addresses are no mistake, and refusing one of them would be."""
    link("eth0", "192.0.2.9/24", via="192.0.2.1")
    link("eth1", "198.51.100.9/24")
    confs = [configuration(V4, name=n, main=m) for n, m in zip(("a", "b"), mains)]
    for number in range(6):
        conf = confs[number % 2]
        world.add(world.pod(wire=conf["name"]), conf)
    assert sorted(world.leases("a")) == sorted(world.leases("b"))


def test_7_macvlan_without_a_master_is_on_the_default_routes_link(world: World):
    link("eth0", "192.0.2.9/24", via="192.0.2.1")
    link("eth1", "198.51.100.9/24")
    mains = ({"type": "macvlan"}, {"type": "macvlan", "master": "eth0"})
    confs = [configuration(V4, name=n, main=m) for n, m in zip(("a", "b"), mains)]
    for number in range(4):
        world.add(world.pod(), confs[number % 2])


def test_7_a_master_by_its_other_name_is_the_same_wire(world: World):
    link("eth0", "192.0.2.9/24", via="192.0.2.1")
    run("link", "property", "add", "dev", "eth0", "altname", "enp1s0")
    mains = [{"type": "macvlan", "master": name} for name in ("eth0", "enp1s0")]
    confs = [configuration(V4, name=n, main=m) for n, m in zip(("a", "b"), mains)]
    for number in range(4):
        world.add(world.pod(), confs[number % 2])


def test_7_networks_whose_ranges_only_overlap_share_what_they_share(world: World):
    wide = configuration("10.63.0.0/24", name="wide")
    narrow = configuration("10.63.0.0/28", name="narrow")
    for number in range(20):
        world.try_add(world.pod(), narrow if number % 2 else wide)
    assert len(world.leases()) >= 13


def test_7_a_store_of_before_counts_as_every_wire(world: World):
    """Its networks do not say where they are: two of one range are on one wire until both do."""
    a, b = (configuration(V4, name=name, main={**BRIDGE, "bridge": name}) for name in "ab")
    del a["bridge"], a["type"]
    world.add_all(world.pods(3), a)
    world.add_all(world.pods(3), b)


@pytest.mark.parametrize("subject", ["audit", "doctor", "status", "explain"])
def test_7_one_subnet_with_one_gateway_on_two_wires_is_told(
    world: World, tmp_path: Path, subject: str
):
    link("eth0", "192.0.2.9/24", via="192.0.2.1")
    link("eth1", "198.51.100.9/24")
    confs = [
        configuration(V4, name=n, main={"type": "macvlan", "master": m})
        for n, m in (("alpha", "eth0"), ("beta", "eth1"))
    ]
    for conf in confs:
        world.add(world.pod(wire=conf["name"]), conf)
    folder = tmp_path / "net.d"
    folder.mkdir()
    for conf in confs:
        (folder / f"10-{conf['name']}.conf").write_text(json.dumps(conf))
    if subject == "explain":
        done = world.command("explain", stdin=confs[1], folder=None)
    else:
        more = [] if subject == "audit" else ["--conf-dir", folder]
        done = world.command(subject, *more, statuses=(0, 2))
        assert subject != "audit" or done.returncode == 2
    told = [line for line in done.stdout.splitlines() if "alpha" in line and "beta" in line]
    assert told, done.stdout
    assert any(word in told[0] for word in ("10.63.0.0/24", "10.63.0.1")), told


# --- Row 15: host-local's folder of the same name -------------------------------------------------


def host_local(name: str, verb: str, container: str, subnet: str, **ipam: Any) -> cni.Answer:
    conf = configuration(subnet, name=name)
    conf["ipam"] = {"type": "host-local", "ranges": [[{"subnet": subnet}]], **ipam}
    env = {"CNI_NETNS_OVERRIDE": "1"}
    how = {"container_id": container, "netns": "/proc/self/ns/net", "env": env}
    return cni.call(places.peers("cni") / "host-local", verb, conf, **how)


@pytest.mark.parametrize("subnets", [("10.4.0.0/24", "10.22.0.0/16"), (V6, "fd00:22::/64")])
@pytest.mark.parametrize("first", ["host-local", "podlease"])
def test_15_host_locals_network_of_the_same_name_coexists(
    world: World, subnets: tuple[str, str], first: str
):
    ours, theirs = subnets
    conf = configuration(ours, name="bridge", main=GATEWAY)
    if first == "podlease":
        world.add(world.pod(), conf)
    for number in range(3):
        assert host_local("bridge", "ADD", f"theirs-{number}", theirs).ok
        world.add(world.pod(), conf)
    assert host_local("bridge", "DEL", "theirs-0", theirs).ok
    pod = world.pod()
    world.add(pod, conf)
    world.delete(pod, conf)
    assert world.leases() == world.living()
    assert len(list((HOST_LOCAL / "bridge").glob("*22*"))) == 2


def test_15_an_address_of_ours_in_host_locals_folder_is_a_conflict(world: World):
    conf = configuration(V4, name="bridge")
    world.add(world.pod(), conf)
    assert host_local("bridge", "ADD", "intruder", V4, rangeStart="10.63.0.9").ok
    world.refuse(world.pod(), conf, CONFIG, "host-local", "10.63.0.")


# --- Row 16: today's configuration ----------------------------------------------------------------

CHANGES: dict[str, tuple[dict, str, list[str]]] = {
    # what the ipam object says now, the arguments, and the addresses with mask and gateway
    "nothing": ({}, "", ["10.63.0.2/24 10.63.0.1"]),
    "subnet": ({"ranges": [[{"subnet": "10.64.0.0/24"}]]}, "", ["10.64.0.2/24 10.64.0.1"]),
    "mask": ({"ranges": [[{"subnet": "10.63.0.0/16"}]]}, "", ["10.63.0.2/16 10.63.0.1"]),
    "gateway": (
        {"ranges": [[{"subnet": V4, "gateway": "10.63.0.254"}]]},
        "",
        ["10.63.0.2/24 10.63.0.254"],
    ),
    "gateway is its address": (
        {"ranges": [[{"subnet": V4, "gateway": "10.63.0.2"}]]},
        "",
        ["10.63.0.1/24 10.63.0.2"],  # its first address is the gateway only by default
    ),
    "exclude": ({"exclude": ["10.63.0.0/29"]}, "", ["10.63.0.8/24 10.63.0.1"]),
    "one family more": (
        {"ranges": [[{"subnet": V4}], [{"subnet": V6}]]},
        "",
        ["10.63.0.2/24 10.63.0.1", "fd00:63::2/64 fd00:63::1"],
    ),
    "the other family": ({"ranges": [[{"subnet": V6}]]}, "", ["fd00:63::2/64 fd00:63::1"]),
    "IP=": ({}, "IP=10.63.0.77", ["10.63.0.77/24 10.63.0.1"]),
}


def told(answer: cni.Answer) -> list[str]:
    assert answer.ok, answer
    return [f"{ip['address']} {ip['gateway']}" for ip in answer.json["ips"]]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("why", ["boot", "another namespace"])
@pytest.mark.parametrize("folder", [RUN, PROC], ids=["run", "proc"])
def test_16_an_attachment_that_starts_again_gets_todays_configuration(
    world: World, change: tuple[dict, str, list[str]], why: str, folder: Path
):
    """podman keeps the ids of its containers."""
    conf = configuration(V4)
    pod = world.pod(folder)
    other = world.pod()
    world.add(pod, conf)
    world.add(other, configuration("10.65.0.0/24"))
    world.lose(pod)
    if why == "boot":
        world.vacate(other)
        world.machine.reboot()
        world.live = []
    again = world.pod(folder, container=pod.container)
    ipam, args, expected = change
    changed = {**conf, "ipam": {**conf["ipam"], **ipam}}
    assert told(world.call("ADD", again, changed, args)) == expected
    assert told(world.call("ADD", again, changed, args)) == expected, "ADD is idempotent"
    held = [address for address, whose in world.leases().items() if whose == pod.container]
    assert held == [one.split("/")[0] for one in expected], "what it had is free again"


@pytest.mark.parametrize("change", ["subnet", "exclude", "gateway", "the other family"])
@pytest.mark.parametrize("resident", [True, False], ids=["occupied", "fresh"])
def test_16_a_living_attachment_keeps_what_it_holds(world: World, change: str, resident: bool):
    conf = configuration(V4)
    pod = world.pod(resident=resident)
    first = told(world.call("ADD", pod, conf))
    changed = {**conf, "ipam": {**conf["ipam"], **CHANGES[change][0]}}
    answer = world.call("ADD", pod, changed)
    assert told(answer)[:1] == first
    assert "10.63.0.2" in world.leases()


def test_16_one_with_another_namespace_while_the_old_one_lives_keeps_it_too(world: World):
    """Which of the two is the container is not to be known."""
    conf = configuration(V4)
    pod = world.pod()
    world.add(pod, conf)
    again = world.pod(container=pod.container)
    answer = world.call("ADD", again, configuration("10.64.0.0/24"))
    assert not answer.ok or answer.addresses == pod.addresses
    assert "10.63.0.2" in world.leases()


@pytest.mark.parametrize("order", [(V4, V6), (V6, V4)], ids=["v6 joins", "v4 joins"])
def test_16_a_living_attachment_gets_the_family_it_lacks(world: World, order: tuple[str, str]):
    pod = world.pod()
    first = world.add(pod, configuration(order[0]))
    both = world.add(pod, configuration(*order))
    assert both == [FIRST[order[0]], FIRST[order[1]]] and first == both[:1]
    assert set(world.leases()) == set(both)
    assert world.add(pod, configuration(*order)) == both
    world.delete(pod, configuration(*order))
    assert world.leases() == {}


# --- First use ------------------------------------------------------------------------------------


@FAMILY
@pytest.mark.parametrize("resident", [True, False], ids=["occupied", "fresh"])
def test_first_use_asks_multus_cache_too(world: World, subnet: str, resident: bool):
    """Multus keeps libcni's results of its delegates in a folder of its own. The pods' namespaces
    show no address, as gVisor's do not."""
    pods = world.pods(2, resident=resident)
    for number, pod in enumerate(pods, 2):
        world.note(pod, [FIRST[subnet][:-1] + str(number)])
        cache_entry("lab", pod.container, pod.name, *pod.addresses, folder=MULTUS)
    world.add_all(world.pods(3), configuration(subnet))
    assert world.leases() == world.living()


# --- Row 17: host-local's file vanishes -----------------------------------------------------------


@FAMILY
@CACHED
@pytest.mark.parametrize("shown", [True, False], ids=["shown", "hidden"])
def test_17_a_living_pod_survives_the_loss_of_its_host_local_file(
    world: World, real: Real, subnet: str, cached: bool, shown: bool
):
    """It is a suspect while its namespace lives and shows the address, or libcni's entry stands."""
    if not cached and not shown:
        pytest.skip("then nothing speaks for it")
    ipam = ipam_of(subnet, plugin="host-local", dataDir=str(HOST_LOCAL))
    network = real.network("lab", cnitool.bridge(ipam, "cni0"))
    pods = real.start(network, 2)
    conf = configuration(subnet, main=GATEWAY)
    world.add(world.pod(), conf)
    (held,) = real.held[pods[0].name]
    assert held in world.leases()
    if not shown:
        pods[0].run("ip", "address", "flush", "dev", "eth0")
    if not cached:
        lose_cache()
    (HOST_LOCAL / "lab" / held).unlink()
    small = json.loads(json.dumps(conf).replace("/24", "/29").replace("/64", "/125"))
    for pod in world.fill(small):
        assert held not in pod.addresses, "the address of a living pod was given again"
    world.later()
    assert all(held not in pod.addresses for pod in world.fill(small))


@FAMILY
def test_17_that_of_a_pod_that_has_ended_is_free(world: World, real: Real, subnet: str):
    ipam = ipam_of(subnet, plugin="host-local", dataDir=str(HOST_LOCAL))
    network = real.network("lab", cnitool.bridge(ipam, "cni0"))
    pods = real.start(network, 2)
    conf = configuration(subnet, main=GATEWAY)
    world.add(world.pod(), conf)
    (held,) = real.held[pods[0].name]
    assert network.delete(pods[0]).ok  # by host-local: its cached configuration says so
    pods[0].delete()
    world.add(world.pod(), conf)
    assert held not in world.leases()


# --- Rows 18 and 40: the folder moves -------------------------------------------------------------


@FAMILY
@FOLDER
def test_18_a_moved_data_dir_gives_no_address_of_a_living_pod(
    world: World, subnet: str, folder: Path
):
    old = configuration(subnet)
    pods = world.pods(3, folder)
    world.add_all(pods, old)
    new = configuration(subnet, dataDir=str(MOVED))
    newcomer = world.pod(folder)
    world.add_all([newcomer, *world.pods(3, folder)], new)
    world.refuse(world.pod(), new, TAKEN, args=f"IP={FIRST[subnet]}")
    world.delete(pods[0], new)  # wherever its lease is
    world.delete(newcomer, new)
    assert world.leases(folder=MOVED) == world.living()


@pytest.mark.parametrize("renamed", [False, True], ids=["same name", "renamed too"])
def test_18_nor_does_one_that_is_moved_while_namespaces_are_fresh(world: World, renamed: bool):
    world.add_all(world.pods(3, resident=False), configuration(V4))
    new = configuration(V4, dataDir=str(MOVED), name="other" if renamed else "lab")
    world.add_all(world.pods(3), new)


def contents(folder: Path) -> dict[str, bytes]:
    """Of the files of a store; who had its lock last is no part of it."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


@FAMILY
def test_18_a_check_with_another_folder_moves_nothing(world: World, subnet: str):
    """As from a wrapper that passes on only a part of the configuration."""
    conf = configuration(subnet)
    pod = world.pod()
    (address,) = world.add(pod, conf)
    before = contents(places.LEASES)
    length = subnet.rpartition("/")[2]
    told = {"cniVersion": "1.1.0", "ips": [{"address": f"{address}/{length}"}]}
    elsewhere = configuration(subnet, dataDir=str(MOVED))
    assert world.call("CHECK", pod, elsewhere, prevResult=told).ok
    assert not MOVED.exists()
    assert contents(places.LEASES) == before
    world.delete(pod, conf)
    assert world.leases() == {}


@FAMILY
def test_18_ranges_that_a_network_gets_later_are_asked_about(world: World, subnet: str):
    """The folder moved while the configuration had other ranges, and has got these back."""
    world.add_all(world.pods(2), configuration(subnet))
    other = V6 if subnet == V4 else V4
    world.add(world.pod(), configuration(other, dataDir=str(MOVED)))
    both = configuration(subnet, other, dataDir=str(MOVED))
    world.add_all(world.pods(3), both)


def put_back(copy: Path) -> None:
    shutil.rmtree(places.LEASES)
    shutil.copytree(copy, places.LEASES)


def put_back_without_lock_file(copy: Path) -> None:
    put_back(copy)
    (places.LEASES / "lock").unlink()


def put_back_file_alone(copy: Path) -> None:
    """Its log is lost, as somebody removed it who took it for a mere log."""
    put_back(copy)
    (places.LEASES / "podlease.db-wal").unlink()


def put_back_in_place(copy: Path) -> None:
    """The files stay the same ones, as old as in the copy, and so does what the lock notes."""
    subprocess.run(["cp", "-a", f"{copy}/.", places.LEASES], check=True)


def put_back_file_in_place(copy: Path) -> None:
    """And the log of now is removed."""
    subprocess.run(["cp", copy / "podlease.db", places.LEASES / "podlease.db"], check=True)
    (places.LEASES / "podlease.db-wal").unlink()


@FAMILY
@FOLDER
@pytest.mark.parametrize(
    "lose",
    [
        put_back,
        put_back_without_lock_file,
        put_back_file_alone,
        put_back_in_place,
        put_back_file_in_place,
    ],
    ids=["whole", "without lock file", "without log", "in place", "the file in place"],
)
def test_5_a_store_put_back_from_a_copy_gives_no_address_of_a_living_pod(
    world: World, subnet: str, folder: Path, lose: Callable[[Path], None], tmp_path: Path
):
    """Pods that came since the copy live on, one of them with the address of a pod that it says is
    there."""
    conf = configuration(subnet)
    ended, *stay = world.pods(3, folder)
    world.add_all([ended, *stay], conf)
    (address,) = ended.addresses
    shutil.copytree(places.LEASES, tmp_path / "copy")
    world.delete(ended, conf)
    world.lose(ended)
    world.later()
    successor = world.pod(folder)
    assert world.add(successor, conf, f"IP={address}") == [address]
    since = [successor, *world.pods(2, folder)]
    world.add_all(since[1:], conf)
    for pod in world.live:
        show(pod, *pod.addresses)
        if folder == PROC:  # a process alone tells only of what is linked to the network
            cache_entry("lab", pod.container, pod.name, *pod.addresses)
    lose(tmp_path / "copy")
    world.add_all(world.pods(3, folder), conf)
    world.refuse(world.pod(), conf, TAKEN, args=f"IP={address}")


@FAMILY
@FOLDER
def test_40_there_and_back_gives_none_twice(world: World, subnet: str, folder: Path):
    a, b = configuration(subnet), configuration(subnet, dataDir=str(MOVED))
    for conf in (a, b, a, b):
        world.add_all(world.pods(2, folder), conf)
    first = world.live[0]
    for conf in (a, b):
        world.refuse(world.pod(), conf, TAKEN, args=f"IP={first.addresses[0]}")


def test_40_over_three_folders_either(world: World, tmp_path: Path):
    folders = [places.LEASES, MOVED, tmp_path / "third"]
    for turn in (0, 1, 2, 1, 0, 2, 0):
        conf = configuration(V4, dataDir=str(folders[turn]))
        world.add_all(world.pods(2), conf)


@FAMILY
def test_40_a_del_under_the_new_folder_ends_the_lease_of_the_old_one(world: World, subnet: str):
    a, b = configuration(subnet), configuration(subnet, dataDir=str(MOVED))
    pods = world.pods(3)
    world.add_all(pods, a)
    world.add(world.pod(), b)
    for pod in pods:
        world.delete(pod, b)
        world.lose(pod)
    assert world.leases(folder=MOVED) == world.living()
    world.add_all(world.pods(2), a)


@FAMILY
def test_40_host_local_in_between_without_an_export(world: World, subnet: str):
    """Its pods live when podlease comes back. What podlease had is out of host-local's way here,
    as host-local knows nothing of it."""
    conf = configuration(subnet)
    base = FIRST[subnet][:-1]
    for last in ("40", "41"):
        world.add(world.pod(), conf, f"IP={base}{last}")
    for number in range(3):
        pod = world.pod(container=f"theirs-{number}")
        answer = host_local("lab", "ADD", pod.container, subnet)
        assert answer.ok
        world.note(pod, answer.addresses)
    for _ in range(6):
        answer = world.try_add(world.pod(), conf)  # `note` fails where it is given twice
        assert answer.ok or answer.json["code"] == CONFIG, answer


def test_40_real_pods_over_host_local_and_back(real: Real):
    ours = cnitool.bridge(ipam_of(V4), "cni0")
    theirs = cnitool.bridge(
        {**ipam_of(plugin="host-local"), "ranges": [[{"subnet": V4, "rangeStart": "10.63.0.50"}]]},
        "cni0",
    )
    del theirs["ipam"]["dataDir"]
    real.start(real.network("lab", ours), 2)
    real.start(real.network("lab", theirs), 2)
    network = real.network("lab", ours)
    wide = [network.add(pod, args="IP=10.63.0.50") for pod in (real.new_netns(),)]
    assert not wide[0].ok, "host-local has given 10.63.0.50 to a pod that lives"


# --- Row 42: a nested cluster ---------------------------------------------------------------------


def nested_cluster(world: World, *addresses: str) -> None:
    """A node in a container, as kind and k3d have them: with a bridge of its own, of our bridge's
    name, and pods behind it that no path of ours shows."""
    node = world.pod(PROC)
    inside = ["nsenter", f"--net={node.name}"]
    length = 24 if "." in addresses[0] else 64
    gateway = addresses[0].rsplit("." if "." in addresses[0] else ":", 1)[0]
    subprocess.run([*inside, "ip", "link", "add", "cni0", "type", "bridge"], check=True)
    subprocess.run([*inside, "ip", "link", "set", "cni0", "up"], check=True)
    own = f"{gateway}.1/{length}" if "." in addresses[0] else f"{gateway}:1/{length}"
    subprocess.run([*inside, "ip", "address", "add", own, "dev", "cni0"], check=True)
    for number, address in enumerate(addresses):
        pod = world.pod(PROC)
        pid = str(pod.processes[0].pid)
        pair = ["type", "veth", "peer", "name", "eth0", "netns", pid]
        commands = [
            [*inside, "ip", "link", "add", f"veth{number}", *pair],
            [*inside, "ip", "link", "set", f"veth{number}", "master", "cni0", "up"],
            ["nsenter", f"--net={pod.name}", "ip", "link", "set", "eth0", "up"],
            ["nsenter", f"--net={pod.name}", "ip", "address", "add", f"{address}/{length}"]
            + ["dev", "eth0"],
        ]
        for command in commands:
            subprocess.run(command, check=True)


@FAMILY
@pytest.mark.parametrize("store", ["new", "lost"])
def test_42_pods_of_a_nested_cluster_are_not_ours(
    world: World, real: Real, subnet: str, store: str
):
    base = FIRST[subnet][:-1]
    small = V4.replace("/24", "/29") if subnet == V4 else V6.replace("/64", "/125")
    network = real.network("lab", cnitool.bridge(ipam_of(small), "cni0"))
    if store == "lost":
        real.start(network)
        shutil.rmtree(places.LEASES)
    nested_cluster(world, *[f"{base}{last}" for last in "3456"])
    real.start(network, 4 if store == "lost" else 5)
    listed = json.loads(subprocess.check_output([places.podlease(), "list", "-o", "json"]))
    assert {lease["address"] for lease in listed} == {a for one in real.held.values() for a in one}


def test_42_while_ours_without_a_name_are(world: World, real: Real):
    """The other end of their interface is in the host's namespace, on the network's bridge."""
    network = real.network("lab", cnitool.bridge(ipam_of(V4), "cni0"))
    pods = real.start(network, 2)
    keepers = [world.start("nsenter", f"--net={pod.path}", "sleep", "infinity") for pod in pods]
    for pod in pods:
        pod.delete()
    nested_cluster(world, "10.63.0.8", "10.63.0.9")
    lose_cache()
    shutil.rmtree(places.LEASES)
    real.start(network, 4)
    assert all(keeper.poll() is None for keeper in keepers)
    listed = json.loads(subprocess.check_output([places.podlease(), "list", "-o", "json"]))
    assert {lease["address"] for lease in listed} == {a for one in real.held.values() for a in one}


# --- Row 43: the bridge of a network is called otherwise ------------------------------------------


@CACHED
@pytest.mark.parametrize("store", ["kept", "lost"])
@pytest.mark.parametrize("both", [False, True], ids=["bridge", "bridge and network"])
def test_43_pods_keep_their_addresses_when_their_bridge_is_renamed(
    real: Real, cached: bool, store: str, both: bool
):
    before = real.network("lab", cnitool.bridge(ipam_of(), "cni0"))
    pods = real.start(before, 3)
    run("link", "set", "cni0", "down")
    run("link", "set", "cni0", "name", "br-pods")
    run("link", "set", "br-pods", "up")
    if not cached:
        lose_cache()
    if store == "lost":
        shutil.rmtree(places.LEASES)
    after = real.network("new" if both else "lab", cnitool.bridge(ipam_of(), "br-pods"))
    late = real.start(after, 3)
    assert late[0].reaches(real.held[pods[0].name][0])


@FAMILY
@pytest.mark.parametrize("main", [GATEWAY, BRIDGE], ids=["gateway", "lan"])
def test_43_nor_does_a_plain_edit_of_the_bridges_name_give_an_address_twice(
    world: World, subnet: str, main: dict
):
    """The network's name stays: the wire adds to it and never replaces it."""
    pods = world.pods(3)
    world.add_all(pods, configuration(subnet, main=main))
    edited = configuration(subnet, main={**main, "bridge": "br-pods"})
    world.add_all(world.pods(3), edited)
    world.refuse(world.pod(), edited, TAKEN, args=f"IP={FIRST[subnet]}")
    for pod in pods:
        world.delete(pod, edited)
    assert world.leases() == world.living()
