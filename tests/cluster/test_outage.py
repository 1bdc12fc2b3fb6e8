"""The API server is away: pods that a node knows of go on starting and stopping."""

import json

import pytest
from lab.cluster import Cluster, inside, pod
from lab.waiting import until
from lab.worker import Worker

# So that each pod finds its node's CIDR too old, and asks in vain.
EAGER = {"kubernetes": {"refresh": "1s"}}


@pytest.fixture
def node1(cluster: Cluster) -> Worker:
    worker = cluster.workers["node1"]
    worker.use_network(EAGER)
    return worker


@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_pods_start_and_stop_under_a_rolling_update(cluster: Cluster, node1: Worker, way: str):
    (cidr,) = cluster.pod_cidrs("node1")
    steady = cluster.deploy("steady", 4, node="node1")
    cluster.deploy("web", 8, node="node1")
    cluster.roll("web")
    api_server = cluster.control_plane.api_server
    api_server.kill() if way == "killed" else api_server.pause()

    # What a kubelet starts by itself: sandboxes that crashed, each with the address it had.
    before = [node1.sandbox(uid=each.uid) for each in steady]
    after = node1.crash(*before)
    assert [each.addresses for each in after] == [each.addresses for each in steady]
    # Whatever else the runtime starts and stops.
    with node1.bare_pods(*(f"pod-{number}" for number in range(5))) as names:
        for name in names:
            answer = node1.call("ADD", name)
            assert answer.ok and inside(answer.addresses[0], [cidr]), answer
            assert answer.addresses[0] in node1.leased()
        for name in names:
            assert node1.call("DEL", name).ok
    # What it is told of by other means.
    if way == "killed":
        manifest = node1.static_pods / "static.json"
        manifest.write_text(json.dumps(pod("static")))
        static = node1.sandbox(pod="static-node1")
        assert inside(static.addresses[0], [cidr])
        manifest.unlink()
        until("its end", lambda: static.addresses[0] not in node1.leased())
    warnings = node1.status()["warnings"]
    assert any("is used" in warning for warning in warnings), warnings

    cluster.control_plane.start_api_server()
    pods = cluster.wait_for_rollout("web") + cluster.wait_for_rollout("steady")
    assert {each.uid for each in steady} <= {each.uid for each in pods}
    cluster.demand_leases(pods)
    cluster.demand_reach(cluster.pods("steady"))
    until("a status without complaints", lambda: recovered(cluster, node1))


def recovered(cluster: Cluster, node: Worker) -> bool:
    """The next pod finds out."""
    with node.bare_pods("pod-0"):
        assert node.call("ADD", "pod-0").ok
        return not node.status().get("warnings")


def test_without_an_answer_ever_a_pod_is_told_what_is_missing(cluster: Cluster, node1: Worker):
    cluster.control_plane.api_server.kill()
    with node1.bare_pods("pod-0"):
        answer = node1.call("ADD", "pod-0")
        assert answer.status == 1 and answer.json["code"] == 11, answer
        assert "192.168.10.10" in answer.json["msg"] and answer.json["details"], answer
        # The kubelet admits no pod while this fails.
        assert node1.call("STATUS", "pod-0").ok
        cluster.control_plane.start_api_server()
        until("an address", lambda: node1.call("ADD", "pod-0").ok, 20)
