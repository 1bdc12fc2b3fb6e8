"""FACTS.md section 3, and the rows of section 5 about what the host holds: 13, 14, 29, 32, 37, 38
and 39. What would cut the node off is refused; what is legal is served, and what the host has
inside a range is never leased and always told."""

import json
import os
import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import Iterator

import pytest
from lab import cnitool, places
from lab.api_server import ApiServer, node
from lab.cnitool import Network
from lab.ipam import Ipam
from lab.machine import Machine
from lab.netns import NetnsFactory
from lab.world import BRIDGE, GATEWAY, HOST_LOCAL, PTP, World, conf_dir, configuration

CONFIG, EXHAUSTED = 7, 100
MACVLAN = {"type": "macvlan", "master": "eth0"}
SERVICES = {"type": "cilium-cni"}



def lan(base: str, length: int, net: str) -> dict:
    return {"own": f"{base}57", "len": length, "net": net, "router": f"{base}1", "base": base}


V4, V6 = lan("10.42.0.", 24, "10.42.0.0/24"), lan("fd00:42::", 64, "fd00:42::/64")
FAMILY = pytest.mark.parametrize("host", [V4, V6], ids=["v4", "v6"])


def ip(*words: object) -> None:
    subprocess.run(["ip", *map(str, words)], check=True)


