"""Hundreds of nodes at once on one API server, each with no more rights than a kubelet has."""

import json
import time
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Iterator

import pytest
from lab import pools, simulated
from lab.cni import Answer
from lab.simulated import BLOCKS, EXHAUSTED, Crowd, Node, at_once, next_container

NODES = 300
AT_ONCE = 30

# Blocks of four addresses, so that few pods need many blocks.
BLOCK = 30
IN_BLOCK = 4
ROOMY, TIGHT, DRAINED = "10.96.0.0/21", "10.97.0.0/25", "10.98.0.0/23"
CAPACITY = 512 + 32 + 128  # blocks
CIDRS = [ROOMY, TIGHT, DRAINED]

REFRESH = 2  # seconds
IPAM = {
    "prefix": "host",
    "cooldown": "0s",
    # All on two cores at once: how long that takes is no matter here.
    "kubernetes": {"timeout": "30s", "refresh": f"{REFRESH}s"},
}


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with simulated.crowd(Path("/run/crowd"), NODES, IPAM, BLOCK) as crowd:
        crowd.make_pool(CIDRS)
        yield crowd


def demand(answer: Answer) -> Answer:
    assert answer.ok, answer
    return answer


def is_drained(address: str) -> bool:
    return ip_address(address) in ip_network(DRAINED)


def test_hundreds_of_nodes_share_a_pool(crowd: Crowd):
    pods, nodes = crowd.pods, crowd.nodes
    leavers, others = nodes[:100], nodes[100:]

    def add(node: Node) -> None:
        demand(pods.add(node, next_container()))

    def leave(node: Node) -> None:
        for container in pods.of(node):
            demand(pods.delete(node, container))
        demand(node.release())

    # All at once, and then more on each than one block has: nine of ten blocks are taken.
    at_once(AT_ONCE, add, nodes)
    at_once(AT_ONCE, add, [node for node in nodes for _ in range(IN_BLOCK)])
    crowd.demand_order()
    assert len(crowd.blocks()) == 2 * NODES
    demand_refusal(crowd, nodes[0], nodes[1].name)

    # A third leaves, and the others take what that third had.
    at_once(AT_ONCE, leave, leavers)
    crowd.demand_order()
    assert len(crowd.blocks()) == 2 * len(others)
    at_once(AT_ONCE, add, [node for node in others for _ in range(IN_BLOCK)])
    crowd.demand_order()
    assert len(crowd.blocks()) == 3 * len(others)

    # A part of the pool is drained: its blocks come back by gc or by the next ADD, and what their
    # nodes need they find elsewhere.
    crowd.change_pool([ROOMY, TIGHT, {"cidr": DRAINED, "state": "Draining"}])
    time.sleep(REFRESH)

    def move(node: Node) -> None:
        moving = [pod for pod, address in pods.addresses_of(node).items() if is_drained(address)]
        for container in moving:
            demand(pods.delete(node, container))
        if node.number % 2 == 0:
            demand(node.gc())
        add(node)

    at_once(AT_ONCE, move, others)
    crowd.demand_order()
    assert not any(is_drained(block.cidr.split("/")[0]) for block in crowd.blocks())
    crowd.change_pool(CIDRS)
    time.sleep(REFRESH)

    # Those that left come back, and want more than there is.
    def add_or_be_told(node: Node) -> bool:
        answer = pods.add(node, next_container())
        if not answer.ok:
            said = answer.json
            assert said["code"] == EXHAUSTED and "PodPool default" in said["msg"], answer
        return answer.ok

    wanted = [node for node in leavers for _ in range(3 * IN_BLOCK)]
    given = at_once(AT_ONCE, add_or_be_told, wanted)
    assert any(given) and not all(given)
    crowd.demand_order()
    assert len(crowd.blocks()) == CAPACITY

    at_once(AT_ONCE, leave, nodes)
    crowd.demand_order()
    assert crowd.blocks() == [] and len(pods) == 0


def demand_refusal(crowd: Crowd, thief: Node, victim: str) -> None:
    """A node may not claim in the name of another."""
    claim = pools.block(f"10.96.7.0/{BLOCK}", victim, pool="default")
    status, said = crowd.api.ask_as(thief.token, "POST", BLOCKS, claim)
    assert status == 403 and pools.NOT_ITS_OWN in json.loads(said)["message"], said
