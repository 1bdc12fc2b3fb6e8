"""From host-local to podlease and back, under running pods: whichever plugin is called for what,
no two living pods have one address, and what ends is free again."""

import json
import random
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import pytest
from lab import cni, cnitool, places
from lab.cni import Answer
from lab.cnitool import Network
from lab.ipam import DEFAULT_ROUTES

HOST_LOCAL, PODLEASE = "host-local", "podlease"
NETWORK = "net"
# Addresses .2 to .14 and ::2 on.
V4, V6 = "10.85.0.0/28", "fd00:85::/64"
NETWORKS = Path("/var/lib/cni/networks")
ORPHAN = ""


def binary(plugin: str) -> Path:
    return places.podlease() if plugin == PODLEASE else places.peers("cni") / HOST_LOCAL


@dataclass
class Node:
    """A node with both plugins, and the addresses of the pods that live on it."""

    subnets: tuple[str, ...] = (V4,)
    ipam: dict = field(default_factory=dict)  # more of the configuration
    type: str = HOST_LOCAL  # what it says today
    live: dict[str, list[str]] = field(default_factory=dict)
    started_by: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        """host-local's folder of the network."""
        return Path(self.ipam.get("dataDir", NETWORKS)) / NETWORK

    def config(self, plugin: str) -> dict:
        ranges = [[{"subnet": subnet}] for subnet in self.subnets]
        ipam = {"type": plugin, "ranges": ranges, **self.ipam}
        if plugin == PODLEASE:
            ipam.setdefault("cooldown", "0s")
        return {"cniVersion": "1.0.0", "name": NETWORK, "ipam": ipam}

    def call(self, plugin: str, verb: str, pod: str, ifname: str = "eth0") -> Answer:
        # host-local's skeleton would want a namespace that is not its own.
        env = {"CNI_NETNS_OVERRIDE": "1"}
        how = {"container_id": pod, "ifname": ifname, "netns": "/proc/self/ns/net", "env": env}
        return cni.call(binary(plugin), verb, self.config(plugin), **how)

    def try_add(self, pod: str, plugin: Optional[str] = None) -> Answer:
        """Starts a pod if it gets an address; whoever has it must be the only one."""
        plugin = plugin or self.type
        answer = self.call(plugin, "ADD", pod)
        if answer.ok:
            for other, held in self.live.items():
                clash = set(held) & set(answer.addresses)
                assert not clash, f"{plugin} gave {clash} of {other} to {pod}"
            self.live[pod] = answer.addresses
            self.started_by[pod] = plugin
        return answer

    def add(self, *pods: str, plugin: Optional[str] = None) -> list[str]:
        """Starts pods, which must get addresses; the IPv4 ones."""
        answers = [self.try_add(pod, plugin) for pod in pods]
        assert [answer.stdout for answer in answers if not answer.ok] == []
        return [answer.addresses[0] for answer in answers]

    def delete(self, *pods: str, plugin: Optional[str] = None) -> None:
        for pod in pods:
            answer = self.call(plugin or self.type, "DEL", pod)
            assert answer.ok, answer.stdout
            self.live.pop(pod, None)

    def export(self, *options: str) -> None:
        command = [places.podlease(), "export", "--host-local", "--network", NETWORK, *options]
        subprocess.run(command, check=True, capture_output=True)

    def leases(self) -> dict[str, str]:
        """podlease's leases: address to container."""
        shown = subprocess.check_output([places.podlease(), "list", "--output", "json"])
        return {lease["address"]: lease["containerID"] for lease in json.loads(shown)}

    def held_files(self) -> dict[str, str]:
        """host-local's: address to container."""
        return {
            path.name: path.read_bytes().decode().split("\r\n")[0]
            for path in self.files.iterdir()
            if path.name != "lock" and not path.name.startswith("last_reserved_ip")
        }

    def living(self) -> dict[str, str]:
        return {address: pod for pod, held in self.live.items() for address in held}


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def dual() -> Node:
    return Node((V4, V6))


