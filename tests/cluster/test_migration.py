"""Nodes go from Kubernetes' host scope to a pool, from CIDR to CIDR, and back, under requests all
the time: new pods get new addresses at once, old ones keep theirs, and no request fails."""

from typing import Callable, Iterator

import pytest
from lab import cni, places, pools
from lab.cluster import Cluster, Pod, inside
from lab.pools import blocks
from lab.traffic import Traffic
from lab.waiting import until
from lab.worker import Worker

CLUSTER_CIDR = "10.244.0.0/16"
POOL = "172.20.0.0/16"
OTHER_POOL = "172.21.0.0/16"

EAGER = {"kubernetes": {"refresh": "1s"}, "cooldown": "0s"}
ROUTES = [{"dst": "0.0.0.0/0"}]
HALVES = [{"dst": half, "gw": "172.20.0.1"} for half in ("172.20.0.0/17", "172.20.128.0/17")]

# What an administrator writes into the conflist: from host scope, and to cluster scope.
ROUTED = {**EAGER, "routes": ROUTES}
WAYS = {
    "ptp-same-network": (
        ({"ipam": ROUTED}, {"plugin": "ptp", "name": "podnet"}),
        ({"ipam": {**ROUTED, "mode": "cluster-pool"}}, {"plugin": "ptp", "name": "podnet"}),
    ),
    "ptp-another-network": (
        ({"ipam": ROUTED}, {"plugin": "ptp", "name": "podnet"}),
        ({"ipam": {**ROUTED, "mode": "cluster-pool"}}, {"plugin": "ptp", "name": "pooled"}),
    ),
    "bridge-another-network": (
        ({"ipam": EAGER}, {"name": "podnet"}),
        (
            {"ipam": {**EAGER, "mode": "cluster-pool", "prefix": "pool", "routes": HALVES}},
            {"name": "pooled"},
        ),
    ),
}

Edit = Callable[[Worker], None]


def edit_of(way: tuple[dict, dict]) -> Edit:
    ipam, network = way
    return lambda worker: worker.use_network(**ipam, **network)


@pytest.fixture
def routed(pooled: Cluster) -> Iterator[Cluster]:
    """Nothing but routes is prepared: by podCIDRs, and by blocks as they come."""
    with pools.routes(pooled):
        yield pooled


@pytest.fixture
def traffic(routed: Cluster) -> Iterator[Callable[[], Traffic]]:
    """Begins it; whatever happens, it ends before its pods do."""
    begun: list[Traffic] = []

    def begin() -> Traffic:
        begun.append(Traffic(routed))
        return begun[0]

    yield begin
    for each in begun:
        each.stop()


def new_pod(cluster: Cluster, name: str, node: str) -> Pod:
    (pod,) = cluster.deploy(name, 1, node=node)
    return pod


def all_inside(pods: list[Pod], cidr: str) -> bool:
    return all(inside(address, [cidr]) for pod in pods for address in pod.addresses)


def leased_of(cluster: Cluster, cidr: str) -> list[str]:
    return [
        address
        for worker in cluster.workers.values()
        for address in worker.leased()
        if inside(address, [cidr])
    ]


def end_former(cluster: Cluster, way: str) -> None:
    """As a runtime with GC does for a network that it has no pods of: containerd ends pods with the
    configuration that is there now, under its name."""
    if "another" not in way:
        return
    for worker in cluster.workers.values():
        for name in {"podnet", "pooled"} - {worker.network["name"]}:
            collect(worker, name)


def collect(worker: Worker, network: str) -> None:
    """All of it whose pods are gone."""
    (main,) = worker.network["plugins"]
    config = {"cniVersion": "1.1.0", "name": network, **main, "cni.dev/valid-attachments": []}
    how = {"container_id": None, "ifname": None, "under": worker.under}
    answer = cni.call(places.podlease(), "GC", config, **how)
    assert answer.ok, answer


def test_pods_of_a_network_that_was_renamed_end(routed: Cluster):
    """The runtime ends them with the configuration that is there now."""
    to_host_scope, to_cluster_scope = map(edit_of, WAYS["ptp-another-network"])
    node1 = routed.workers["node1"]
    to_host_scope(node1)
    routed.deploy("web", 2, node="node1")
    to_cluster_scope(node1)
    routed.scale("web", 0)
    try:
        until("no lease", lambda: not node1.leased(), 10)
    finally:
        collect(node1, "podnet")