def link(name: str, *addresses: str, kind: str = "veth") -> None:
    """An interface that has a carrier."""
    if kind == "veth":
        ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-far")
        ip("link", "set", f"{name}-far", "up")
    else:
        ip("link", "add", name, "type", kind)
    ip("link", "set", name, "up")
    for address in addresses:
        ip("address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))


def uplink(host: dict, *route: object) -> None:
    """eth0 on a LAN, with the router that DHCP names."""
    link("eth0", f"{host['own']}/{host['len']}")
    ip("route", "add", "default", *(route or ("via", host["router"], "dev", "eth0")))


def can_make(kind: str) -> bool:
    done = subprocess.run(["ip", "link", "add", "probe0", "type", kind], capture_output=True)
    subprocess.run(["ip", "link", "del", "probe0"], capture_output=True)
    return done.returncode == 0


# --- Row 13: the pods' network is the node's ------------------------------------------------------

ROUTING = pytest.mark.parametrize(
    "main",
    [GATEWAY, {**BRIDGE, "isDefaultGateway": True}, PTP],
    ids=["isGateway", "isDefaultGateway", "ptp"],
)


@FAMILY
@ROUTING
def test_13_the_nodes_own_lan_is_refused_for_routed_pods(world: World, host: dict, main: dict):
    uplink(host)
    world.refuse(world.pod(), configuration(host["net"], main=main), CONFIG, "eth0")
    assert not places.LEASES.exists() or world.leases() == {}


@FAMILY
@ROUTING
@pytest.mark.parametrize("own_router", [True, False], ids=["router", "no router"])
def test_13_so_in_mode_kubernetes(
    world: World, tmp_path: Path, host: dict, main: dict, own_router: bool
):
    link("eth0", f"{host['own']}/{host['len']}")
    if own_router:
        ip("route", "add", "default", "via", host["router"], "dev", "eth0")
    if not own_router and main is PTP:
        pytest.skip("without a default route nothing is an uplink")
    api = ApiServer(tmp_path / "api")
    try:
        api.set_node(node(podCIDRs=[host["net"]], podCIDR=host["net"]))
        kubernetes = {"kubeconfig": str(api.kubeconfig()), "nodeName": "worker"}
        conf = configuration(main=main, mode="kubernetes", kubernetes=kubernetes)
        del conf["ipam"]["ranges"]
        world.refuse(world.pod(), conf, CONFIG, "eth0")
    finally:
        api.close()


@FAMILY
@pytest.mark.parametrize(
    "route",
    [
        ["via {router} dev eth0 onlink"],
        ["nexthop via {router} dev eth0 nexthop via {base}3 dev eth0"],
        ["nhid 7"],
    ],
    ids=["onlink", "multipath", "nexthop object"],
)
@ROUTING
def test_13_however_the_router_is_told_to_the_kernel(
    world: World, host: dict, route: list[str], main: dict
):
    """The LAN is known by its router only: the address is a /32 (/128), as clouds give it."""
    full = 32 if host is V4 else 128
    link("eth0", f"{host['own']}/{full}")
    for one in (host["router"], f"{host['base']}3"):
        ip("route", "add", f"{one}/{full}", "dev", "eth0")
    if route[0] == "nhid 7":
        ip("nexthop", "add", "id", 7, "via", host["router"], "dev", "eth0")
    family = "-4" if host is V4 else "-6"
    ip(family, "route", "add", "default", *route[0].format(**host).split())
    conf = configuration(main=main, ranges=[[{"subnet": host["net"]}]])
    error = world.refuse(world.pod(), conf, CONFIG)
    assert "eth0" in str(error) or host["router"] in str(error)


@FAMILY
@pytest.mark.parametrize(
    "main", [MACVLAN, BRIDGE, SERVICES, {"type": "ipvlan", "master": "eth0"}, None],
    ids=["macvlan", "lan bridge", "cilium-cni", "ipvlan", "nobody"],
)
def test_13_the_nodes_own_lan_is_right_for_pods_on_it(world: World, host: dict, main: dict):
    """Their gateway is the LAN's router. Never leased are the router and the node's address."""
    uplink(host)
    start, end = f"{host['base']}55", f"{host['base']}59"
    ranges = [[{"subnet": host["net"], "rangeStart": start, "rangeEnd": end}]]
    conf = configuration(main=main, ranges=ranges)
    pods = world.fill(conf)
    assert sorted(a for pod in pods for a in pod.addresses) == [
        f"{host['base']}{last}" for last in (55, 56, 58, 59)
    ]


@pytest.mark.parametrize("route", ["multipath", "nexthop object"])
def test_13_no_router_is_ever_leased_to_a_pod_on_the_lan(world: World, route: str):
    link("eth0", "10.42.0.57/24")
    if route == "multipath":
        hops = ["nexthop", "via", "10.42.0.4", "nexthop", "via", "10.42.0.5"]
        ip("route", "add", "default", *hops)
    else:
        ip("nexthop", "add", "id", 4, "via", "10.42.0.4", "dev", "eth0")
        ip("nexthop", "add", "id", 5, "via", "10.42.0.5", "dev", "eth0")
        ip("nexthop", "add", "id", 9, "group", "4/5")
        ip("route", "add", "default", "nhid", 9)
    ranges = [[{"subnet": "10.42.0.0/24", "rangeStart": "10.42.0.3", "rangeEnd": "10.42.0.6"}]]
    pods = world.fill(configuration(main=MACVLAN, ranges=ranges))
    assert sorted(a for pod in pods for a in pod.addresses) == ["10.42.0.3", "10.42.0.6"]


@FAMILY
def test_13_the_bridge_itself_is_no_conflict(tmp_path: Path, new_netns: NetnsFactory, host: dict):
    """With real plugins: the second pod finds the bridge holding the gateway."""
    ipam = Ipam("podlease", places.LEASES).config(host["net"])
    for name, more in (("lab", {}), ("def", {"isDefaultGateway": True})):
        main = cnitool.bridge(ipam, "cni0", **more)
        network = Network(tmp_path / "net.d", cnitool.conflist(name, main))
        for _ in range(2):
            answer = network.add(new_netns())
            assert answer.ok, answer


@FAMILY
def test_13_link_local_addresses_count_for_nothing(world: World, host: dict):
    """Every interface has an fe80:: address, and cloud machines have 169.254/16 routes."""
    link("eth0", "169.254.7.7/16", "fe80::7/64")
    ip("route", "add", "169.254.169.254/32", "dev", "eth0")
    world.add(world.pod(), configuration(host["net"], main=GATEWAY))


@pytest.mark.skipif("not can_make('vrf')")
def test_13_what_lies_in_another_vrf_is_elsewhere(world: World):
    ip("link", "add", "blue", "type", "vrf", "table", 10)
    ip("link", "set", "blue", "up")
    link("eth0")
    ip("link", "set", "eth0", "master", "blue")
    ip("address", "add", "10.42.0.57/24", "dev", "eth0")
    world.add(world.pod(), configuration("10.42.0.0/24", main=GATEWAY))


@pytest.mark.parametrize("verb", ["DEL", "CHECK", "STATUS"])
def test_13_a_pod_that_is_there_ends_although_the_network_is_refused(world: World, verb: str):
    conf = configuration("10.42.0.0/24", main=GATEWAY)
    pod = world.pod()
    result = world.call("ADD", pod, conf).json
    uplink(V4)
    world.later()  # the host is looked through once a minute
    world.refuse(world.pod(), conf, CONFIG, "eth0")
    more = {"prevResult": result} if verb == "CHECK" else {}
    answer = world.call(verb, pod, conf, **more)
    assert answer.ok or (verb == "STATUS" and answer.json["code"] == CONFIG), answer
    assert verb != "DEL" or world.leases() == {}


# --- Row 14: other interfaces, no default route, half-defaults ------------------------------------


def test_14_a_second_nic_inside_a_wider_subnet_is_never_leased_and_told(
    world: World, tmp_path: Path
):
    """The subnet is wider than the connected network, so the node is not cut off; either way the
    address of the NIC and its network are no pod's."""
    link("eth0", "192.0.2.9/24")
    ip("route", "add", "default", "via", "192.0.2.1")
    link("eth1", "192.168.56.11/24")
    ranges = [
        [
            {
                "subnet": "192.168.0.0/16",
                "rangeStart": "192.168.55.254",
                "rangeEnd": "192.168.57.1",
            }
        ]
    ]
    conf = configuration(main=GATEWAY, ranges=ranges)
    answer = world.try_add(world.pod(), conf)
    if not answer.ok:
        assert answer.json["code"] == CONFIG and "eth1" in answer.json["msg"], answer
        return
    given = {a for pod in [*world.live, *world.fill(conf)] for a in pod.addresses}
    assert given == {"192.168.55.254", "192.168.55.255", "192.168.57.0", "192.168.57.1"}
    tell(world, tmp_path, conf, "eth1", "192.168.56.")


def tell(world: World, tmp_path: Path, conf: dict, *words: str) -> None:
    """`explain`, `status` and `doctor` name what is in the way."""
    folder = conf_dir(tmp_path / "net.d", conf)
    shown = {
        "explain": world.command("explain", stdin=conf, folder=None, statuses=(0, 1)),
        "status": world.command("status", "--conf-dir", folder, statuses=(0, 2)),
        "doctor": world.command("doctor", "--conf-dir", folder, statuses=(0, 2)),
    }
    for command, done in shown.items():
        for word in words:
            assert word in done.stdout + done.stderr, f"{command} does not say {word}: {done}"


@FAMILY
@pytest.mark.parametrize("main", [GATEWAY], ids=["isGateway"])
def test_14_without_a_default_route_the_nodes_network_is_refused_too(
    world: World, host: dict, main: dict
):
    link("eth0", f"{host['own']}/{host['len']}")
    world.refuse(world.pod(), configuration(host["net"], main=main), CONFIG, "eth0")


@pytest.mark.parametrize("main", [GATEWAY, PTP], ids=["bridge", "ptp"])
def test_14_the_router_of_a_vpns_half_defaults_is_a_router(
    world: World, main: dict
):
    """0/1 and 128/1, as OpenVPN sets them: no route is called default."""
    link("eth0", "192.0.2.9/24")
    ip("route", "add", "default", "via", "192.0.2.1")
    link("tun0", "10.8.0.6/32")
    ip("route", "add", "10.8.0.1/32", "dev", "tun0")
    for half in ("0.0.0.0/1", "128.0.0.0/1"):
        ip("route", "add", half, "via", "10.8.0.1", "dev", "tun0")
    error = world.refuse(world.pod(), configuration("10.8.0.0/24", main=main), CONFIG)
    assert "tun0" in str(error) or "10.8.0.1" in str(error)


def test_14_half_defaults_in_ipv6_too(world: World):
    link("tun0", "fd00:8::6/128")
    ip("route", "add", "fd00:8::1/128", "dev", "tun0")
    for half in ("::/1", "8000::/1"):
        ip("route", "add", half, "via", "fd00:8::1", "dev", "tun0")
    world.refuse(world.pod(), configuration("fd00:8::/64", main=GATEWAY), CONFIG)


@FAMILY
def test_14_what_exclude_leaves_out_is_no_conflict_for_ptp(world: World, host: dict):
    """Cut out of the range, the node's address and the router are in nobody's way."""
    uplink(host)
    conf = configuration(host["net"], main=PTP, exclude=[host["own"], host["router"]])
    conf["ipam"]["ranges"][0][0]["gateway"] = f"{host['base']}99"
    world.add(world.pod(), conf)


# --- Ranges of nobody -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subnet",
    ["127.0.0.0/8", "127.9.0.0/16", "224.0.0.0/4", "239.1.0.0/16", "0.0.0.0/8", "0.7.0.0/16"]
    + ["::/64", "ff00::/8", "ff02::/64", "::/96"],
)
@pytest.mark.parametrize("main", [GATEWAY, MACVLAN], ids=["bridge", "macvlan"])
def test_ranges_that_no_pod_can_use_are_refused(world: World, subnet: str, main: dict):
    world.refuse(world.pod(), configuration(subnet, main=main), CONFIG, "where no pod can have an address")


