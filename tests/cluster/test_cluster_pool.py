"""Mode cluster-pool: nodes claim blocks of a PodPool, lease from them, and give them back."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator, Sequence, Union

import pytest
from lab import pools
from lab.cluster import Cluster, inside
from lab.cni import Answer
from lab.pools import blocks
from lab.waiting import until
from lab.worker import DATA_DIR, Worker

POOL = "172.20.0.0/16"
POOL6 = "fd00:20::/64"
TWO_BLOCKS = "172.20.0.0/25"
ANOTHER_BLOCK = "172.21.0.0/26"
ALL_OF_A_BLOCK = 61  # of 64: not the network, the broadcast address and the gateway

EXHAUSTED = 100
TRY_AGAIN = 11
INVALID_CONFIG = 7

EAGER = {"kubernetes": {"refresh": "1s"}}
ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
CLAIMING = {**EAGER, "mode": "cluster-pool", "routes": ROUTES[:1], "cooldown": "0s"}


@pytest.fixture
def nodes(pooled: Cluster) -> Iterator[tuple[Worker, Worker]]:
    """Both, with a network of mode cluster-pool, and nothing to claim yet."""
    for worker in pooled.workers.values():
        worker.use_network(CLAIMING, plugin="ptp", name="pooled")
    node1, node2 = pooled.workers.values()
    yield node1, node2
    pooled.control_plane.start_api_server()


def make_pool(cluster: Cluster, *cidrs: Union[str, dict], **spec: object) -> None:
    cluster.kubectl.create(pools.pool("default", cidrs, **spec))


def change_pool(cluster: Cluster, *workers: Worker, **spec: object) -> None:
    """Returns when these nodes, who know the pool, will look at it anew."""
    cluster.kubectl.patch("podpool", "default", {"spec": spec})
    for worker in workers:
        until(f"{worker.name} looks anew", lambda: worker.status()["stale"])


def cidr(text: str, state: str = "Active") -> dict:
    return {"cidr": text, "state": state}


def names(count: int, prefix: str = "pod") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def add(worker: Worker, *containers: str) -> list[str]:
    """The addresses, one each."""
    answers = [worker.call("ADD", container) for container in containers]
    assert all(answer.ok for answer in answers), [each for each in answers if not each.ok][0]
    return [answer.addresses[0] for answer in answers]


def delete(worker: Worker, *containers: str) -> None:
    for container in containers:
        answer = worker.call("DEL", container)
        assert answer.ok, answer


def refused(answer: Answer, code: int, *words: str) -> str:
    """Demands an error with these words; returns its text."""
    assert answer.status == 1 and answer.json["code"] == code, answer
    text = f"{answer.json['msg']}\n{answer.json['details']}"
    assert answer.json["msg"] and answer.json["details"], answer
    missing = [word for word in words if word not in text]
    assert not missing, (missing, text)
    return text


def until_refused(worker: Worker, container: str, code: int, *words: str) -> str:
    """What a node knows of the API may be a moment old."""

    def says_so() -> bool:
        answer = worker.call("ADD", container)
        if answer.ok:
            delete(worker, container)
        return not answer.ok and words[0] in answer.json["msg"] + answer.json["details"]

    until(f"a refusal with {words[0]!r}", says_so, 20)
    return refused(worker.call("ADD", container), code, *words)


def until_leased(worker: Worker, container: str) -> str:
    until("an address", lambda: worker.call("ADD", container).ok, 20)
    return add(worker, container)[0]


def cidrs_of(cluster: Cluster, worker: Worker) -> list[str]:
    return [each.cidr for each in blocks(cluster, worker.name)]


# Claims.


def test_each_node_leases_from_blocks_of_its_own(pooled: Cluster, nodes: tuple[Worker, Worker]):
    make_pool(pooled, POOL)
    with pools.routes(pooled):
        pods = pooled.deploy("web", 4)
        owners = {each.cidr: each.node for each in blocks(pooled)}
        assert sorted(owners.values()) == ["node1", "node2"]
        for pod in pods:
            (block,) = (cidr for cidr in owners if inside(pod.addresses[0], [cidr]))
            assert owners[block] == pod.node
        pooled.demand_leases(pods)
        pooled.demand_reach(pods)
    for each in blocks(pooled):
        assert each.name == pools.name_of(each.cidr) and each.pool == "default"
        assert each.node_ips == [str(ip) for ip in pooled.workers[each.node].addresses]


def test_a_pod_gets_an_address_of_each_family_of_the_pool(pooled: Cluster):
    make_pool(pooled, POOL, POOL6)
    for worker in pooled.workers.values():
        worker.use_network({**CLAIMING, "routes": ROUTES}, plugin="ptp", name="pooled")
    with pools.routes(pooled):
        pods = pooled.deploy("web", 4)
        for pod in pods:
            first, second = pod.addresses
            assert inside(first, [POOL]) and inside(second, [POOL6]), pod
        for name in pooled.workers:
            assert sorted(each.family for each in blocks(pooled, name)) == [4, 6]
        pooled.demand_leases(pods)
        pooled.demand_reach(pods)


def test_pods_of_a_bridge_reach_each_other_through_their_gateways(pooled: Cluster):
    """One flat network by its masks, and yet a block is where its node is: the halves of the pool
    are longer than what is on the link."""
    make_pool(pooled, POOL)
    halves = ["172.20.0.0/17", "172.20.128.0/17"]
    via = [{"dst": half, "gw": "172.20.0.1"} for half in halves]
    bridged = {**CLAIMING, "prefix": "pool", "routes": via}  # the bridge adds the default route
    for worker in pooled.workers.values():
        worker.use_network(bridged, name="flat", gateway=True)
    with pools.routes(pooled):
        pods = pooled.deploy("web", 4)
        pooled.demand_leases(pods)
        pooled.demand_reach(pods)
        sandbox = pooled.worker_of(pods[0]).sandbox(uid=pods[0].uid)
        assert f"inet {pods[0].addresses[0]}/16" in sandbox.run("ip", "address").stdout


def test_blocks_on_a_bridge_that_is_a_gateway_are_refused(pooled: Cluster):
    make_pool(pooled, POOL)
    node1 = pooled.workers["node1"]
    node1.use_network(CLAIMING, name="bridged")
    with node1.bare_pods("pod-0"):
        refused(node1.call("ADD", "pod-0"), INVALID_CONFIG, "prefix", "pool")
    assert blocks(pooled) == []


def test_a_full_block_is_followed_by_another(pooled: Cluster, nodes: tuple[Worker, Worker]):
    node1, _ = nodes
    make_pool(pooled, POOL)
    with node1.bare_pods(*names(2 * ALL_OF_A_BLOCK + 1)) as pods:
        held = add(node1, *pods[:ALL_OF_A_BLOCK])
        assert len(blocks(pooled)) == 1
        held += add(node1, pods[ALL_OF_A_BLOCK])
        assert len(blocks(pooled)) == 2
        held += add(node1, *pods[ALL_OF_A_BLOCK + 1 :])
        assert len(blocks(pooled)) == 3
        assert len(set(held)) == len(held)
        assert all(inside(address, cidrs_of(pooled, node1)) for address in held)
        # Who has an address gets it again, whichever block it is of.
        assert add(node1, *pods[::20]) == held[::20]


def test_a_hundred_pods_at_once(pooled: Cluster, nodes: tuple[Worker, Worker]):
    """On two nodes that claim against each other, of a pool with few blocks to spare."""
    make_pool(pooled, "172.20.0.0/22")
    count = 100
    with nodes[0].bare_pods(*names(count)) as pods, nodes[1].bare_pods(*pods):
        held = add_at_once(nodes, pods)
        assert len(set(held)) == len(held)
        for number, node in enumerate(nodes):
            own = cidrs_of(pooled, node)
            assert all(inside(address, own) for address in held[number::2])


def test_a_hundred_pods_claim_no_more_than_they_need(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    make_pool(pooled, "172.20.0.0/23")
    with nodes[0].bare_pods(*names(100)) as pods, nodes[1].bare_pods(*pods):
        add_at_once(nodes, pods)
        for node in nodes:
            assert len(cidrs_of(pooled, node)) == 2


def add_at_once(nodes: Sequence[Worker], pods: Sequence[str]) -> list[str]:
    """The addresses, of each pod one on each node."""
    patient = {"kubernetes": {"refresh": "1s", "timeout": "20s"}}  # all on one machine
    calls = [(node, pod) for pod in pods for node in nodes]
    with ThreadPoolExecutor(len(calls)) as threads:
        answers = list(threads.map(lambda call: call[0].call("ADD", call[1], patient), calls))
    assert all(answer.ok for answer in answers), [each for each in answers if not each.ok]
    return [answer.addresses[0] for answer in answers]


# The end of a pool.


def test_an_exhausted_pool_says_who_has_what(pooled: Cluster, nodes: tuple[Worker, Worker]):
    node1, node2 = nodes
    make_pool(pooled, TWO_BLOCKS)
    count = 2 * ALL_OF_A_BLOCK
    with node2.bare_pods("late"), node1.bare_pods(*names(count), "more") as (*pods, more):
        held = add(node1, *pods)
        assert len(set(held)) == count
        for worker, container in ((node1, more), (node2, "late")):
            text = refused(worker.call("ADD", container), EXHAUSTED, "PodPool default")
            assert "no IP addresses available in range set" in text
            assert "2 blocks are used by 1 node" in text and "of node1" in text, text
            assert "podlease pool add default --cidr" in text
            assert worker.call("STATUS", container).ok
        # A freed address is had at once. A CIDR more is enough for all.
        delete(node1, pods[7])
        assert add(node1, more) == [held[7]]
        change_pool(pooled, cidrs=[cidr(TWO_BLOCKS), cidr(ANOTHER_BLOCK)])
        for worker, container in ((node1, pods[7]), (node2, "late")):
            if worker is node2:  # one block was appended, and node1 has it
                text = until_refused(worker, container, EXHAUSTED, "3 blocks")
            else:
                assert inside(until_leased(worker, container), [ANOTHER_BLOCK])


def test_the_emptiest_block_of_an_exhausted_pool_is_told_with_its_number(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    node1, _ = nodes
    make_pool(pooled, "172.20.0.0/26")
    with node1.bare_pods(*names(ALL_OF_A_BLOCK), "more") as (*pods, more):
        add(node1, *pods)
        text = refused(node1.call("ADD", more), EXHAUSTED)
        assert f"{ALL_OF_A_BLOCK} addresses used" in text, text


def test_a_pool_that_is_all_draining_says_so(pooled: Cluster, nodes: tuple[Worker, Worker]):
    node1, _ = nodes
    make_pool(pooled, cidr(POOL, "Draining"))
    with node1.bare_pods("pod-0"):
        refused(node1.call("ADD", "pod-0"), EXHAUSTED, "PodPool default", "Draining")


def test_reserved_addresses_are_not_leased(pooled: Cluster, nodes: tuple[Worker, Worker]):
    node1, _ = nodes
    reserved = ["172.20.0.2", "172.20.0.32/27"]
    make_pool(pooled, {"cidr": "172.20.0.0/26", "reserved": reserved})
    left = 29  # .3 to .31
    with node1.bare_pods(*names(left), "more") as (*pods, more):
        held = add(node1, *pods)
        assert len(set(held)) == left
        assert not any(inside(address, ["172.20.0.32/27", "172.20.0.2/32"]) for address in held)
        refused(node1.call("ADD", more), EXHAUSTED, "PodPool default")
        # Reserved no more, and reserved although leased: then the pod keeps it.
        change_pool(pooled, node1, cidrs=[{"cidr": "172.20.0.0/26", "reserved": held[:1]}])
        assert add(node1, more)[0] not in held
        assert add(node1, pods[0]) == held[:1]
        delete(node1, pods[0])
        assert add(node1, pods[0]) != held[:1]


# Blocks come back.


def test_a_draining_cidr_empties_and_another_node_may_have_its_blocks(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    node1, node2 = nodes
    make_pool(pooled, TWO_BLOCKS)
    with node2.bare_pods("late"), node1.bare_pods(*names(70)) as pods:
        held = add(node1, *pods)
        change_pool(pooled, node1, cidrs=[cidr(TWO_BLOCKS, "Draining"), cidr(ANOTHER_BLOCK)])
        delete(node1, *pods[1:])
        assert len(blocks(pooled)) == 2  # a DEL asks nobody
        # What is empty goes with the next ADD, what is not stays.
        assert inside(add(node1, pods[1])[0], [ANOTHER_BLOCK])
        (kept,) = (each for each in cidrs_of(pooled, node1) if inside(held[0], [each]))
        assert set(cidrs_of(pooled, node1)) == {kept, ANOTHER_BLOCK}
        assert node1.status()["draining"] == 1
        # Undone: it is leased from as before, and what node1 gave back is node2's now.
        change_pool(pooled, node1, cidrs=[cidr(TWO_BLOCKS), cidr(ANOTHER_BLOCK, "Draining")])
        assert inside(add(node2, "late")[0], [TWO_BLOCKS])
        assert not inside(add(node2, "late")[0], [kept])
        assert inside(add(node1, pods[2])[0], [kept])
        assert add(node1, pods[0]) == held[:1]
        delete(node1, *pods)
        add(node1, pods[3])
        assert cidrs_of(pooled, node1) == [kept]


def test_an_empty_block_is_kept_for_five_minutes(pooled: Cluster, nodes: tuple[Worker, Worker]):
    node1, node2 = nodes
    make_pool(pooled, TWO_BLOCKS)
    count = ALL_OF_A_BLOCK + 1
    with node2.bare_pods("late"), node1.bare_pods(*names(count)) as pods:
        held = add(node1, *pods)
        both = set(cidrs_of(pooled, node1))
        (first,) = (each for each in both if inside(held[0], [each]))
        (second,) = both - {first}
        delete(node1, pods[-1], *pods[:9])
        add(node1, pods[0])
        assert set(cidrs_of(pooled, node1)) == both
        refused(node2.call("ADD", "late"), EXHAUSTED)
        age_blocks(node1, minutes=6)
        add(node1, pods[1])
        assert cidrs_of(pooled, node1) == [first]
        assert inside(until_leased(node2, "late"), [second])
        # The last one is kept, however old.
        age_blocks(node1, minutes=6)
        delete(node1, *pods)
        add(node1, pods[0])
        assert cidrs_of(pooled, node1) == [first]


AGE = """
import re, sqlite3, sys
path, by = sys.argv[1], int(sys.argv[2])
with sqlite3.connect(path) as store:
    rows = store.execute("SELECT key, value FROM note WHERE kind = 'block'").fetchall()
    for key, value in rows:
        older = re.sub(r'(?<=\\x1f)(\\d{13})\\x1f(\\d+)(?=\\x1f)',
                       lambda time: '\\x1f'.join(str(int(each) - by) for each in time.groups()),
                       value)
        assert older != value, value
        store.execute("UPDATE note SET value = ? WHERE kind = 'block' AND key = ?", (older, key))