@pytest.mark.parametrize("way", WAYS)
def test_from_host_scope_to_cluster_scope_and_back(
    routed: Cluster, traffic: Callable[[], Traffic], way: str
):
    to_host_scope, to_cluster_scope = map(edit_of, WAYS[way])
    first, second = routed.workers.values()
    if "bridge" in way:  # any order
        first, second = second, first
    for worker in (first, second):
        to_host_scope(worker)
    requests = traffic()
    old = requests.pods()
    assert all_inside(old, CLUSTER_CIDR)

    # One node changes, both modes are in use.
    routed.kubectl.create(pools.pool("default", [POOL]))
    to_cluster_scope(first)
    on_first, on_second = (
        new_pod(routed, f"new-{worker.name}", worker.name) for worker in (first, second)
    )
    assert all_inside([on_first], POOL) and all_inside([on_second], CLUSTER_CIDR)
    routed.demand_reach([on_first, on_second, *old[:1]])
    # The other one, and back in the middle of it, and again.
    to_cluster_scope(second)
    assert all_inside([new_pod(routed, "newer", second.name)], POOL)
    to_host_scope(second)
    assert all_inside([new_pod(routed, "undone", second.name)], CLUSTER_CIDR)
    to_cluster_scope(second)
    assert all_inside([new_pod(routed, "newest", second.name)], POOL)
    others = ["new-node1", "new-node2", "newer", "undone", "newest"]
    assert requests.pods() == old
    routed.demand_leases(old + [pod for name in others for pod in routed.pods(name)])

    # The rest moves when it suits.
    routed.kubectl("delete", "deployments", *others)
    moved = requests.roll()
    assert all_inside(moved, POOL)
    end_former(routed, way)
    until("an empty old space", lambda: not leased_of(routed, CLUSTER_CIDR), 30)
    routed.demand_leases(moved)
    routed.demand_reach(moved)
    assert {each.node for each in blocks(routed)} == set(routed.workers)

    # And back again, which is the same.
    for worker in (second, first):
        to_host_scope(worker)
    assert all_inside([new_pod(routed, "back", first.name)], CLUSTER_CIDR)
    assert requests.pods() == moved
    back = requests.roll()
    assert all_inside(back, CLUSTER_CIDR)
    end_former(routed, way)
    until("an empty pool", lambda: not leased_of(routed, POOL), 30)
    assert requests.demand_success() > 1000
    routed.demand_leases(back + routed.pods("back"))


def test_blocks_of_a_mode_that_was_left_are_given_back(routed: Cluster):
    """By the timer on each node: no ADD of the mode comes any more."""
    to_host_scope, to_cluster_scope = map(edit_of, WAYS["ptp-same-network"])
    routed.kubectl.create(pools.pool("default", [POOL]))
    for worker in routed.workers.values():
        to_cluster_scope(worker)
    pods = routed.deploy("web", 2)
    assert len(blocks(routed)) == 2
    for worker in routed.workers.values():
        to_host_scope(worker)
        worker.podlease("gc", statuses=(0, 1, 2))
    assert len(blocks(routed)) == 2 and routed.pods("web") == pods
    routed.roll("web")
    assert all_inside(routed.wait_for_rollout("web"), CLUSTER_CIDR)

    def given_back() -> bool:
        for worker in routed.workers.values():
            worker.podlease("gc", statuses=(0, 1, 2))
        return not blocks(routed)

    until("no block", given_back, 15)
    routed.kubectl.delete("podpool", "default")


def test_from_cidr_to_cidr(routed: Cluster, traffic: Callable[[], Traffic]):
    _, to_cluster_scope = map(edit_of, WAYS["ptp-same-network"])
    routed.kubectl.create(pools.pool("default", [POOL]))
    for worker in routed.workers.values():
        to_cluster_scope(worker)
    requests = traffic()
    old = requests.pods()
    assert all_inside(old, POOL)

    # Appended, and drained; and back in the middle of it, and again.
    use_cidrs(routed, {POOL: "Active", OTHER_POOL: "Active"})
    use_cidrs(routed, {POOL: "Draining", OTHER_POOL: "Active"})
    assert all_inside([new_pod(routed, "new", "node1")], OTHER_POOL)
    use_cidrs(routed, {POOL: "Active", OTHER_POOL: "Draining"})
    assert all_inside([new_pod(routed, "undone", "node1")], POOL)
    use_cidrs(routed, {POOL: "Draining", OTHER_POOL: "Active"})
    assert requests.pods() == old
    routed.demand_leases(old + routed.pods("new") + routed.pods("undone"))

    routed.kubectl("delete", "deployments", "new", "undone")
    moved = requests.roll()
    assert all_inside(moved, OTHER_POOL)
    until("an empty old space", lambda: not leased_of(routed, POOL), 30)
    # What became empty is given back by the next ADD.
    for worker in routed.workers.values():
        with worker.bare_pods("last"):
            assert worker.call("ADD", "last").ok
    assert all(inside(each.cidr, [OTHER_POOL]) for each in blocks(routed)), blocks(routed)
    use_cidrs(routed, {OTHER_POOL: "Active"})
    assert requests.demand_success() > 500
    routed.demand_reach(moved)
    routed.demand_leases(moved)


def use_cidrs(cluster: Cluster, states: dict[str, str]) -> None:
    """Returns when both nodes will look at the pool anew."""
    cidrs = [{"cidr": cidr, "state": state} for cidr, state in states.items()]
    cluster.kubectl.patch("podpool", "default", {"spec": {"cidrs": cidrs}})
    for worker in cluster.workers.values():
        until(f"{worker.name} looks anew", lambda: worker.status()["stale"])
