"""Other places where a node's addresses are written: both families, annotations, CiliumNode."""

from typing import Iterator, Optional

import pytest
from lab import cilium
from lab.cni import Answer
from lab.cluster import Cluster, inside, pod
from lab.control_plane import DUAL_STACK_POD_CIDRS, NO_POD_CIDRS
from lab.waiting import until
from lab.worker import Worker

EXHAUSTED = 100
TRY_AGAIN = 11


@pytest.fixture
def node1(cluster: Cluster) -> Worker:
    return cluster.workers["node1"]


def test_pods_of_a_dual_stack_cluster_have_two_addresses(cluster: Cluster):
    cluster.control_plane.use_pod_cidrs(DUAL_STACK_POD_CIDRS)
    for name in cluster.workers:
        cluster.replace_node(name)
    cluster.connect()
    pods = cluster.deploy("web", 4)
    for each in pods:
        cidrs = cluster.pod_cidrs(each.node)
        assert len(cidrs) == len(each.addresses) == 2
        for address, cidr in zip(each.addresses, cidrs):
            assert inside(address, [cidr]), each
    cluster.demand_leases(pods)
    cluster.demand_reach(pods)

    worker = cluster.workers["node1"]
    cidrs = cluster.pod_cidrs("node1")
    with worker.bare_pods("pod-0"):
        answer = worker.call("ADD", "pod-0", ipam={"families": ["ipv6"]})
        assert len(answer.addresses) == 1 and inside(answer.addresses[0], cidrs[1:]), answer


def test_annotations_serve_where_spec_has_nothing(cluster: Cluster, node1: Worker):
    cluster.control_plane.use_pod_cidrs(NO_POD_CIDRS)
    cidr = "10.200.1.0/24"
    annotations = {
        "network.cilium.io/ipv4-pod-cidr": cidr,
        "network.cilium.io/ipv4-cilium-host": "10.200.1.2",
        "network.cilium.io/ipv4-health-ip": "10.200.1.3",
        "network.cilium.io/ipv4-Ingress-ip": "10.200.1.4",
    }
    cluster.replace_node("node1", annotations=annotations)
    pods = cluster.deploy("web", 3, node="node1")
    held = sorted(each.addresses[0] for each in pods)
    assert held == ["10.200.1.5", "10.200.1.6", "10.200.1.7"]
    cluster.demand_leases(pods)
    assert {lease["source"] for lease in node1.leases()} == {"node annotation"}
    taken = {item["address"]: item["what"] for item in node1.explain()["taken"]}
    assert set(taken) == {"10.200.1.2", "10.200.1.3", "10.200.1.4"}

    aliases = {
        "io.cilium.network.ipv4-pod-cidr": "10.200.2.0/24",
        "io.cilium.network.ipv6-pod-cidr": "fd00:200:2::/64",
        "network.cilium.io/ipv6-pod-cidr": "fd00:200:3::/64",
        "kube-router.io/pod-cidr": "10.200.4.0/24",
        "kube-router.io/pod-cidrs": "10.200.5.0/24,fd00:200:5::/64",
    }
    with node1.bare_pods("pod-0"):
        for number, (key, value) in enumerate(aliases.items()):
            annotate(cluster, {**dict.fromkeys({*annotations, *aliases}), key: value})
            # Nothing is known in a new store.
            store = {"dataDir": f"/var/lib/podlease/alias-{number}"}
            answer = node1.call("ADD", "pod-0", ipam=store)
            assert answer.ok, (key, answer)
            cidrs = value.split(",")
            assert len(answer.addresses) == len(cidrs), (key, answer)
            assert all(inside(address, cidrs) for address in answer.addresses), (key, answer)
            assert node1.call("DEL", "pod-0", ipam=store).ok


def annotate(cluster: Cluster, annotations: dict[str, Optional[str]]) -> None:
    """Sets annotations of node1; None removes one."""
    cluster.kubectl.patch("node", "node1", {"metadata": {"annotations": annotations}})