assert rows
"""


def age_blocks(worker: Worker, minutes: int) -> None:
    """As if all that it knows of its blocks had come to be that much earlier. For what takes
    longer than a test may."""
    worker.run("python3", "-c", AGE, DATA_DIR / "podlease.db", minutes * 60_000)


def test_a_block_deleted_in_use_goes_with_its_last_lease(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    node1, _ = nodes
    make_pool(pooled, POOL)
    with node1.bare_pods(*names(6)) as pods:
        held = add(node1, *pods[:2])
        (deleted,) = blocks(pooled)
        pooled.kubectl.delete("podblock", deleted.name, wait=False)
        # Learns of it when it looks: every hour and a half.
        age_blocks(node1, minutes=95)
        until_leased(node1, pods[5])
        assert add(node1, *pods[:2]) == held
        assert not inside(add(node1, pods[2])[0], [deleted.cidr])
        assert {each.name: each.ending for each in blocks(pooled)}[deleted.name]
        assert add(node1, *pods[:2]) == held
        delete(node1, pods[0])
        assert not inside(add(node1, pods[3])[0], [deleted.cidr])
        assert deleted.name in [each.name for each in blocks(pooled)]
        delete(node1, pods[1])
        add(node1, pods[4])
        assert deleted.name not in [each.name for each in blocks(pooled)]


def test_a_block_whose_finalizer_was_torn_off_is_claimed_again(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    node1, node2 = nodes
    make_pool(pooled, "172.20.0.0/26")
    with node2.bare_pods("late"), node1.bare_pods(*names(3)) as pods:
        held = add(node1, *pods[:2])
        (lost,) = blocks(pooled)
        pools.clear_blocks(pooled.kubectl)
        node1.reboot()
        assert add(node1, *pods[:2]) == held
        assert add(node1, pods[2])[0] not in held
        (again,) = blocks(pooled)
        assert (again.cidr, again.node) == (lost.cidr, "node1") and again.uid != lost.uid
        refused(node2.call("ADD", "late"), EXHAUSTED)


def test_a_block_that_became_another_nodes_is_not_leased_from(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    """Torn off as above, and somebody was faster. Who has an address keeps it, and this is told."""
    node1, node2 = nodes
    make_pool(pooled, "172.20.0.0/26")
    with node2.bare_pods("late"), node1.bare_pods(*names(3)) as pods:
        held = add(node1, *pods[:2])
        (lost,) = blocks(pooled)
        pools.clear_blocks(pooled.kubectl)
        add(node2, "late")
        node1.podlease("gc", statuses=(0, 2))
        refused(node1.call("ADD", pods[2]), EXHAUSTED, "PodPool default")
        assert node1.leased() == sorted(held)
        assert add(node1, *pods[:2]) == held
        told = str(node1.status()) + str(node1.doctor(statuses=(0, 1, 2)))
        assert "node2" in told and lost.cidr in told, told
        delete(node1, *pods[:2])
        assert node1.leased() == []
        change_pool(pooled, node1, cidrs=[cidr("172.20.0.0/26"), cidr(ANOTHER_BLOCK)])
        assert inside(until_leased(node1, pods[2]), [ANOTHER_BLOCK])


# What an administrator says of a pool.


def test_a_node_that_a_pool_does_not_select(pooled: Cluster, nodes: tuple[Worker, Worker]):
    node1, node2 = nodes
    make_pool(pooled, POOL, nodeSelector={"matchLabels": {"lab/pods": "here"}})
    label = pooled.kubectl
    label("label", "node", "node2", "lab/pods=here")
    try:
        with node1.bare_pods("pod-0"), node2.bare_pods("pod-0"):
            until_leased(node2, "pod-0")
            text = until_refused(node1, "pod-0", INVALID_CONFIG, "default", "node1")
            assert "lab/pods" in text or "label" in text, text
            label("label", "node", "node1", "lab/pods=here")
            until_leased(node1, "pod-0")
            # Selected no more: as with a Draining CIDR.
            label("label", "node", "node2", "lab/pods-")
            (held,) = node2.leased()
            assert node2.call("DEL", "pod-0").ok and node2.leased() == []
            until_refused(node2, "pod-0", INVALID_CONFIG, "default", "node2")
    finally:
        label("label", "nodes", "--all", "lab/pods-")


def test_a_paused_pool_is_leased_from_and_not_claimed_of(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    node1, node2 = nodes
    make_pool(pooled, POOL)
    with node2.bare_pods("late"), node1.bare_pods(*names(ALL_OF_A_BLOCK), "more") as (*pods, more):
        add(node1, pods[0])
        change_pool(pooled, node1, paused=True)
        add(node1, *pods)
        for worker, container in ((node1, more), (node2, "late")):
            assert not worker.call("ADD", container).ok
        assert len(blocks(pooled)) == 1
        words = ("PodPool default", "paused", "podlease pool resume default")
        refused(node2.call("ADD", "late"), TRY_AGAIN, *words)
        # Nothing is given back either.
        change_pool(pooled, node1, cidrs=[cidr(POOL, "Draining"), cidr(ANOTHER_BLOCK)])
        delete(node1, *pods)
        assert not node1.call("ADD", pods[0]).ok
        for how in (["--dry-run"], [], ["--force"]):
            said = node1.podlease("node", "release", *how, statuses=(2,)).stdout
            assert "kept: PodPool default is paused" in said, said
            assert "podlease pool resume default" in said, said
        assert len(blocks(pooled)) == 1
        change_pool(pooled, node1, paused=False, cidrs=[cidr(POOL), cidr(ANOTHER_BLOCK)])
        add(node1, *pods, more)
        until_leased(node2, "late")


def test_a_node_whose_blocks_are_full_is_told_that_the_pool_is_paused(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    node1, _ = nodes
    make_pool(pooled, POOL)
    with node1.bare_pods(*names(ALL_OF_A_BLOCK), "more") as (*pods, more):
        add(node1, *pods)
        change_pool(pooled, node1, paused=True)
        words = ("PodPool default", "paused", "podlease pool resume default")
        refused(node1.call("ADD", more), TRY_AGAIN, *words)


def test_a_pool_that_is_deleted_in_use(pooled: Cluster, nodes: tuple[Worker, Worker]):
    node1, _ = nodes
    make_pool(pooled, POOL)
    with node1.bare_pods(*names(3)) as pods:
        held = add(node1, *pods[:2])
        (block,) = blocks(pooled)
        pooled.kubectl.delete("podpool", "default")
        until_refused(node1, pods[2], TRY_AGAIN, "PodPool default", "does not exist", "pool add")
        assert node1.leased() == sorted(held) and add(node1, *pods[:2]) == held
        delete(node1, pods[0])
        assert node1.call("STATUS", pods[0]).ok
        # It was a mistake.
        make_pool(pooled, POOL)
        assert inside(until_leased(node1, pods[2]), [block.cidr])
        assert [each.uid for each in blocks(pooled)] == [block.uid]


# What is missing.


def test_without_anything_installed_both_manifests_are_named(cluster: Cluster):
    pools.remove(cluster.kubectl)
    node1 = cluster.workers["node1"]
    node1.use_network(CLAIMING, plugin="ptp", name="pooled")
    with node1.bare_pods("pod-0"):
        refused(node1.call("ADD", "pod-0"), TRY_AGAIN, "PodPool default", "rbac.yaml")
        assert node1.call("STATUS", "pod-0").ok
        cluster.kubectl("apply", "--server-side", f"--filename={pools.RBAC}")
        try:
            mending = "podlease crds | kubectl apply"
            until_refused(node1, "pod-0", TRY_AGAIN, "kind PodPool", mending)
        finally:
            pools.remove(cluster.kubectl)
        assert node1.leased() == []


def test_a_node_that_may_do_nothing(pooled: Cluster, nodes: tuple[Worker, Worker]):
    node1, _ = nodes
    make_pool(pooled, POOL)
    role = ("clusterrolebinding", "podlease-node")
    pooled.kubectl.delete(*role)
    with node1.bare_pods(*names(ALL_OF_A_BLOCK), "more") as (*pods, more):
        until_refused(node1, more, TRY_AGAIN, "403", "PodPool default", "system:node:node1", "rbac")
        pools.install(pooled.kubectl)
        until_leased(node1, pods[0])
        pooled.kubectl.delete(*role)
        may = ["auth", "can-i", "create", "podblocks", "--as=system:node:node1"]

        def forbidden() -> bool:
            return "no" in pooled.kubectl("get", "--raw=/readyz") or not may_claim()

        def may_claim() -> bool:
            try:
                return pooled.kubectl(*may, "--as-group=system:nodes").strip() == "yes"
            except pools.KubectlError:  # its status is that of the answer
                return False

        until("no rights", forbidden)
        add(node1, *pods)  # goes on as with an API that is down
        text = refused(node1.call("ADD", more), TRY_AGAIN, "403", "rbac.yaml")
        assert "system:node:node1" in text, text
    assert len(blocks(pooled)) == 1


def test_a_pool_that_is_not_there(pooled: Cluster, nodes: tuple[Worker, Worker]):
    node1, _ = nodes
    with node1.bare_pods("pod-0"):
        expected = ("PodPool default", "does not exist", "podlease pool add default --cidr")
        refused(node1.call("ADD", "pod-0"), TRY_AGAIN, *expected)
        make_pool(pooled, POOL)
        until_leased(node1, "pod-0")


def test_a_family_that_the_pool_lacks(pooled: Cluster, nodes: tuple[Worker, Worker]):
    """Nothing is claimed for the other one."""
    node1, _ = nodes
    make_pool(pooled, POOL)
    both = {"families": ["ipv4", "ipv6"], "routes": ROUTES}
    with node1.bare_pods("pod-0"):
        refused(node1.call("ADD", "pod-0", both), INVALID_CONFIG, "PodPool default", "ipv6")
        assert node1.leased() == [] and blocks(pooled) == []
        change_pool(pooled, cidrs=[cidr(POOL), cidr(POOL6)])
        until("both", lambda: node1.call("ADD", "pod-0", both).ok, 20)
        assert len(node1.leased()) == 2


def test_a_pool_that_meets_the_nodes_own_pod_cidr(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    node1, _ = nodes
    make_pool(pooled, "10.244.0.0/16")
    with node1.bare_pods("pod-0"):
        (own,) = pooled.pod_cidrs("node1")
        refused(node1.call("ADD", "pod-0"), INVALID_CONFIG, "PodPool default", own)
    assert blocks(pooled) == []


# Without an API.


@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_verified_blocks_need_no_api(pooled: Cluster, nodes: tuple[Worker, Worker], way: str):
    node1, node2 = nodes
    make_pool(pooled, POOL)
    count = ALL_OF_A_BLOCK if way == "killed" else 3
    with node2.bare_pods("late"), node1.bare_pods(*names(count), "more") as (*pods, more):
        add(node1, pods[0])
        api_server = pooled.control_plane.api_server
        api_server.kill() if way == "killed" else api_server.pause()
        held = add(node1, *pods)
        delete(node1, pods[1])
        assert len(node1.leased()) == count - 1
        assert add(node1, pods[1])[0] not in node1.leased()[:0]
        refused(node2.call("ADD", "late"), TRY_AGAIN, "192.168.10.10")
        if way == "killed":
            refused(node1.call("ADD", more), TRY_AGAIN, "PodBlock", "192.168.10.10")
            delete(node1, pods[0])
            assert add(node1, more) == held[:1]
        delete(node1, *pods)
        assert node1.call("STATUS", more).ok
        pooled.control_plane.start_api_server()
        until_leased(node2, "late")
        assert len(blocks(pooled)) == 2


def test_a_node_that_was_rebooted_asks_once(pooled: Cluster, nodes: tuple[Worker, Worker]):
    node1, _ = nodes
    make_pool(pooled, POOL)
    api_server = pooled.control_plane.api_server
    with node1.bare_pods(*names(3)) as pods:
        held = add(node1, pods[0])
        api_server.kill()
        node1.reboot()
        refused(node1.call("ADD", pods[1]), TRY_AGAIN, "192.168.10.10")
        assert node1.call("STATUS", pods[1]).ok
        delete(node1, pods[0])
        pooled.control_plane.start_api_server()
        until_leased(node1, pods[1])
        api_server.kill()
        add(node1, pods[2])
        pooled.control_plane.start_api_server()
        assert len(blocks(pooled)) == 1
        assert all(inside(address, cidrs_of(pooled, node1)) for address in [*held, *node1.leased()])


# A node that forgot, and one that is not who it seems.


def test_a_node_whose_store_was_lost_finds_its_blocks(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    """While pods live: none of their addresses is given to another."""
    node1, _ = nodes
    make_pool(pooled, POOL)
    with pools.routes(pooled):
        pods = pooled.deploy("web", 6, node="node1")
        before = blocks(pooled)
        held = {address for pod in pods for address in pod.addresses}
        node1.lose_store()
        with node1.bare_pods(*names(ALL_OF_A_BLOCK - len(held)), "more") as (*bare, more):
            first = until_leased(node1, bare[0])
            new = {first, *add(node1, *bare[1:])}
            assert not new & held and all(inside(each, [before[0].cidr]) for each in new)
            assert blocks(pooled) == before
            assert set(node1.leased()) == new | held
            add(node1, more)
            assert len(blocks(pooled)) == 2
        # They end as others do.
        pooled.roll("web")
        pods = pooled.wait_for_rollout("web")
        pooled.demand_leases(pods)
        pooled.demand_reach(pods[:2])


def test_a_clone_with_the_same_machine_id_adopts_nothing(
    pooled: Cluster, nodes: tuple[Worker, Worker]
):
    node1, node2 = nodes
    make_pool(pooled, "172.20.0.0/26")
    path = Path("/etc/machine-id")
    own = node2.run("cat", path).stdout
    with node1.bare_pods("pod-0"), node2.bare_pods("pod-0"):
        add(node1, "pod-0")
        node2.write(path, node1.run("cat", path).stdout)
        try:
            refused(node2.call("ADD", "pod-0"), EXHAUSTED, "of node1")
            node1.lose_store()
            refused(node2.call("ADD", "pod-0"), EXHAUSTED, "of node1")
            assert node2.leased() == []
            assert inside(until_leased(node1, "pod-0"), ["172.20.0.0/26"])
            assert [each.node for each in blocks(pooled)] == ["node1"]
        finally:
            node2.write(path, own)


def test_a_node_that_was_replaced_claims_anew(pooled: Cluster, nodes: tuple[Worker, Worker]):
    """Same name, another machine, no store: what the former machine had stays as it is, and goes by
    the reaper's rules."""
    node1, _ = nodes
    make_pool(pooled, POOL)
    path = Path("/etc/machine-id")
    own = node1.run("cat", path).stdout
    with node1.bare_pods("pod-0"):
        add(node1, "pod-0")
        (former,) = blocks(pooled)
        node1.lose_store()
        node1.write(path, "0123456789abcdef0123456789abcdef\n")
        node1.kubelet.stop()
        node1.kubelet.start()
        until("another id", lambda: machine_id_of(pooled, "node1").startswith("0123"))
        try:
            assert not inside(until_leased(node1, "pod-0"), [former.cidr])
            assert former in blocks(pooled) and len(blocks(pooled)) == 2
        finally:
            node1.write(path, own)
            node1.kubelet.stop()
            node1.kubelet.start()
            until("its own id", lambda: machine_id_of(pooled, "node1") == own.strip())


def machine_id_of(cluster: Cluster, node: str) -> str:
    return cluster.kubectl.get("node", node)["status"]["nodeInfo"]["machineID"]