def refused(answer: Answer, code: int, *words: str) -> None:
    assert answer.status == 1 and answer.json["code"] == code, answer
    for word in words:
        assert word in answer.json["msg"], answer


# --- Taking over --------------------------------------------------------------------------------


def test_a_bridge_with_running_pods_changes_its_type_and_everything_goes_on(new_netns, tmp_path):
    def ipam(plugin: str) -> dict:
        ranges = [[{"subnet": "10.84.0.0/24"}], [{"subnet": "fd00:84::/64"}]]
        return {"type": plugin, "ranges": ranges, "routes": DEFAULT_ROUTES}

    network = Network(tmp_path / "net.d", cnitool.conflist("lab", cnitool.bridge(ipam(HOST_LOCAL))))
    old = [new_netns() for _ in range(3)]
    before = [network.add(pod).addresses for pod in old]
    assert network.delete(old[1]).ok  # a hole that host-local would not fill yet
    network.write(cnitool.conflist("lab", cnitool.bridge(ipam(PODLEASE))))
    new = [new_netns() for _ in range(2)]
    after = [network.add(pod).addresses for pod in new]
    assert after == [["10.84.0.5", "fd00:84::5"], ["10.84.0.6", "fd00:84::6"]]
    for pod in new:
        for address in (*before[0], *before[2]):
            assert pod.reaches(address)
    for pod in (old[0], *new):
        assert network.check(pod).stderr == ""
    for pod in (old[0], old[2], *new):
        assert network.delete(pod).stderr == ""
    shown = subprocess.check_output([places.podlease(), "list", "--output", "json"])
    assert json.loads(shown) == []


def test_the_cursor_goes_on_and_living_pods_keep_their_addresses(dual: Node):
    assert dual.add("a", "b", "c") == ["10.85.0.2", "10.85.0.3", "10.85.0.4"]
    dual.delete("a", "c")
    dual.type = PODLEASE
    assert dual.add("d") == ["10.85.0.5"]
    assert dual.live["d"] == ["10.85.0.5", "fd00:85::5"]
    assert dual.add(*(f"e{number}" for number in range(9)))[-1] == "10.85.0.14"
    assert dual.add("f", "g") == ["10.85.0.2", "10.85.0.4"]
    refused(dual.try_add("h"), 100, "no IP addresses available in range set")
    assert dual.leases() == dual.living()


def test_old_pods_are_deleted_through_podlease(dual: Node):
    dual.add("a", "b")
    dual.type = PODLEASE
    dual.add("c")
    dual.delete("a", "b", "a", "never")
    assert dual.leases() == dual.living()
    assert dual.add(*(f"d{number}" for number in range(12)))


def test_old_pods_may_still_be_deleted_through_host_local(dual: Node):
    dual.add("a", "b", "c")
    dual.type = PODLEASE
    dual.add("d")
    dual.delete("b", plugin=HOST_LOCAL)
    dual.add("e")
    assert dual.leases() == dual.living()
    dual.delete("a", "c", plugin=HOST_LOCAL)
    dual.add("f")
    assert dual.leases() == dual.living()


def test_a_pod_deleted_before_the_first_add_is_not_adopted(dual: Node):
    dual.add("a", "b")
    dual.type = PODLEASE
    dual.delete("a")
    dual.add("c")
    assert dual.leases() == dual.living()
    dual.delete("a", plugin=HOST_LOCAL)  # a second runtime thread with the old configuration
    dual.add("d")
    assert dual.leases() == dual.living()


def test_a_repeated_add_of_an_old_pod_gives_it_what_it_has(dual: Node):
    dual.add("a")
    dual.type = PODLEASE
    assert dual.call(PODLEASE, "ADD", "a").addresses == dual.live["a"]
    assert dual.call(PODLEASE, "CHECK", "a").ok
    assert dual.leases() == dual.living()