# --- Row 29: things in host-local's folder --------------------------------------------------------


@pytest.mark.parametrize("name", ["10.42.0.3", "fd00:42::3"])
@pytest.mark.parametrize("kind", ["dangling link", "fifo", "directory", "socket", "circle"])
def test_29_what_is_no_file_in_host_locals_folder_is_passed_over(
    world: World, name: str, kind: str
):
    subnet = V4["net"] if "." in name else V6["net"]
    folder = HOST_LOCAL / "lab"
    folder.mkdir(parents=True)
    odd = folder / name
    if kind == "fifo":
        os.mkfifo(odd)
    elif kind == "directory":
        odd.mkdir()
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(odd))
    else:
        odd.symlink_to("/nowhere" if kind == "dangling link" else odd)
    conf = configuration(subnet, main=GATEWAY)
    world.add_all(world.pods(3), conf)
    for pod in list(world.live):
        world.delete(pod, conf)
    found = world.json("audit", statuses=(0, 2))
    assert any(str(odd) in json.dumps(item) for item in found), found


def test_29_also_when_it_appears_later(world: World):
    conf = configuration(V4["net"], main=GATEWAY)
    folder = HOST_LOCAL / "lab"
    folder.mkdir(parents=True)
    (folder / "10.42.0.9").write_text("theirs\r\neth0")
    world.add(world.pod(), conf)
    os.mkfifo(folder / "10.42.0.4")
    (folder / "10.42.0.5").mkdir()
    world.add(world.pod(), conf)