def test_a_cidr_that_disappears_is_leased_from_no_more(cluster: Cluster, node1: Worker):
    cluster.control_plane.use_pod_cidrs(NO_POD_CIDRS)
    key = "network.cilium.io/ipv4-pod-cidr"
    cluster.replace_node("node1", annotations={key: "10.200.6.0/24"})
    node1.use_network({"kubernetes": {"refresh": "1s"}})
    with node1.bare_pods("pod-0", "pod-1"):
        assert node1.call("ADD", "pod-0").ok
        annotate(cluster, {key: None})
        answer = until("a refusal", lambda: refusal(node1, "pod-1"), 20)
        assert answer.json["code"] == TRY_AGAIN, answer
        assert "Node node1 has no podCIDR" in answer.json["msg"], answer
        assert node1.leased() == ["10.200.6.2"]
        annotate(cluster, {key: "10.200.7.0/24"})
        answer = until("an address", lambda: grant(node1, "pod-1"), 20)
        assert answer.addresses == ["10.200.7.2"]


def refusal(node: Worker, pod: str) -> Optional[Answer]:
    """Of an ADD; nothing if it gets an address, which is freed."""
    answer = node.call("ADD", pod)
    assert node.call("DEL", pod).ok
    return None if answer.ok else answer


def grant(node: Worker, pod: str) -> Optional[Answer]:
    answer = node.call("ADD", pod)
    return answer if answer.ok else None


@pytest.fixture(scope="module")
def cilium_nodes(session_cluster: Cluster) -> Iterator[None]:
    """The API server knows CiliumNodes, and nodes may read them."""
    with cilium.installed(session_cluster.kubectl):
        yield


@pytest.mark.usefixtures("cilium_nodes")
def test_a_cilium_node_tells_the_cidr(cluster: Cluster, node1: Worker):
    with cilium.node(cluster.kubectl, "node1", {"podCIDRs": ["10.201.1.0/24"]}):
        node1.use_network({"kubernetes": {"sources": ["ciliumnode", "spec"]}})
        pods = cluster.deploy("web", 3, node="node1")
        assert all(inside(each.addresses[0], ["10.201.1.0/24"]) for each in pods), pods
        cluster.demand_leases(pods)
        assert {lease["source"] for lease in node1.leases()} == {"CiliumNode"}
        (spec,) = cluster.pod_cidrs("node1")
        looks = {look["value"]: look["used"] for look in node1.status()["looks"]}
        assert looks == {"10.201.1.0/24": True, spec: False}
        cluster.scale("web", 0)


@pytest.mark.usefixtures("cilium_nodes")
def test_a_cilium_node_of_multi_pool_tells_the_cidr(cluster: Cluster, node1: Worker):
    allocated = [
        {"pool": "other", "cidrs": ["10.201.2.0/24"]},
        {"pool": "default", "cidrs": ["10.201.3.0/24"]},
    ]
    with cilium.node(cluster.kubectl, "node1", {"pools": {"allocated": allocated}}):
        with node1.bare_pods("pod-0"):
            ipam = {"kubernetes": {"sources": ["ciliumnode"]}}
            answer = node1.call("ADD", "pod-0", ipam=ipam)
            assert inside(answer.addresses[0], ["10.201.3.0/24"]), answer


@pytest.mark.usefixtures("cilium_nodes")
def test_crd_mode_leases_what_is_in_the_pool(cluster: Cluster, node1: Worker):
    pool: dict[str, dict[str, str]] = {
        "10.202.0.5": {},
        "10.202.0.9": {"owner": "default/pinned"},
        "10.202.0.77": {"resource": "eni-1"},
    }
    # Single addresses belong to no subnet; the pods of this node are behind its bridge.
    on_link = {"dst": "10.202.0.0/24", "gw": "0.0.0.0", "scope": 253}
    with cilium.node(cluster.kubectl, "node1", {"pool": pool}):
        node1.use_network({"mode": "crd", "routes": [on_link]}, name="crd", gateway=False)
        pods = cluster.deploy("web", 2, node="node1")
        held = {address for each in pods for address in each.addresses}
        assert held == {"10.202.0.5", "10.202.0.77"}
        cluster.kubectl.create(pod("pinned", node="node1"))

        def addresses() -> list[str]:
            status = cluster.kubectl.get("pod", "pinned")["status"]
            return [entry["ip"] for entry in status.get("podIPs", [])]

        assert until("the pinned pod", addresses) == ["10.202.0.9"]
        cluster.demand_reach(pods)
        with node1.bare_pods("pod-0"):
            assert node1.call("ADD", "pod-0").json["code"] == EXHAUSTED
        cluster.kubectl.delete("pod", "pinned")
        cluster.scale("web", 0)
