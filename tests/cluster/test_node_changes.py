"""The Node is deleted, comes back with another CIDR, has none yet, or is another machine's."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.cluster import Cluster, condition, deployment, inside
from lab.control_plane import API, NO_POD_CIDRS, POD_CIDRS
from lab.pki import kubeconfig
from lab.waiting import until
from lab.worker import Worker

TRY_AGAIN = 11
INVALID_CONFIG = 7

EAGER = {"kubernetes": {"refresh": "1s"}}
# ptp, and no bridge: a bridge keeps to the gateway of its first subnet.
ROUTED = {**EAGER, "routes": [{"dst": "0.0.0.0/0"}]}


@pytest.fixture
def node1(cluster: Cluster) -> Worker:
    return cluster.workers["node1"]


def test_pods_move_to_another_cidr_one_by_one(cluster: Cluster, node1: Worker):
    node1.use_network(ROUTED, plugin="ptp", name="routed")
    (former,) = cluster.pod_cidrs("node1")
    latter = "10.244.77.0/24"
    old = cluster.deploy("old", 3, node="node1")

    cluster.replace_node("node1", [latter])
    cluster.connect()
    cluster.deploy("new", 1, node="node1")
    new = cluster.scale("new", 3)
    assert all(inside(each.addresses[0], [latter]) for each in new), new
    assert cluster.wait_for_rollout("old") == old
    cluster.demand_leases(old + new)
    cluster.demand_reach(old + new)

    listed = {lease["podUID"]: lease["address"] for lease in node1.leases()}
    assert listed == {each.uid: each.addresses[0] for each in old + new}
    status = node1.status()
    assert status["draining"] == 3
    explained = node1.explain()
    for report in (status, explained):
        (look,) = [look for look in report["looks"] if look["used"]]
        assert look["value"] == latter
    assert inside(explained["answer"][0]["address"], [latter])

    # Old pods end, and what comes in their place is new.
    cluster.roll("old")
    moved = cluster.wait_for_rollout("old")
    assert all(inside(each.addresses[0], [latter]) for each in moved), moved
    assert not any(inside(address, [former]) for address in node1.leased())
    assert node1.status()["draining"] == 0
    cluster.demand_leases(moved + new)


def test_pods_that_start_at_once_all_learn_of_the_new_cidr(cluster: Cluster, node1: Worker):
    """However long nobody asked: the former CIDR may be another node's by now."""
    node1.use_network(EAGER)
    latter = "10.244.78.0/24"
    with node1.bare_pods(*(f"pod-{number}" for number in range(9))) as (first, *others):
        assert node1.call("ADD", first).ok
        cluster.replace_node("node1", [latter])
        until("what was known is out of date", lambda: node1.status()["stale"])
        with ThreadPoolExecutor(len(others)) as threads:
            answers = list(threads.map(lambda name: node1.call("ADD", name), others))
        assert all(answer.ok for answer in answers), answers
        addresses = [answer.addresses[0] for answer in answers]
        assert all(inside(address, [latter]) for address in addresses), addresses


def test_without_a_node_there_are_no_new_leases(cluster: Cluster, node1: Worker):
    node1.use_network(EAGER)
    cidrs = cluster.pod_cidrs("node1")
    with node1.bare_pods("pod-0", "pod-1", "pod-2") as (first, second, third):
        assert node1.call("ADD", first).ok
        assert node1.call("ADD", second).ok
        held = node1.leased()
        node = cluster.delete_node("node1")

        def refused() -> bool:
            answer = node1.call("ADD", third)
            node1.call("DEL", third)
            return not answer.ok

        until("what was known is out of date", refused, 20)
        answer = node1.call("ADD", third)
        assert answer.json["code"] == TRY_AGAIN, answer
        assert "Node node1" in answer.json["msg"], answer
        # Who has an address keeps it, and who has it asks for nothing new.
        assert node1.leased() == held
        assert node1.call("ADD", first).ok
        assert node1.call("DEL", second).ok
        assert node1.call("STATUS", first).ok
        assert node1.leased() == held[:1]
        assert node1.explain(statuses=(1,))["error"]["code"] == TRY_AGAIN

        cluster.create_node(node, cidrs)
        until("an address", lambda: node1.call("ADD", third).ok, 20)


def test_a_node_without_a_cidr_is_ready_and_gets_it_with_its_first_pod(
    cluster: Cluster, node1: Worker
):
    cluster.control_plane.use_pod_cidrs(NO_POD_CIDRS)
    cluster.replace_node("node1")
    cluster.kubectl.apply(deployment("web", 1, node="node1"))

    def complaint() -> str:
        events = cluster.kubectl.list("events")
        notes = (event["message"] for event in events)
        return next((note for note in notes if "Node node1 has no podCIDR" in note), "")

    assert "--allocate-node-cidrs" in until("why the pod does not start", complaint)
    node = cluster.kubectl.get("node", "node1")
    assert condition(node, "Ready")["status"] == "True" and "podCIDR" not in node["spec"]

    cluster.control_plane.use_pod_cidrs(POD_CIDRS)
    (each,) = cluster.wait_for_rollout("web")
    assert inside(each.addresses[0], cluster.pod_cidrs("node1"))
    cluster.demand_leases([each])


def test_a_host_with_the_name_of_another_gets_no_address(cluster: Cluster):
    """node2 has been cloned from node1, kubelet's certificate and all."""
    original, clone = cluster.workers["node1"], cluster.workers["node2"]
    cluster.wait_for_node("node1")
    folder = clone.folder / "cloned"
    folder.mkdir(exist_ok=True)
    (folder / "pair.pem").write_text(cluster.control_plane.authority.pair("node1"))
    authority = cluster.control_plane.authority.certificate
    path = folder / "kubelet.conf"
    path.write_text(kubeconfig(API, authority, folder / "pair.pem", folder / "pair.pem"))

    cloned = {"kubernetes": {"kubeconfig": str(path)}}
    with clone.bare_pods("pod-0"):
        answer = clone.call("ADD", "pod-0", ipam=cloned)
        assert answer.status == 1 and answer.json["code"] == INVALID_CONFIG, answer
        told = answer.json["msg"] + answer.json["details"]
        for worker in (original, clone):
            assert (worker.folder / "machine-id").read_text().strip() in told
        assert clone.leased() == []
    # A node that was only rebooted, or moved to other hardware, is still the same.
    with original.bare_pods("pod-0"):
        for other in ("boot-id", "system-uuid"):
            assert original.call("ADD", "pod-0", ipam={"dataDir": f"/var/lib/podlease/{other}"}).ok
            assert original.call("DEL", "pod-0", ipam={"dataDir": f"/var/lib/podlease/{other}"}).ok
