"""Claims when answers are lost, late or wrong, when podlease is killed, and when etcd forgets.
After each: no address has two owners, no block is lost for good, and no ADD took longer than it
may."""

import random
import threading
import time
from typing import Iterator

import pytest
from lab import cni, pools, places
from lab.cluster import Cluster, inside
from lab.cni import Answer
from lab.pools import blocks
from lab.proxy import LIST, ONE, POOL, Fault, Proxy
from lab.waiting import until
from lab.worker import Worker

TRY_AGAIN = 11
EXHAUSTED = 100

BUDGET = 1.0  # seconds of all work with the API in one call
SLACK = 2.0  # of a machine that does everything at once
ROUTES = [{"dst": "0.0.0.0/0"}]
CLAIMING = {
    "mode": "cluster-pool",
    "routes": ROUTES,
    "cooldown": "0s",
    "kubernetes": {"refresh": "1s", "timeout": f"{int(BUDGET * 1000)}ms"},
}
CIDR = "172.20.0.0/24"  # of four blocks
ONLY = "172.20.0.0/26"


@pytest.fixture
def nodes(pooled: Cluster) -> Iterator[list[Worker]]:
    workers = list(pooled.workers.values())
    for worker in workers:
        worker.use_network(CLAIMING, plugin="ptp", name="pooled")
    yield workers
    pooled.control_plane.start_api_server()


@pytest.fixture
def proxy(pooled: Cluster, nodes: list[Worker]) -> Iterator[Proxy]:
    """Between node1 and the API server."""
    node1 = nodes[0]
    proxy = Proxy(pooled, node1)
    kubernetes = {**CLAIMING["kubernetes"], "kubeconfig": str(proxy.kubeconfig)}
    node1.use_network({**CLAIMING, "kubernetes": kubernetes}, plugin="ptp", name="pooled")
    yield proxy
    proxy.stop()


def make_pool(cluster: Cluster, *cidrs: str, **spec: object) -> None:
    cluster.kubectl.create(pools.pool("default", cidrs, **spec))


def add_in_time(worker: Worker, container: str) -> Answer:
    begin = time.monotonic()
    answer = worker.call("ADD", container)
    took = time.monotonic() - begin
    assert took < BUDGET + SLACK, (took, answer)
    assert answer.ok or (answer.json["code"], answer.json["msg"] != "") == (TRY_AGAIN, True), answer
    return answer


def until_leased(worker: Worker, container: str) -> str:
    until("an address", lambda: add_in_time(worker, container).ok, 20)
    return worker.call("ADD", container).addresses[0]


def demand_order(cluster: Cluster, *workers: Worker) -> None:
    """All leases lie in blocks that are the node's, and none twice."""
    owners = {each.cidr: each.node for each in blocks(cluster)}
    held: list[str] = []
    for worker in workers:
        for address in worker.leased():
            mine = [cidr for cidr in owners if inside(address, [cidr])]
            assert mine and owners[mine[0]] == worker.name, (worker.name, address, owners)
            held.append(address)
    assert len(set(held)) == len(held), held