def test_check_of_an_old_pod_passes_and_changes_nothing(dual: Node):
    dual.add("a")
    assert dual.call(PODLEASE, "CHECK", "a").ok
    refused(dual.call(PODLEASE, "CHECK", "other"), 3)
    assert not places.LEASES.exists()


def test_host_local_after_the_takeover_is_a_conflict_that_names_the_file(node: Node):
    node.add("a")
    node.type = PODLEASE
    node.add("b")
    intruder = node.call(HOST_LOCAL, "ADD", "intruder").addresses[0]
    refused(node.try_add("c"), 7, "host-local", intruder, "intruder", NETWORK)
    node.delete("b")  # a DEL is hindered by nothing
    node.delete("intruder", plugin=HOST_LOCAL)
    node.add("c")
    assert node.leases() == node.living()


def test_old_files_without_interface_orphans_and_foreign_names_are_understood(node: Node):
    node.add("a")
    (node.files / "10.85.0.9").write_text("old-format")
    (node.files / "10.85.0.10").write_text("old-unix\neth0\n")
    (node.files / "10.85.0.3").write_text(ORPHAN)
    (node.files / "10.99.0.1").write_text("outside\r\neth0")
    (node.files / "last_reserved_ip").write_text("10.85.0.12")
    for name in ("last_reserved_ip.MTAu", "README", ".hidden", "10.85.0.300"):
        (node.files / name).write_text("nothing to see")
    (node.files / "folder").mkdir()
    node.live.update(old=["10.85.0.9"], unix=["10.85.0.10"], outside=["10.99.0.1"])
    node.type = PODLEASE
    assert node.add("b", "c") == ["10.85.0.3", "10.85.0.4"]
    assert node.call(PODLEASE, "DEL", "old-format", ifname="net7").ok
    assert node.call(PODLEASE, "DEL", "outside").ok
    assert sorted(node.leases()) == ["10.85.0.10", "10.85.0.2", "10.85.0.3", "10.85.0.4"]


@pytest.mark.parametrize("same_place", [True, False], ids=["same dataDir", "another dataDir"])
def test_a_custom_data_dir_of_host_local_is_found_in_both_its_meanings(
    tmp_path: Path, same_place: bool
):
    node = Node((V4, V6), {"dataDir": str(tmp_path / "networks")} if same_place else {})
    node.add("a", "b")
    node.type = PODLEASE
    if not same_place:
        node.ipam = {"dataDir": str(tmp_path / "leases")}
    node.add("c")
    assert node.leases() == node.living()
    node.delete("a")
    node.add("d")
    assert node.leases() == node.living()


@pytest.mark.parametrize("path", ["trailing slash", "dot", "link"])
def test_one_folder_by_two_names_does_not_wait_for_itself(tmp_path: Path, path: str):
    node = Node()
    node.add("a")
    link = tmp_path / "link"
    link.symlink_to(NETWORKS)
    spelt = {"trailing slash": f"{NETWORKS}/", "dot": "/var/lib/./cni/networks", "link": str(link)}
    node.ipam = {"dataDir": spelt[path], "lockTimeout": "3s"}
    assert node.add("b", "c", plugin=PODLEASE) == ["10.85.0.3", "10.85.0.4"]


# --- Cleared folders ----------------------------------------------------------------------------


def clear_all(node: Node) -> None:
    shutil.rmtree(NETWORKS)


def clear_network(node: Node) -> None:
    shutil.rmtree(node.files)


def clear_files(node: Node) -> None:
    for path in node.files.iterdir():
        path.unlink()


CLEARINGS = [clear_all, clear_network, clear_files]


