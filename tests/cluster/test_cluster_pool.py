"""Mode cluster-pool: nodes claim blocks of a PodPool, lease from them, and give them back."""

from typing import Iterator

import pytest
from lab import pools
from lab.cluster import Cluster, deployment, inside
from lab.waiting import until
from lab.worker import Worker

POOL = "172.20.0.0/16"
EXHAUSTED = 100
TRY_AGAIN = 11
INVALID_CONFIG = 7

EAGER = {"kubernetes": {"refresh": "1s"}}
CLAIMING = {**EAGER, "mode": "cluster-pool", "routes": [{"dst": "0.0.0.0/0"}], "cooldown": "0s"}


@pytest.fixture
def pooled(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster with the definitions, and no pool."""
    pools.install(cluster.kubectl)
    try:
        yield cluster
    finally:
        pools.remove(cluster.kubectl)


def blocks(cluster: Cluster) -> dict[str, str]:
    """By CIDR, whose they are."""
    found = cluster.kubectl.list("podblocks")
    return {item["spec"]["cidr"]: item["spec"]["nodeName"] for item in found}


def test_each_node_leases_from_blocks_of_its_own(pooled: Cluster):
    pooled.kubectl.create(pools.pool("default", [POOL]))
    for worker in pooled.workers.values():
        worker.use_network(CLAIMING, plugin="ptp", name="pooled")
    pods = pooled.deploy("web", 4)
    owners = blocks(pooled)
    assert sorted(owners.values()) == ["node1", "node2"]
    for pod in pods:
        (block,) = (cidr for cidr in owners if inside(pod.addresses[0], [cidr]))
        assert owners[block] == pod.node
    pooled.demand_leases(pods)