# --- Rows 32 and 39: which machine this is --------------------------------------------------------

MACHINE_ID = Path("/etc/machine-id")


class Identity:
    """The machine's id, besides that of its boot, which `machine` has. There is no DMI here, as on
    many boards and in containers."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._file = folder / "machine-id"
        self._machine = machine
        self._file.write_text(MACHINE_ID.read_text())
        subprocess.run(["mount", "--bind", self._file, MACHINE_ID], check=True)

    def close(self) -> None:
        subprocess.run(["umount", MACHINE_ID], check=True)

    def renew(self) -> None:
        self._file.write_text(f"{uuid.uuid4().hex}\n")

    def save(self) -> tuple[str, str]:
        return self._file.read_text(), self._machine._boot_id.read_text()

    def load(self, saved: tuple[str, str]) -> None:
        self._file.write_text(saved[0])
        self._machine._boot_id.write_text(saved[1])

    def other_machine(self) -> None:
        """One that has been up for as long as the kernel has."""
        self.renew()
        self._machine._write_boot_id()

    def boot(self) -> None:
        """A boot that began after all that was written until now."""
        time.sleep(2.5)
        self._machine._ahead = 1 - int(time.clock_gettime(time.CLOCK_BOOTTIME))
        self._machine._write_boot_id()


@pytest.fixture
def identity(tmp_path: Path, machine: Machine) -> Iterator[Identity]:
    if Path("/sys/class/dmi/id/product_uuid").exists():
        pytest.skip("this machine has a DMI product UUID, which cannot be changed here")
    identity = Identity(tmp_path, machine)
    yield identity
    identity.close()


@FAMILY
def test_32_a_store_that_another_machine_writes_is_refused(
    world: World, identity: Identity, host: dict
):
    """Two nodes share a folder over NFS, or a volume follows a pod."""
    conf = configuration(host["net"])
    theirs = world.pods(3, uid="uid-")
    world.add_all(theirs, conf)
    saved = identity.save()
    identity.other_machine()
    world.refuse(world.pod(), conf, CONFIG, "machine")
    world.refuse(world.next_sandbox(theirs[0]), conf, CONFIG, "machine")
    address = theirs[0].addresses[0]
    world.refuse(world.pod(), conf, CONFIG, args=f"IP={address}")
    world.command("gc", statuses=(0, 1, 2))
    assert world.leases() == world.living(), "leases of another machine's living pods ended"
    assert world.call("DEL", world.pod(), conf).ok, "DEL is never refused"
    world.delete(theirs[2], conf)
    identity.load(saved)
    world.add(world.pod(), conf)


def test_32_a_copy_of_another_machines_store_serves(world: World, identity: Identity):
    """A disk image: it was last written before this machine booted."""
    conf = configuration(V4["net"])
    old = world.pods(3)
    world.add_all(old, conf)
    world.lose(*old)
    identity.renew()
    identity.boot()
    first = world.add(world.pod(), conf)
    assert first
    world.add_all(world.pods(2), conf)
    status = world.command("status").stdout
    assert "machine" in status, status
    small = configuration("10.42.0.0/29")
    world.fill(small)
    assert world.leases() == world.living(), "those of the copy count as an earlier boot's"


@pytest.mark.parametrize("boots", [True, False], ids=["at each boot", "in one boot"])
def test_39_a_new_machine_id_alone_is_no_other_machine(
    world: World, identity: Identity, boots: bool
):
    conf = configuration(V4["net"])
    for _ in range(3):
        if boots:
            world.lose(*list(world.live))
        pods = world.pods(2)
        world.add_all(pods, conf)
        identity.renew()
        if boots:
            identity.boot()
    if not boots:
        world.add_all(world.pods(2), conf)
        assert world.leases() == world.living()
        repeated = world.live[0]
        assert world.add(repeated, conf) == repeated.addresses
    else:
        world.lose(*list(world.live))
        world.add(world.pod(), conf)
    world.delete(world.live[-1], conf)


def test_39_a_machine_without_any_id_serves(world: World, identity: Identity):
    conf = configuration(V4["net"])
    identity._file.write_text("")
    world.add_all(world.pods(2), conf)
    identity._file.write_text("uninitialized\n")  # systemd's word at a first boot
    world.add_all(world.pods(2), conf)
    identity.renew()
    world.add_all(world.pods(2), conf)
    assert world.leases() == world.living()


# --- Row 37: what is in a range and yet no reason to refuse ---------------------------------------


@FAMILY
@pytest.mark.parametrize("main", [GATEWAY, PTP, SERVICES], ids=["bridge", "ptp", "cilium-cni"])
def test_37_services_external_ips_inside_the_pod_cidr_are_never_leased_and_told(
    world: World, tmp_path: Path, host: dict, main: dict
):
    """kube-proxy in mode ipvs puts every Service's external IP on kube-ipvs0."""
    full = 32 if host is V4 else 128
    external = [f"{host['base']}{last}" for last in (3, 5)]
    link("kube-ipvs0", *[f"{address}/{full}" for address in external], kind="bridge")
    start, end = f"{host['base']}2", f"{host['base']}6"
    ranges = [[{"subnet": host["net"], "rangeStart": start, "rangeEnd": end}]]
    conf = configuration(main=main, ranges=ranges)
    pods = world.fill(conf)
    assert sorted(a for pod in pods for a in pod.addresses) == [
        f"{host['base']}{last}" for last in (2, 4, 6)
    ]
    tell(world, tmp_path, conf, "kube-ipvs0", external[0])


