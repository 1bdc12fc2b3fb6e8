"""Mode kubernetes against an API server that says what the test wants: what is asked how often,
what is remembered, and what an operator is told. A real cluster serves tests/cluster."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator

import pytest
from lab import cni, places
from lab.api_server import ApiServer, Handler, node, send, status_object

NETNS = "/run/netns/none"  # need not exist
CONFIG, TRY_AGAIN = 7, 11


class World:
    """A node of a cluster: its API server, and a configuration that leases from its podCIDR."""

    def __init__(self, tmp: Path, address: str = "127.0.0.1") -> None:
        self.api = ApiServer(tmp / "api", address)
        self.folder = tmp / "store"
        self.tmp = tmp
        self.main: dict[str, Any] = {}  # of the main plugin
        self.kubeconfig = self.api.kubeconfig()

    def config(self, refresh: str = "60s", timeout: str = "2s", **ipam: Any) -> dict:
        kubernetes = {
            "kubeconfig": str(self.kubeconfig),
            "nodeName": "worker",
            "refresh": refresh,
            "timeout": timeout,
            **ipam.pop("kubernetes", {}),
        }
        own = {"type": "podlease", "dataDir": str(self.folder), "kubernetes": kubernetes, **ipam}
        return {"cniVersion": "1.1.0", "name": "net", **self.main, "ipam": own}

    def call(self, verb: str, container_id: str = "a", **options: Any):
        return cni.call(
            places.podlease(), verb, self.config(**options), container_id=container_id, netns=NETNS
        )

    def addresses(self, container_id: str, **options: Any) -> list[str]:
        answer = self.call("ADD", container_id, **options)
        assert answer.status == 0, answer
        return [ip["address"] for ip in answer.json["ips"]]

    def refused(self, code: int, container_id: str = "x", **options: Any) -> str:
        answer = self.call("ADD", container_id, **options)
        assert answer.status == 1 and answer.json["code"] == code, answer
        assert "\n" not in answer.json["msg"]
        return answer.json["msg"] + " | " + answer.json.get("details", "")

    def command(self, *words: str, statuses: tuple[int, ...] = (0,), **options: Any) -> Any:
        conf_dir = self.tmp / "net.d"
        conf_dir.mkdir(exist_ok=True)
        (conf_dir / "10-net.conf").write_text(json.dumps(self.config(**options)))
        extra = ["--conf-dir", str(conf_dir)] if words[0] in ("status", "doctor") else []
        done = subprocess.run(
            [places.podlease(), *words, *extra, "--output", "json", "--data-dir", self.folder],
            input=json.dumps(self.config(**options)),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in statuses, done
        return json.loads(done.stdout)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.api.set_node(node(podCIDRs=["10.244.1.0/24"], podCIDR="10.244.1.0/24"))
    yield world
    world.api.close()


def test_pods_get_addresses_of_the_nodes_cidr_and_one_get_serves_them_all(world: World):
    assert world.addresses("a") == ["10.244.1.2/24"]
    assert world.addresses("b") == ["10.244.1.3/24"]
    assert world.addresses("a") == ["10.244.1.2/24"]
    assert world.call("DEL", "a").status == 0
    assert world.api.requests == [("/api/v1/nodes/worker", "Bearer secret")]


def test_500_adds_at_once_on_a_cold_cache_ask_once(world: World):
    world.api.set_node(node(podCIDRs=["10.244.0.0/22"]))
    world.api.delay = 0.2
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda n: world.addresses(f"c{n}"), range(500)))
    assert len({address for answer in answers for address in answer}) == 500
    assert len(world.api.requests) == 1


def test_waiters_of_a_failed_attempt_share_its_error(world: World):
    world.api.misbehave = lambda handler: send(handler, 500, status_object(500, "etcd is gone"))
    world.api.delay = 0.5
    with ThreadPoolExecutor(20) as pool:
        messages = list(pool.map(lambda n: world.refused(TRY_AGAIN, f"c{n}"), range(20)))
    assert all("500" in message for message in messages), messages[0]
    assert len(world.api.requests) <= 4  # a failed GET is tried once more


def hang(_: Handler) -> None:
    time.sleep(30)


def fail(code: int, message: str):
    return lambda handler: send(handler, code, status_object(code, message))


@pytest.mark.parametrize(
    "misbehave",
    [hang, fail(500, "no"), fail(401, "Unauthorized"), fail(403, "forbidden"), fail(429, "slow")],
    ids=["hang", "500", "401", "403", "429"],
)
def test_what_was_read_serves_while_the_api_does_not(world: World, misbehave):
    assert world.addresses("a", refresh="0s") == ["10.244.1.2/24"]
    world.api.misbehave = misbehave
    assert world.addresses("b", refresh="0s", timeout="300ms") == ["10.244.1.3/24"]
    [network] = world.command("status", refresh="0s")["configurations"]
    assert any("is used:" in warning for warning in network["warnings"]), network
    assert network["looks"][0]["used"] and "from 127.0.0.1" in network["origins"][0]


def test_an_api_server_that_is_down_serves_likewise(world: World):
    world.addresses("a")
    world.api.close()
    assert world.addresses("b", refresh="0s") == ["10.244.1.3/24"]
    assert world.call("DEL", "a").status == 0
    assert world.call("CHECK", "b").status == 0


def test_nothing_known_and_no_answer_is_code_11_that_says_what_to_do(world: World):
    world.api.misbehave = hang
    message = world.refused(TRY_AGAIN, timeout="200ms")
    assert "Node worker" in message and "127.0.0.1" in message, message


def test_verbs_other_than_add_never_ask(world: World):
    for verb in ("DEL", "STATUS", "GC"):
        assert world.call(verb).status == 0
    assert world.call("CHECK").json["code"] == 3
    world.command("status")
    assert world.api.requests == []


def test_a_node_that_is_gone_gives_no_new_leases_and_takes_none_away(world: World):
    world.addresses("a")
    held = dict(world.api.objects)
    world.api.objects.clear()
    message = world.refused(TRY_AGAIN, "b", refresh="0s")
    assert "Node worker" in message and "does not exist" in message
    assert world.addresses("a", refresh="0s") == ["10.244.1.2/24"]  # it has it already
    world.api.misbehave = fail(503, "later")
    world.refused(TRY_AGAIN, "b", refresh="0s")  # what was known does not come back
    world.api.misbehave = None
    world.api.objects.update(held)
    assert world.addresses("b", refresh="0s") == ["10.244.1.3/24"]


def test_another_cidr_takes_over_and_the_old_leases_drain(world: World):
    world.addresses("a")
    world.api.set_node(node(podCIDRs=["10.244.7.0/24"]))
    assert world.addresses("b", refresh="0s") == ["10.244.7.2/24"]
    assert world.addresses("a", refresh="0s") == ["10.244.1.2/24"]
    leased = {lease["address"]: lease["source"] for lease in world.command("list")}
    assert leased == {"10.244.1.2": "node spec", "10.244.7.2": "node spec"}
    [network] = world.command("status")["configurations"]
    assert network["draining"] == 1 and network["looks"][0]["value"] == "10.244.7.0/24"
    explained = world.command("explain")
    assert explained["answer"][0]["address"] == "10.244.7.3/24"
    assert world.call("DEL", "a").status == 0
    assert world.command("status")["configurations"][0]["draining"] == 0


def test_a_cidr_that_disappears_is_code_11_and_the_leases_stay(world: World):
    world.addresses("a")
    world.api.set_node(node())
    message = world.refused(TRY_AGAIN, "b", refresh="0s")
    assert "has no podCIDR" in message and "--allocate-node-cidrs" in message
    assert [lease["address"] for lease in world.command("list")] == ["10.244.1.2"]


def test_a_cloned_host_name_is_refused(world: World):
    document = node(podCIDRs=["10.244.1.0/24"])
    document["status"] = {
        "nodeInfo": {"machineID": "other", "systemUUID": "other", "bootID": "other"}
    }
    world.api.set_node(document)
    answer = world.call("ADD")
    # A host without a firmware's UUID cannot be told apart for certain.
    if os.access("/sys/class/dmi/id/product_uuid", os.R_OK) and Path("/etc/machine-id").exists():
        assert answer.json["code"] == CONFIG and "another machine" in answer.json["msg"]
    else:
        assert answer.status == 0


def test_use_pod_cidr_inside_static_ranges(world: World):
    ranges = [[{"subnet": "usePodCidr", "rangeStart": "10.244.1.100"}], [{"subnet": "fd00::/64"}]]
    assert world.addresses("a", ranges=ranges) == ["10.244.1.100/24", "fd00::2/64"]


def test_dual_stack_is_all_or_nothing(world: World):
    world.api.set_node(node(podCIDRs=["10.244.1.0/30", "fd00:1::/64"]))
    assert world.addresses("a") == ["10.244.1.2/30", "fd00:1::2/64"]
    answer = world.call("ADD", "b")
    assert answer.json["code"] == 100, answer
    assert len(world.command("list")) == 2


def test_a_cidr_that_holds_the_api_server_is_refused(tmp_path: Path):
    subprocess.run(["ip", "link", "add", "api0", "type", "bridge"], check=True)
    subprocess.run(["ip", "address", "add", "10.244.1.9/32", "dev", "api0"], check=True)
    subprocess.run(["ip", "link", "set", "api0", "up"], check=True)
    world = World(tmp_path, "10.244.1.9")
    try:
        world.api.set_node(node(podCIDRs=["10.244.1.0/28"]))
        # On a network that the host does not route it is left out, as all that the host has.
        given = [address for n in range(12) for address in world.addresses(f"c{n}")]
        assert len(set(given)) == 12 and "10.244.1.9/28" not in given
        world.main = {"type": "ptp"}
        message = world.refused(CONFIG)
        assert "10.244.1.9" in message and "API server" in message
    finally:
        world.api.close()


def test_a_cidr_of_loopback_is_refused(world: World):
    world.api.set_node(node(podCIDRs=["127.0.0.0/24"]))
    assert "127.0.0.0/8" in world.refused(CONFIG, gateway="none")


@pytest.mark.parametrize("verb", ["explain", "doctor"])
def test_explain_and_doctor_ask_and_write_nothing(world: World, verb: str):
    report = world.command(verb)
    assert len(world.api.requests) == 1
    assert not (world.folder / "podlease.db").exists()
    assert "Node worker spec.podCIDRs[0]" in json.dumps(report)


def test_doctor_says_what_is_wrong(world: World):
    assert all(check["health"] == "ok" for check in world.command("doctor"))
    world.api.objects.clear()
    report = world.command("doctor", statuses=(2,))
    [wrong] = [check for check in report if check["health"] == "wrong"]
    assert "Node worker" in wrong["finding"] and wrong["remedy"]
    world.kubeconfig.write_text("nonsense: [")
    report = world.command("doctor", statuses=(2,))
    assert any(check["subject"] == "kubeconfig" and check["health"] == "wrong" for check in report)


@pytest.mark.parametrize(
    "text, mention",
    [
        ("{", "kubeconfig"),
        ("current-context: other\ncontexts: []\n", "other"),
        (None, "kubeconfig"),
    ],
    ids=["no-yaml", "wrong-context", "missing"],
)
def test_a_kubeconfig_that_cannot_be_used_is_a_configuration_error(world: World, text, mention):
    world.kubeconfig.unlink()
    if text is not None:
        world.kubeconfig.write_text(text)
    assert mention in world.refused(CONFIG)


def test_the_ready_configurations_are_valid():
    conf = Path(__file__).parents[2] / "conf"
    for path in sorted(conf.glob("**/*.conflist")):
        done = subprocess.run(
            [places.podlease(), "explain", "--output", "json"],
            input=path.read_text(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        report = json.loads(done.stdout)
        assert report["warnings"] == [] or "kubeconfig" in report["warnings"][0], path
        assert done.returncode == 0 or "kubeconfig" in report["error"]["msg"], path