@pytest.mark.parametrize("clear", CLEARINGS)
def test_removing_the_folder_ends_no_living_pod(dual: Node, clear: Any):
    dual.add("a", "b")
    dual.type = PODLEASE
    dual.add("c")
    clear(dual)
    dual.add("d")
    dual.add("e")
    assert dual.leases() == dual.living()
    dual.delete("a", "b", "c")
    assert dual.leases() == dual.living()


@pytest.mark.parametrize("clear", CLEARINGS)
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "unseen"])
def test_a_removed_folder_that_host_local_makes_again_ends_no_living_pod(
    dual: Node, clear: Any, seen: bool
):
    """A runtime that tears a pod down with its old configuration has host-local make the folder
    and its lock anew."""
    dual.add("a", "b", "c")
    dual.type = PODLEASE
    dual.add("d")
    clear(dual)
    if seen:
        dual.add("e")
    assert dual.call(HOST_LOCAL, "DEL", "b").ok
    assert (dual.files / "lock").exists()
    dual.add("f", "g")
    assert dual.leases() == dual.living()
    dual.delete("a", "b", "c", "d")
    assert dual.leases() == dual.living()


# --- The way back -------------------------------------------------------------------------------


def test_host_local_goes_on_after_an_export(dual: Node):
    dual.type = PODLEASE
    dual.add("a", "b", "c")
    dual.delete("a")
    dual.export()
    assert dual.held_files() == dual.living()
    dual.type = HOST_LOCAL
    assert dual.add("d", "e") == ["10.85.0.5", "10.85.0.6"]
    dual.delete("b", "c", "d")
    assert dual.held_files() == dual.living()


def test_pods_may_start_and_stop_between_export_and_switch(dual: Node):
    dual.type = PODLEASE
    dual.add("a", "b")
    dual.export()
    dual.add("c", "d")
    dual.delete("a", "c")
    dual.add("e")
    dual.type = HOST_LOCAL
    dual.add("f", "g")
    for address, pod in dual.living().items():
        assert dual.held_files()[address] == pod
    dual.delete(*list(dual.live))


def test_a_command_ends_the_sharing(dual: Node):
    dual.type = PODLEASE
    dual.add("a", "b")
    dual.export()
    exported = dual.held_files()
    dual.export("--end-sharing", "--dry-run")
    dual.add("c")
    assert dual.held_files() == dual.living(), "a rehearsal ends nothing"
    exported = dual.held_files()
    dual.export("--end-sharing")
    dual.add("d")
    dual.delete("a", "c")
    dual.add("e", "f")
    assert dual.held_files() == exported, "what stands there is left alone"
    assert dual.leases() == dual.living()
    dual.export("--end-sharing")  # once more changes nothing
    dual.export()
    assert dual.held_files() == dual.living()
    dual.type = HOST_LOCAL
    dual.add("g", "h")
    dual.delete(*list(dual.live))


def test_sharing_ends_only_where_there_is_such_a_network(dual: Node):
    dual.type = PODLEASE
    dual.add("a")
    dual.export()
    command = [places.podlease(), "export", "--host-local", "--end-sharing", "--network"]
    unknown = subprocess.run([*command, "other"], capture_output=True, text=True)
    assert unknown.returncode != 0 and "other" in unknown.stderr
    to = subprocess.run([*command, NETWORK, "--to", "/run/x"], capture_output=True, text=True)
    assert to.returncode != 0 and "--to" in to.stderr
    assert not Path("/run/x").exists()
    dual.add("b")
    assert dual.held_files() == dual.living()


def test_what_podlease_deletes_after_an_export_is_free_for_host_local(dual: Node):
    """The runtime calls podlease for the DEL of what podlease had started, for as long as that
    lives."""
    dual.type = PODLEASE
    dual.add(*(f"a{number}" for number in range(13)))
    dual.export()
    dual.delete("a0")
    dual.type = HOST_LOCAL
    dual.add("b0")
    dual.delete(*(f"a{number}" for number in range(1, 13)), plugin=PODLEASE)
    dual.add(*(f"b{number}" for number in range(1, 13)))
    assert dual.held_files() == dual.living()
    assert not dual.try_add("c").ok