@FAMILY
def test_37_an_address_that_appears_a_moment_after_the_look_is_not_leased(
    world: World, host: dict
):
    """Each ADD asks the kernel about the address it is about to give."""
    full = 32 if host is V4 else 128
    conf = configuration(host["net"], main=GATEWAY)
    link("kube-ipvs0", kind="bridge")
    world.add(world.pod(), conf)
    ip("address", "add", f"{host['base']}3/{full}", "dev", "kube-ipvs0")
    assert world.add(world.pod(), conf) == [f"{host['base']}4"]


@FAMILY
def test_37_a_pod_may_be_a_next_hop(tmp_path: Path, new_netns: NetnsFactory, host: dict):
    """A VPN gateway or a load balancer runs in a pod, and the host routes through it."""
    ipam = Ipam("podlease", places.LEASES).config(host["net"])
    network = Network(tmp_path / "net.d", cnitool.conflist("lab", cnitool.bridge(ipam, "cni0")))
    answer = network.add(new_netns())
    target = "172.20.0.0/16" if host is V4 else "fd00:20::/64"
    ip("route", "add", target, "via", answer.addresses[0], "dev", "cni0")
    for _ in range(2):
        late = network.add(new_netns())
        assert late.ok and late.addresses != answer.addresses, late


@FAMILY
def test_37_a_ptp_pod_may_be_a_next_hop_too(tmp_path: Path, new_netns: NetnsFactory, host: dict):
    ipam = Ipam("podlease", places.LEASES).config(host["net"])
    network = Network(tmp_path / "net.d", cnitool.conflist("lab", cnitool.ptp(ipam)))
    answer = network.add(new_netns())
    assert answer.ok, answer
    target = "172.20.0.0/16" if host is V4 else "fd00:20::/64"
    ip("route", "add", target, "via", answer.addresses[0])
    late = network.add(new_netns())
    assert late.ok and late.addresses != answer.addresses, late