# What happens to requests, and for how long.
FAULTS = {
    "claim-answer-lost": lambda: Fault("POST", LIST, lose_answer=True, times=1),
    "claim-answers-lost": lambda: Fault("POST", LIST, lose_answer=True),
    "claim-answer-late": lambda: Fault("POST", LIST, delay_answer=BUDGET + 0.5, times=1),
    "claim-request-lost": lambda: Fault("POST", LIST, lose_request=True, times=1),
    "claim-requests-lost": lambda: Fault("POST", LIST, lose_request=True),
    "claim-request-late": lambda: Fault("POST", LIST, delay_request=BUDGET + 0.5, times=1),
    "claim-requests-late": lambda: Fault("POST", LIST, delay_request=BUDGET + 0.5),
    "claim-409": lambda: Fault("POST", LIST, status=409, times=1),
    "claims-409": lambda: Fault("POST", LIST, status=409),
    "claim-410": lambda: Fault("POST", LIST, status=410, times=1),
    "claim-429": lambda: Fault("POST", LIST, status=429, times=1),
    "claims-429": lambda: Fault("POST", LIST, status=429),
    "claim-500": lambda: Fault("POST", LIST, status=500, times=1),
    "claims-500": lambda: Fault("POST", LIST, status=500),
    "claims-503": lambda: Fault("POST", LIST, status=503),
    "list-lost": lambda: Fault("GET", LIST, lose_answer=True, times=1),
    "lists-late": lambda: Fault("GET", LIST, delay_answer=BUDGET + 0.5),
    "list-410": lambda: Fault("GET", LIST, status=410, times=1),
    "lists-429": lambda: Fault("GET", LIST, status=429),
    "pools-lost": lambda: Fault("GET", POOL, lose_answer=True),
    "pools-500": lambda: Fault("GET", POOL, status=500),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_claim_survives(pooled: Cluster, nodes: list[Worker], proxy: Proxy, name: str):
    node1, node2 = nodes
    make_pool(pooled, CIDR)
    fault = FAULTS[name]()
    proxy.faults.append(fault)
    with node1.bare_pods("pod-0", "pod-1") as pods, node2.bare_pods("pod-0"):
        add_in_time(node1, pods[0])
        assert fault.seen >= 1
        if fault.times > 1:
            assert not add_in_time(node1, pods[1]).ok
        proxy.faults.clear()
        until_leased(node2, "pod-0")
        for pod in pods:
            until_leased(node1, pod)
        demand_order(pooled, node1, node2)
        # A request that was thought lost landed by now, and belongs to a claim that is known.
        assert len(blocks(pooled, "node1")) <= 2, (blocks(pooled), proxy.seen)


@pytest.mark.parametrize("cidr", [CIDR, ONLY])
def test_a_claim_that_was_in_doubt_is_used(
    pooled: Cluster, nodes: list[Worker], proxy: Proxy, cidr: str
):
    """And no other block is claimed."""
    node1, _ = nodes
    make_pool(pooled, cidr)
    proxy.faults.append(Fault("POST", LIST, lose_answer=True))
    with node1.bare_pods("pod-0"):
        assert not add_in_time(node1, "pod-0").ok
        (block,) = blocks(pooled)
        proxy.faults.clear()
        assert inside(until_leased(node1, "pod-0"), [block.cidr]), proxy.seen
        assert blocks(pooled) == [block], proxy.seen


@pytest.mark.parametrize("code", [403, 404])
def test_a_claim_that_is_refused_leaves_nothing(
    pooled: Cluster, nodes: list[Worker], proxy: Proxy, code: int
):
    node1, _ = nodes
    make_pool(pooled, CIDR)
    proxy.faults.append(Fault("POST", LIST, status=code))
    with node1.bare_pods("pod-0"):
        for _ in range(3):
            assert not add_in_time(node1, "pod-0").ok
        assert blocks(pooled) == [] and node1.leased() == []
        proxy.faults.clear()
        until_leased(node1, "pod-0")
        assert len(blocks(pooled, "node1")) == 1


def test_a_list_of_former_times_misleads_nobody(
    pooled: Cluster, nodes: list[Worker], proxy: Proxy
):
    """It says that all are free, and three of four are not."""
    node1, node2 = nodes
    make_pool(pooled, CIDR)
    table = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
    _, _, stale = proxy.ask("GET", "/apis/podlease.io/v1alpha1/podblocks", table, b"")
    with node2.bare_pods(*(f"pod-{n}" for n in range(123))) as theirs, node1.bare_pods("pod-0"):
        for pod in theirs:
            assert node2.call("ADD", pod).ok
        assert len(blocks(pooled)) == 3
        proxy.faults.append(Fault("GET", LIST, body=stale))
        until("the one that is left", lambda: add_in_time(node1, "pod-0").ok, 20)
        assert 201 in proxy.requests("POST", LIST)
        demand_order(pooled, node1, node2)
        assert len(blocks(pooled, "node1")) == 1


def test_a_release_whose_answer_is_lost_is_finished(
    pooled: Cluster, nodes: list[Worker], proxy: Proxy
):
    node1, _ = nodes
    make_pool(pooled, ONLY)
    for verb in ("DELETE", "PATCH"):
        with node1.bare_pods("pod-0", "pod-1"):
            until_leased(node1, "pod-0")
            (block,) = blocks(pooled)
            assert node1.call("DEL", "pod-0").ok
            drained = [{"cidr": block.cidr, "state": "Draining"}]
            fresh = [{"cidr": "172.20.1.0/26" if verb == "DELETE" else "172.20.2.0/26"}]
            pooled.kubectl.patch("podpool", "default", {"spec": {"cidrs": drained + fresh}})
            until("it looks anew", lambda: node1.status()["stale"])
            proxy.faults.append(Fault(verb, ONE, lose_answer=True))
            until("an address", lambda: inside(until_leased(node1, "pod-1"), [fresh[0]["cidr"]]))
            proxy.faults.clear()

            def finished() -> bool:
                assert node1.call("DEL", "pod-1").ok
                until_leased(node1, "pod-1")
                return [each.cidr for each in blocks(pooled)] == [fresh[0]["cidr"]]

            until("the end of what was released", finished, 20)
            demand_order(pooled, node1)
    (block,) = blocks(pooled)
    assert block.node == "node1"


# Killed.

ROUNDS = 60  # on each node


def test_podlease_is_killed_at_any_moment(pooled: Cluster, nodes: list[Worker]):
    """Two nodes claim and give back blocks of a few, since what is Active changes all the time."""
    halves = ["172.20.0.0/25", "172.20.0.128/25"]
    make_pool(pooled, *halves)
    quick = {**CLAIMING, "kubernetes": {"refresh": "10ms", "timeout": "5s"}}
    for worker in nodes:
        worker.use_network(quick, plugin="ptp", name="pooled")
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    failures: list[object] = []
    killed = [0, 0]

    def live(number: int) -> None:
        worker, chance = nodes[number], random.Random(seed + number)
        try:
            for turn in range(ROUNDS):
                pod = f"pod-{turn % 8}"
                killed[number] += add_and_kill(worker, pod, chance.uniform(0.002, 0.06))
                if turn % 3 == 0:
                    answer = worker.call("ADD", pod)
                    allowed = answer.ok or answer.json["code"] in (TRY_AGAIN, EXHAUSTED)
                    assert allowed, answer
                for each in chance.sample(range(8), 3):
                    assert worker.call("DEL", f"pod-{each}").ok
        except BaseException as error:
            failures.append(error)

    pods = [f"pod-{number}" for number in range(8)]
    with nodes[0].bare_pods(*pods), nodes[1].bare_pods(*pods):
        threads = [threading.Thread(target=live, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        states = ["Active", "Draining"]
        while any(thread.is_alive() for thread in threads):
            cidrs = [{"cidr": half, "state": state} for half, state in zip(halves, states)]
            pooled.kubectl.patch("podpool", "default", {"spec": {"cidrs": cidrs}})
            states.reverse()
            time.sleep(0.3)
        assert not failures, failures
        assert min(killed) > ROUNDS / 10, killed
        demand_order(pooled, *nodes)
        # In peace all is as it should be: what nobody needs comes back, and everybody is served.
        cidrs = [{"cidr": halves[0], "state": "Draining"}, {"cidr": halves[1]}]
        pooled.kubectl.patch("podpool", "default", {"spec": {"cidrs": cidrs}})
        for worker in nodes:
            for pod in pods:
                assert worker.call("DEL", pod).ok
        for worker in nodes:
            until(f"a block for {worker.name}", lambda: settled(pooled, worker, halves[1]), 20)
        demand_order(pooled, *nodes)


def settled(cluster: Cluster, worker: Worker, cidr: str) -> bool:
    """Has what it needs, and nothing else."""
    answer = worker.call("ADD", "pod-0")
    own = blocks(cluster, worker.name)
    if not answer.ok or not inside(answer.addresses[0], [cidr]):
        worker.call("DEL", "pod-0")
        return False
    return all(inside(each.cidr, [cidr]) and not each.ending for each in own)


def add_and_kill(worker: Worker, container: str, after: float) -> bool:
    """Reports whether it was still at work."""
    (main,) = worker.network["plugins"]
    config = {"cniVersion": "1.1.0", "name": worker.network["name"], **main}
    netns = f"/run/netns/{container}"
    process = cni.spawn(
        places.podlease(), "ADD", under=worker.under, container_id=container, netns=netns
    )
    process.stdin.write(cni.stdin_of(config))
    process.stdin.close()
    process.stdin = None
    time.sleep(after)
    at_work = process.poll() is None
    process.kill()
    process.communicate()
    return at_work


# etcd forgets.


@pytest.mark.parametrize("way", ["gc", "boot"])
def test_etcd_is_restored_by_the_book(pooled: Cluster, nodes: list[Worker], way: str):
    """Paused, every node looks at its blocks, and on it goes."""
    make_pool(pooled, CIDR)
    control_plane = pooled.control_plane
    with nodes[0].bare_pods(*PODS), nodes[1].bare_pods(*PODS):
        held = {until_leased(worker, PODS[0]) for worker in nodes}
        with control_plane.snapshot() as restore:
            # Each gets a second block, and the first one still has pods.
            for worker in nodes:
                for pod in PODS[1:]:
                    held.add(until_leased(worker, pod))
            claimed = {each.cidr: each.node for each in blocks(pooled)}
            assert len(claimed) == 4
            restore()
            pooled.kubectl.patch("podpool", "default", {"spec": {"paused": True}})
            assert len(blocks(pooled)) == 2
            for worker in nodes:
                worker.reboot() if way == "boot" else worker.podlease("gc", statuses=(0, 2))
                until(f"{worker.name} verified", lambda: add_in_time(worker, PODS[0]).ok, 20)
            assert {each.cidr: each.node for each in blocks(pooled)} == claimed
            pooled.kubectl.patch("podpool", "default", {"spec": {"paused": False}})
            for worker in nodes:
                for pod in PODS:
                    assert until_leased(worker, pod) in held
            demand_order(pooled, *nodes)


def test_etcd_is_restored_and_nobody_paused(pooled: Cluster, nodes: list[Worker]):
    """Another node was faster. Who has addresses keeps them, and leases no more, and says so."""
    node1, node2 = nodes
    make_pool(pooled, ONLY)
    with node1.bare_pods(*PODS[:3]), node2.bare_pods("late"):
        with pooled.control_plane.snapshot() as restore:
            held = [until_leased(node1, pod) for pod in PODS[:2]]
            restore()
            assert blocks(pooled) == []
            until_leased(node2, "late")
            node1.reboot()
            answer = until("it found out", lambda: refused(node1, PODS[2]), 20)
            assert answer.json["code"] in (TRY_AGAIN, EXHAUSTED), answer
            assert node1.leased() == sorted(held)
            told = str(node1.status()) + str(node1.doctor(statuses=(0, 1, 2)))
            assert ONLY in told and "node2" in told, told


PODS = [f"pod-{number}" for number in range(62)]


def refused(worker: Worker, container: str) -> Answer:
    answer = worker.call("ADD", container)
    if answer.ok:
        worker.call("DEL", container)
    return None if answer.ok else answer
