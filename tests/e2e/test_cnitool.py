"""Whole networks through libcni: every verb, with the two main plugins most people use."""

import pytest
from lab import cnitool
from lab.cnitool import Network
from lab.ipam import DEFAULT_ROUTES, Ipam

SUBNETS = ("10.89.0.0/24", "fd00:89::/64")


@pytest.fixture(params=[cnitool.bridge, cnitool.ptp], ids=["bridge", "ptp"])
def network(request, ipam: Ipam, tmp_path) -> Network:
    """A dual-stack network with default routes."""
    plugin = request.param(ipam.config(*SUBNETS, routes=DEFAULT_ROUTES))
    return Network(tmp_path / "net.d", cnitool.conflist("lab", plugin))


def test_two_pods_get_addresses_of_both_families_and_reach_each_other(network, ipam, new_netns):
    pods = [new_netns(), new_netns()]
    answers = [network.add(pod) for pod in pods]
    assert [answer.stderr for answer in answers if not answer.ok] == []
    for pod, answer in zip(pods, answers):
        assert pod.addresses() == answer.addresses
    assert answers[0].addresses == ["10.89.0.2", "fd00:89::2"]
    assert answers[1].addresses == ["10.89.0.3", "fd00:89::3"]
    for pod, other in zip(pods, reversed(answers)):
        for address in other.addresses:
            assert pod.reaches(address), f"no answer from {address}"
    assert ipam.leased() == ["10.89.0.2", "10.89.0.3", "fd00:89::2", "fd00:89::3"]


def test_leases_say_whose_they_are(network, ipam, new_netns):
    pod = new_netns()
    args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;K8S_POD_UID=uid-1"
    assert network.add(pod, args=args).ok
    for lease in ipam.leases():
        assert lease["network"] == "lab"
        assert lease["ifname"] == "eth0"
        assert lease["containerID"].startswith("cnitool-")
        if ipam.type == "podlease":
            assert lease["podNamespace"] == "shop"
            assert lease["podName"] == "cart-0"
            assert lease["podUID"] == "uid-1"


def test_check_passes_until_the_pod_is_deleted(network, new_netns):
    pod = new_netns()
    assert network.add(pod).ok
    assert network.check(pod).stderr == ""
    assert network.delete(pod).ok
    assert not network.check(pod).ok


def test_check_notices_that_the_pod_lost_its_address(network, new_netns):
    pod = new_netns()
    assert network.add(pod).ok
    pod.run("ip", "address", "flush", "dev", "eth0")
    assert not network.check(pod).ok


def test_del_leaves_nothing_and_succeeds_again(network, ipam, new_netns):
    pods = [new_netns() for _ in range(3)]
    for pod in pods:
        assert network.add(pod).ok
    for pod in pods:
        assert network.delete(pod).stderr == ""
        assert pod.addresses() == []
    assert ipam.leases() == []
    assert network.delete(pods[0]).ok


def test_del_succeeds_when_the_namespace_is_gone(network, ipam, new_netns):
    pod = new_netns()
    assert network.add(pod).ok
    pod.delete()
    assert network.delete(pod).stderr == ""
    assert ipam.leases() == []


def test_gc_without_valid_attachments_frees_everything(network, ipam, new_netns):
    for pod in [new_netns(), new_netns()]:
        assert network.add(pod).ok
    assert network.gc().stderr == ""
    assert ipam.leases() == []


def test_status_succeeds_on_a_healthy_node(network):
    assert network.status().stderr == ""


# Not with ptp: it cannot put two links to one gateway into a pod.
@pytest.mark.parametrize("network", [cnitool.bridge], ids=["bridge"], indirect=True)
def test_two_interfaces_of_one_pod_hold_two_leases(network, ipam, new_netns):
    pod = new_netns()
    answers = [network.add(pod, ifname=ifname) for ifname in ("eth0", "net1")]
    assert [answer.addresses[0] for answer in answers] == ["10.89.0.2", "10.89.0.3"]
    assert network.delete(pod, ifname="eth0").ok
    assert ipam.leased() == ["10.89.0.3", "fd00:89::3"]
    assert network.delete(pod, ifname="net1").ok
    assert ipam.leases() == []