def test_37_a_bridge_with_a_vlan_and_a_gateway_serves_its_second_pod(
    tmp_path: Path, new_netns: NetnsFactory
):
    """The gateway is on BRIDGE.VLAN, an interface of the plugin's own."""
    ipam = Ipam("podlease", places.LEASES).config(V4["net"])
    main = cnitool.bridge(ipam, "cni0", vlan=7)
    network = Network(tmp_path / "net.d", cnitool.conflist("lab", main))
    first = network.add(new_netns())
    if not first.ok and "could not add" in first.stderr:
        pytest.skip(f"this kernel's bridges know no VLANs: {first.stderr}")
    for answer in (first, network.add(new_netns()), network.add(new_netns())):
        assert answer.ok, answer


@FAMILY
def test_37_the_vlans_own_interface_is_the_networks_link(world: World, host: dict):
    """The same by hand, as the plugin makes it: a veth whose other end is in the bridge."""
    conf = configuration(host["net"], main={**GATEWAY, "vlan": 7})
    world.add(world.pod(), conf)
    link("cni0", kind="bridge")
    link("cni0.7", f"{host['router']}/{host['len']}")
    world.add_all(world.pods(2), conf)


@FAMILY
@pytest.mark.parametrize("order", [0, 1])
def test_37_two_ptp_networks_may_have_one_gateway(
    tmp_path: Path, new_netns: NetnsFactory, host: dict, order: int
):
    """Each pod's link holds it as a /32 or /128 of its own."""
    parts = [("2", "40"), ("41", "80")]
    networks = []
    for number, (start, end) in enumerate(parts):
        one = {
            "subnet": host["net"],
            "rangeStart": host["base"] + start,
            "rangeEnd": host["base"] + end,
        }
        ipam = {**Ipam("podlease", places.LEASES).config(), "ranges": [[one]]}
        conflist = cnitool.conflist(f"part-{number}", cnitool.ptp(ipam))
        networks.append(Network(tmp_path / "net.d", conflist))
    for number in range(4):
        answer = networks[(number + order) % 2].add(new_netns())
        assert answer.ok, answer


