"""Pod sandboxes through containerd's CRI, as the kubelet runs them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from lab import cnitool
from lab.containerd import Containerd, CriError
from lab.ipam import DEFAULT_ROUTES, Ipam

SUBNETS = ("10.90.0.0/24", "fd00:90::/64")


@pytest.fixture
def runtime(containerd: Containerd, ipam: Ipam) -> Containerd:
    """containerd with a dual-stack bridge."""
    plugin = cnitool.bridge(ipam.config(*SUBNETS, routes=DEFAULT_ROUTES))
    containerd.use_network(cnitool.conflist("lab", plugin))
    containerd.start()
    return containerd


def test_a_pod_has_its_addresses_until_it_is_stopped(runtime, ipam):
    pod = runtime.run_pod("web-0", namespace="shop", uid="uid-web-0")
    assert runtime.pod_status(pod)["status"]["state"] == "SANDBOX_READY"
    assert runtime.pod_addresses(pod) == ["10.90.0.2", "fd00:90::2"]
    assert ipam.leased() == ["10.90.0.2", "fd00:90::2"]
    for lease in ipam.leases():
        assert (lease["containerID"], lease["ifname"]) == (pod, "eth0")
        if ipam.type == "podlease":
            assert lease["podNamespace"] == "shop"
            assert lease["podName"] == "web-0"
            assert lease["podUID"] == "uid-web-0"
    runtime.stop_pods(pod)
    assert ipam.leases() == []
    runtime.stop_pods(pod)
    runtime.remove_pods(pod)
    assert runtime.pods() == []


def test_fifty_pods_at_once_get_fifty_addresses(runtime, ipam):
    with ThreadPoolExecutor(50) as threads:
        pods = list(threads.map(lambda number: runtime.run_pod(f"web-{number}"), range(50)))
        held = list(threads.map(runtime.pod_addresses, pods))
    for family in zip(*held):
        assert len(set(family)) == 50
    assert sorted(ipam.leased()) == sorted(address for pod in held for address in pod)
    with ThreadPoolExecutor(50) as threads:
        list(threads.map(runtime.stop_pods, pods))
        list(threads.map(runtime.remove_pods, pods))
    assert ipam.leases() == []
    assert runtime.pods() == []


def test_pods_and_leases_survive_a_crash_of_containerd(runtime, ipam):
    pod = runtime.run_pod("web-0")
    before = ipam.leases()
    runtime.kill()
    assert ipam.leases() == before
    runtime.start()
    assert runtime.pod_addresses(pod) == ["10.90.0.2", "fd00:90::2"]
    runtime.stop_pods(pod)
    runtime.remove_pods(pod)
    assert ipam.leases() == []


def test_the_runtime_reports_its_network_ready(runtime):
    assert runtime.network_condition()["status"] is True


def test_a_pod_that_gets_no_address_is_refused_with_the_reason(runtime, ipam):
    # One address beside the gateway's.
    plugin = cnitool.bridge(ipam.config("10.91.0.0/30"), name="br-small")
    runtime.use_network(cnitool.conflist("small", plugin))
    runtime.wait_for_network("small")
    pod = runtime.run_pod("web-0")
    with pytest.raises(CriError, match="no IP addresses available in range set"):
        runtime.run_pod("web-1")
    assert len(ipam.leases()) == 1
    runtime.stop_pods(pod)
    assert ipam.leases() == []
