"""`podlease routes`: nothing else lays routes between the blocks of the nodes."""

import json
import subprocess
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest
from lab import places, pools
from lab.cluster import Cluster, inside
from lab.waiting import until
from lab.worker import Worker

POOL = "172.20.0.0/16"
POOL6 = "fd00:172:20::/112"
EAGER = {"kubernetes": {"refresh": "1s"}, "cooldown": "0s", "mode": "cluster-pool"}
TROUBLE = 2


@pytest.fixture
def pooled(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster with the definitions, and at its end no routes of podlease's."""
    pools.install(cluster.kubectl)
    try:
        yield cluster
    finally:
        pools.remove(cluster.kubectl)
        for worker in cluster.workers.values():
            pools.flush_routes(worker, pools.OWN_PROTOCOL, 99)


def halves(cidr: str) -> list[dict]:
    """Routes to both halves of a pool by way of its gateway: to a pod on a bridge the whole pool is
    on its link, but the other nodes' blocks are not."""
    network = ip_network(cidr)
    anything = "::/0" if network.version == 6 else "0.0.0.0/0"
    gateway = str(network.network_address + 1)
    # The half with the gateway last: for IPv6 the kernel looks for the gateway of a new route among
    # the routes that are there, and one by way of a gateway will not do.
    both = [{"dst": str(half), "gw": gateway} for half in network.subnets()][::-1]
    return [{"dst": anything}, *both]


def use_network(cluster: Cluster, plugin: str, cidrs: Sequence[str]) -> None:
    cluster.kubectl.create(pools.pool("default", list(cidrs)))
    ipam: dict[str, Any] = {**EAGER}
    if plugin == "bridge":
        ipam["prefix"] = "pool"
        ipam["routes"] = [route for cidr in cidrs for route in halves(cidr)]
    else:
        ipam["routes"] = [{"dst": "::/0" if ":" in cidr else "0.0.0.0/0"} for cidr in cidrs]
    for worker in cluster.workers.values():
        worker.use_network(ipam, plugin=plugin, name="routed")
        if plugin == "bridge":
            # isDefaultGateway, which the lab has, would make the default route twice.
            worker.network["plugins"][0].pop("isDefaultGateway")
            worker.network["plugins"][0]["isGateway"] = True
            worker.containerd.use_network(worker.network)
            worker.containerd.wait_for_config(worker.network)


def routes(worker: Worker, *arguments: str, statuses: Sequence[int] = (0,)) -> dict:
    done = worker.podlease("routes", "--output", "json", *arguments, statuses=statuses)
    return json.loads(done.stdout)


def blocks_of(cluster: Cluster, node: str) -> list[str]:
    found = cluster.kubectl.list("podblocks")
    return [item["spec"]["cidr"] for item in found if item["spec"]["nodeName"] == node]


@contextmanager
def watching(worker: Worker, log: Path) -> Iterator[None]:
    command = [*worker.under, str(places.podlease()), "routes", "--apply", "--watch", "1s"]
    with log.open("w") as lines:
        process = subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        status = process.wait(20)
    assert status == 0, log.read_text()


@pytest.mark.parametrize("cidrs", [[POOL], [POOL, POOL6]], ids=["ipv4", "dual-stack"])
@pytest.mark.parametrize("plugin", ["bridge", "ptp"])
def test_pods_of_two_nodes_reach_each_other(pooled: Cluster, plugin: str, cidrs: list[str]):
    use_network(pooled, plugin, cidrs)
    pods = pooled.deploy("web", 4)
    assert {pod.node for pod in pods} == {"node1", "node2"}
    first, second = pooled.workers.values()
    for here, there in ((first, second), (second, first)):
        assert pools.own_routes(here) == {}
        planned = routes(here, "--dry-run")
        assert pools.own_routes(here) == {}
        report = routes(here, "--apply")
        assert report["changes"] == planned["changes"] and report["problems"] == []
        assert {route["node"] for route in report["routes"]} == {there.name}
        blocks = blocks_of(pooled, there.name)
        gateways = {cidr: str(there.addresses[":" in cidr]) for cidr in blocks}
        assert pools.own_routes(here) == gateways
        assert routes(here, "--apply")["changes"] == []
    for pod in pods:
        assert all(inside(address, cidrs) for address in pod.addresses), pod
    pooled.demand_reach(pods)
    pooled.demand_leases(pods)


def test_routes_follow_the_blocks(pooled: Cluster, tmp_path: Path):
    use_network(pooled, "ptp", [POOL])
    here, there = pooled.workers.values()
    log = tmp_path / "watch"
    with watching(here, log):
        pods = pooled.deploy("web", 2)
        (block,) = until("a block of the other node", lambda: blocks_of(pooled, there.name))
        until("its route", lambda: list(pools.own_routes(here)) == [block], 20)
        routes(there, "--apply")
        pooled.control_plane.api_server.kill()
        until("that it is told", lambda: "the routes stay as they are" in log.read_text(), 30)
        assert list(pools.own_routes(here)) == [block]
        pooled.demand_reach(pods)
        pooled.control_plane.start_api_server()
        until("that it is over", lambda: "it works again" in log.read_text(), 30)
        pooled.kubectl("delete", "deployment", "web")
        until("no pods", lambda: not pooled.kubectl.list("pods"), 90)
        there.remove_ended_pods()
        there.podlease("node", "release")
        until("no route", lambda: pools.own_routes(here) == {}, 20)
    lines = log.read_text().splitlines()
    route = f"{block} via {there.addresses[0]} dev eth0 proto 112"
    assert [line for line in lines if block in line] == [f"add {route}", f"remove {route}"]
    assert len(lines) == 4, lines  # and that the API server was away, and is there again


def test_routes_of_others_are_left_alone(pooled: Cluster):
    use_network(pooled, "ptp", [POOL])
    here, there = pooled.workers.values()
    taken = pools.block("172.20.0.0/26", there.name)
    free = pools.block("172.20.1.0/26", there.name)
    lost = pools.block("172.20.2.0/26", "node3")
    for block, address in ((taken, there.addresses[0]), (free, there.addresses[0]), (lost, "")):
        block["status"]["nodeIPs"] = [str(address)] if address else []
        pooled.kubectl.create(block)
    add = ["ip", "route", "add"]
    other = ["172.20.0.0/26", "via", there.addresses[0], "metric", "50", "proto", "99"]
    here.run(*add, *other)
    here.run(*add, "blackhole", "172.20.9.0/26", "proto", "99")
    here.run(*add, "172.20.8.0/26", "via", there.addresses[0], "proto", "112")  # of yesterday
    before = here.run("ip", "route", "show", "proto", "99").stdout
    report = routes(here, "--apply", statuses=[TROUBLE])
    assert pools.own_routes(here) == {"172.20.1.0/26": str(there.addresses[0])}
    assert here.run("ip", "route", "show", "proto", "99").stdout == before
    changes = [(each["change"], each["destination"]) for each in report["changes"]]
    assert changes == [("add", "172.20.1.0/26"), ("remove", "172.20.8.0/26")]
    conflict = [problem for problem in report["problems"] if "somebody else" in problem]
    assert len(conflict) == 1 and "172.20.0.0/26" in conflict[0]
    (nowhere,) = (problem for problem in report["problems"] if problem not in conflict)
    assert "node3" in nowhere and "172.20.2.0/26" in nowhere