def test_37_docker0_inside_a_wider_subnet_is_never_leased_and_told(world: World, tmp_path: Path):
    link("docker0", "172.17.0.1/16", kind="bridge")
    ranges = [
        [{"subnet": "172.16.0.0/12", "rangeStart": "172.16.255.254", "rangeEnd": "172.18.0.1"}]
    ]
    conf = configuration(main=GATEWAY, ranges=ranges)
    world.add(world.pod(), conf)
    given = {a for pod in [*world.live, *world.fill(conf)] for a in pod.addresses}
    assert given == {"172.16.255.254", "172.16.255.255", "172.18.0.0", "172.18.0.1"}
    tell(world, tmp_path, conf, "docker0", "172.17.0.")


# --- Row 38: a range beside the node's address ----------------------------------------------------


@FAMILY
@pytest.mark.parametrize("default", [True, False], ids=["default route", "none"])
def test_38_an_equal_connected_route_cuts_the_node_off_wherever_the_range_lies(
    world: World, host: dict, default: bool
):
    if default:
        uplink(host)
    else:
        link("eth0", f"{host['own']}/{host['len']}")
    base = host["base"]
    one = {"rangeStart": f"{base}200", "rangeEnd": f"{base}210", "gateway": f"{base}254"}
    conf = configuration(main=GATEWAY, ranges=[[{"subnet": host["net"], **one}]])
    world.refuse(world.pod(), conf, CONFIG, "eth0")


def test_38_a_narrower_subnet_around_the_nodes_address_does_so_too(world: World):
    """The bridge's /26 wins over eth0's /24 for every neighbour in it, the router among them."""
    uplink(V4)
    conf = configuration("10.42.0.0/26", main=GATEWAY)
    world.refuse(world.pod(), conf, CONFIG, "eth0")


def test_38_a_narrower_subnet_beside_the_nodes_address_is_legal(world: World):
    uplink(V4)
    world.add(world.pod(), configuration("10.42.0.128/26", main=GATEWAY))


@FAMILY
def test_38_a_gateway_that_is_another_links_address_is_refused(world: World, host: dict):
    full = 32 if host is V4 else 128
    link("lo1", f"{host['base']}254/{full}", kind="bridge")
    one = {"subnet": host["net"], "gateway": f"{host['base']}254"}
    conf = configuration(main=GATEWAY, ranges=[[one]])
    world.refuse(world.pod(), conf, CONFIG, "lo1")