def test_there_and_back_again_loses_and_doubles_nothing(dual: Node):
    dual.add("h1", "h2")
    dual.type = PODLEASE
    dual.add("p1", "p2")
    dual.export()
    dual.type = HOST_LOCAL
    dual.add("h3", "h4")
    dual.delete("h1", "p1")
    dual.type = PODLEASE
    dual.add("p3", "p4")
    assert dual.leases() == dual.living()
    dual.delete("h2", "h3", "p2", "p3")
    dual.export()
    dual.type = HOST_LOCAL
    dual.add("h5")
    assert dual.held_files() == dual.living()


def test_an_export_repeated_after_the_switch_removes_no_living_pod(dual: Node):
    dual.type = PODLEASE
    dual.add("a")
    dual.export()
    dual.type = HOST_LOCAL
    dual.add("b", "c")
    dual.delete("a")
    dual.export()
    dual.add(*(f"d{number}" for number in range(11)))
    dual.type = PODLEASE
    refused(dual.try_add("e"), 100)
    dual.delete("d0")
    dual.add("e")
    assert dual.leases() == dual.living()


def test_an_export_does_not_bring_back_what_host_local_ended(dual: Node):
    dual.add("a", "b")
    dual.type = PODLEASE
    dual.add("c")
    dual.delete("a", plugin=HOST_LOCAL)
    dual.export()
    assert dual.held_files() == dual.living()


def test_an_export_over_a_conflict_removes_no_living_pod(node: Node):
    node.add("a")
    node.type = PODLEASE
    node.add("b", "c")
    # host-local goes on from its own cursor, and b has that address.
    second = node.call(HOST_LOCAL, "ADD", "second").addresses
    assert second == node.live["b"]
    command = [places.podlease(), "export", "--host-local", "--network", NETWORK]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert second[0] in done.stderr and "second" in done.stderr
    assert node.held_files()[second[0]] == "second"


def test_a_del_through_host_local_after_an_export_does_not_end_the_sharing(dual: Node):
    """Old pods may be torn down with host-local's configuration at any time: that is not yet the
    way back."""
    dual.add("a", "b")
    dual.type = PODLEASE
    dual.add("c")
    dual.export()
    dual.delete("a", plugin=HOST_LOCAL)
    dual.add("d", "e")
    dual.type = HOST_LOCAL
    dual.add(*(f"f{number}" for number in range(9)))
    assert dual.held_files() == dual.living()


def test_a_late_add_through_podlease_after_the_switch_is_known_to_host_local(dual: Node):
    """The runtime had read the old configuration already."""
    dual.type = PODLEASE
    dual.add("a")
    dual.export()
    dual.type = HOST_LOCAL
    dual.add("b")
    dual.add("late", plugin=PODLEASE)
    dual.add(*(f"c{number}" for number in range(10)))
    assert not dual.try_add("d").ok
    assert dual.held_files() == dual.living()


def test_an_export_goes_to_where_the_network_was_adopted_from(tmp_path: Path):
    node = Node((V4, V6), {"dataDir": str(tmp_path / "networks")})
    node.add("a")
    node.type = PODLEASE
    node.add("b")
    node.export()
    assert node.held_files() == node.living()
    node.type = HOST_LOCAL
    node.add("c")


def test_a_folder_exported_to_is_kept_in_step_wherever_it_is(tmp_path: Path):
    node = Node((V4, V6))
    node.type = PODLEASE
    node.add("a")
    node.export("--to", str(tmp_path / "elsewhere"))
    node.add("b")
    node.delete("a")
    node.add("c")
    node.type = HOST_LOCAL
    node.ipam = {"dataDir": str(tmp_path / "elsewhere")}
    node.add("d")
    assert node.held_files() == node.living()


