"""Pods get addresses of their Node's podCIDR, and a node needs no more configuration than
{"type": "podlease"}."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lab.cluster import Cluster, inside, pod
from lab.control_plane import API
from lab.waiting import until
from lab.worker import KUBECONFIG, PODLEASE, Worker


@pytest.fixture
def node1(cluster: Cluster) -> Worker:
    return cluster.workers["node1"]


def podlease_reads(cluster: Cluster) -> int:
    """How often podlease has asked the API server for node1."""
    return sum(
        (read.user, read.name) == ("system:node:node1", "node1")
        and read.agent.startswith("podlease/")
        for read in cluster.control_plane.reads()
    )


def test_a_deployment_lives_on_the_pod_cidr(cluster: Cluster, node1: Worker):
    assert node1.network["plugins"][0]["ipam"] == PODLEASE
    (cidr,) = cluster.pod_cidrs("node1")
    pods = cluster.deploy("web", 3, node="node1")
    assert all(inside(address, [cidr]) for pod in pods for address in pod.addresses), pods
    cluster.demand_leases(pods)
    cluster.demand_reach(pods)

    pods = cluster.scale("web", 30)
    assert len({address for pod in pods for address in pod.addresses}) == 30
    cluster.demand_leases(pods)
    assert {lease["source"] for lease in node1.leases()} == {"node spec"}
    by_uid = {lease["podUID"]: lease for lease in node1.leases()}
    for each in pods:
        lease = by_uid[each.uid]
        assert (lease["podNamespace"], lease["podName"]) == ("default", each.name)
        assert [lease["address"]] == each.addresses

    assert cluster.scale("web", 0) == []
    cluster.demand_leases([])


def test_pods_of_two_nodes_reach_each_other(cluster: Cluster):
    pods = cluster.deploy("web", 4)
    assert {each.node for each in pods} == set(cluster.workers)
    for each in pods:
        assert inside(each.addresses[0], cluster.pod_cidrs(each.node)), each
    cluster.demand_leases(pods)
    cluster.demand_reach(pods)


def test_the_commands_tell_where_the_cidr_is_from(cluster: Cluster, node1: Worker):
    (cidr,) = cluster.pod_cidrs("node1")
    place = "Node node1 spec.podCIDRs[0]"
    explained = node1.explain()
    assert explained["mode"] == "kubernetes"
    used = [(look["place"], look["value"]) for look in explained["looks"] if look["used"]]
    assert used == [(place, cidr)]
    assert inside(explained["answer"][0]["address"], [cidr])
    assert [item["subnet"] for item in explained["rangeSets"][0]["ranges"]] == [cidr]
    # That was said, and not remembered.
    assert "not asked for yet" in node1.status()["error"]

    cluster.deploy("web", 1, node="node1")
    status = node1.status()
    assert [look["place"] for look in status["looks"] if look["used"]] == [place]
    assert "Node node1" in status["origins"][0]
    assert status["draining"] == 0

    checks = node1.doctor()
    assert all(check["health"] == "ok" for check in checks), checks
    said = "\n".join(check["finding"] for check in checks)
    for word in (str(KUBECONFIG), API, "system:node:node1", f"{place} {cidr}", "/etc/cni/net.d/"):
        assert word in said, said


def test_a_kubeconfig_can_be_named(cluster: Cluster, node1: Worker):
    other = KUBECONFIG.with_name("other.conf")
    node1.run("cp", KUBECONFIG, other)
    node1.use_network({"kubernetes": {"kubeconfig": str(other)}})
    # What lies in the usual places is no longer of interest. `restore` empties this folder.
    node1.write(Path("/etc/cni/net.d/podlease.kubeconfig"), "{")
    pods = cluster.deploy("web", 2, node="node1")
    assert all(inside(each.addresses[0], cluster.pod_cidrs("node1")) for each in pods)
    cluster.demand_leases(pods)


def test_many_pods_at_once_ask_the_api_server_once(cluster: Cluster, node1: Worker):
    """A reading is good for a minute."""
    (cidr,) = cluster.pod_cidrs("node1")
    before = podlease_reads(cluster)
    with node1.bare_pods(*(f"pod-{number}" for number in range(100))) as names:
        with ThreadPoolExecutor(len(names)) as threads:
            answers = list(threads.map(lambda name: node1.call("ADD", name), names))
        assert all(answer.ok for answer in answers), [each for each in answers if not each.ok]
        addresses = {answer.addresses[0] for answer in answers}
        assert len(addresses) == 100 and all(inside(each, [cidr]) for each in addresses)
        for verb in ("CHECK", "STATUS", "GC", "DEL"):
            node1.call(verb, names[0])
        assert podlease_reads(cluster) == before + 1


def test_del_asks_nobody(cluster: Cluster, node1: Worker):
    """Not even with a cold cache, or a kubeconfig that leads nowhere."""
    before = podlease_reads(cluster)
    with node1.bare_pods("pod-0"):
        assert node1.call("ADD", "pod-0").ok
        lost = {"kubernetes": {"kubeconfig": "/nowhere", "refresh": "1ms"}}
        assert node1.call("DEL", "pod-0", ipam=lost).ok
        assert node1.leased() == []
        assert node1.call("DEL", "pod-0", ipam={"dataDir": "/var/lib/podlease/cold"}).ok
    assert podlease_reads(cluster) == before + 1


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_pods_and_leases_survive_kubelet_and_containerd(
    cluster: Cluster, node1: Worker, how: str
):
    pods = cluster.deploy("web", 4)
    leases = node1.leases()
    for daemon in (node1.containerd, node1.kubelet):
        daemon.kill() if how == "killed" else daemon.stop()
        daemon.start()
    more = cluster.scale("web", 8)
    assert {each.uid for each in pods} <= {each.uid for each in more}
    assert [lease for lease in node1.leases() if lease in leases] == leases
    cluster.demand_leases(more)
    cluster.demand_reach(more)
    cluster.scale("web", 0)
    cluster.demand_leases([])


def test_a_pod_whose_sandbox_crashes_keeps_its_address(cluster: Cluster, node1: Worker):
    cluster.kubectl.create(pod("lonely", node="node1"))
    until("the pod", lambda: cluster.kubectl.get("pod", "lonely")["status"].get("podIPs"))
    uid = cluster.kubectl.get("pod", "lonely")["metadata"]["uid"]
    before = node1.sandbox(uid=uid)
    (after,) = node1.crash(before)
    assert after.attempt == before.attempt + 1
    assert after.addresses == before.addresses == node1.leased()
    (lease,) = node1.leases()
    assert lease["containerID"] == after.id, lease