def test_a_dry_run_writes_nothing(node: Node):
    node.type = PODLEASE
    node.add("a")
    node.export("--dry-run")
    assert not NETWORKS.exists() or not node.files.exists()


# --- Any order ----------------------------------------------------------------------------------


class History:
    """A random sequence of what may happen on a node, held against what must be true."""

    def __init__(self, seed: int) -> None:
        self.choice = random.Random(seed)
        self.node = Node((V4, V6) if seed % 2 else (V4,))
        self.exported = False
        self.adopted = False  # since the last change to podlease
        self.leaks = False
        self.pods = 0
        self.steps: list[str] = []

    def step(self) -> None:
        often = [self.add] * 9 + [self.delete] * 8 + [self.switch] * 2
        seldom = [self.repeat, self.delete_again, self.export_again, self.clear]
        self.choice.choice(often + seldom)()

    def add(self) -> None:
        self.pods += 1
        pod = f"pod-{self.pods}"
        self.steps.append(f"ADD {pod} {self.node.type}")
        answer = self.node.try_add(pod)
        if not answer.ok:
            assert "no IP addresses available in range set" in answer.json["msg"], answer
            assert self.leaks or len(self.node.live) > 9, f"full with {self.node.live}"
        elif self.node.type == PODLEASE:
            self.adopted = True

    def delete(self) -> None:
        """By today's configuration, or by the one that the pod was started with."""
        if self.node.live:
            pod = self.choice.choice(sorted(self.node.live))
            plugin = self.choice.choice([self.node.type, self.node.started_by[pod]])
            self.steps.append(f"DEL {pod} {plugin}")
            self.node.delete(pod, plugin=plugin)

    def delete_again(self) -> None:
        pod = f"pod-{self.choice.randint(1, self.pods + 1)}"
        if pod not in self.node.live:
            self.steps.append(f"DEL {pod} {self.node.type} again")
            self.node.delete(pod)

    def repeat(self) -> None:
        """A repeated ADD gives the same; a CHECK finds what is there."""
        own = [pod for pod in sorted(self.node.live) if self.node.started_by[pod] == PODLEASE]
        if own and self.node.type == PODLEASE:
            pod = self.choice.choice(own)
            self.steps.append(f"ADD {pod} again")
            assert self.node.call(PODLEASE, "ADD", pod).addresses == self.node.live[pod]

    def switch(self) -> None:
        """To podlease at any time; to host-local after an export, not always at once."""
        if self.node.type == HOST_LOCAL:
            self.node.type, self.exported, self.adopted = PODLEASE, False, False
        elif not self.exported and self.pods and self.has_network():
            self.node.export()
            self.exported = True
        elif self.exported:
            self.node.type = HOST_LOCAL
        self.steps.append(f"switch: {self.node.type}, exported: {self.exported}")

    def export_again(self) -> None:
        if self.exported:
            self.steps.append("export")
            self.node.export()

    def clear(self) -> None:
        """The cure of people whose host-local leaks. What host-local ends after it leaks here."""
        if self.node.type == PODLEASE and self.adopted and not self.exported:
            self.steps.append("rm -rf")
            shutil.rmtree(self.node.files, ignore_errors=True)
            self.leaks = True

    def has_network(self) -> bool:
        shown = subprocess.check_output([places.podlease(), "status", "--output", "json"])
        return any(store["networks"] for store in json.loads(shown)["stores"])

    def end(self) -> None:
        """All pods end; then nothing is left behind in podlease."""
        while self.node.live:
            self.delete()
        self.node.type = PODLEASE
        self.node.add("last")
        assert self.leaks or self.node.leases() == self.node.living()


@pytest.mark.parametrize("seed", range(1, 25))
def test_no_two_living_pods_have_one_address_in_any_order(seed: int):
    history = History(seed)
    try:
        for _ in range(60):
            history.step()
        history.end()
    except AssertionError:
        print("\n".join(history.steps))
        raise
