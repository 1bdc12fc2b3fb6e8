"""The plugin on its own, called as a main plugin calls it: by environment and standard input."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from lab import cni
from lab.ipam import DEFAULT_ROUTES, Ipam

RESULT_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
OLD_VERSIONS = ["0.1.0", "0.2.0"]


def netconf(ipam: Ipam, version: str = "1.1.0", **more: object) -> dict:
    ranges = ipam.config("10.88.0.0/24", "fd00:88::/64", routes=DEFAULT_ROUTES)
    return {"cniVersion": version, "name": "lab", "type": "bridge", "ipam": ranges, **more}


@pytest.fixture
def call(ipam, new_netns):
    """Calls the plugin for one pod with its own network namespace."""
    netns = new_netns().path
    return lambda verb, config, **how: cni.call(ipam.binary, verb, config, netns=netns, **how)


def test_version_lists_every_version_of_the_specification(ipam):
    answer = cni.call(ipam.binary, "VERSION", {"cniVersion": "1.1.0"}, container_id=None)
    assert answer.ok
    assert answer.json["supportedVersions"] == OLD_VERSIONS + RESULT_VERSIONS


@pytest.mark.parametrize("version", RESULT_VERSIONS)
def test_add_answers_in_the_version_asked_for(call, ipam, version):
    config = netconf(ipam, version)
    added = call("ADD", config)
    assert added.ok, added.stdout
    assert added.json["cniVersion"] == version
    assert [ip["address"] for ip in added.json["ips"]] == ["10.88.0.2/24", "fd00:88::2/64"]
    assert [ip["gateway"] for ip in added.json["ips"]] == ["10.88.0.1", "fd00:88::1"]
    assert added.json["routes"] == DEFAULT_ROUTES
    assert "interfaces" not in added.json
    if version >= "0.4.0":
        assert call("CHECK", {**config, "prevResult": added.json}).ok
    assert call("DEL", config).ok
    assert ipam.leases() == []


@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_add_answers_old_versions_with_one_address_of_each_family(call, ipam, version):
    added = call("ADD", netconf(ipam, version))
    assert added.ok, added.stdout
    assert added.json["ip4"]["ip"] == "10.88.0.2/24"
    assert added.json["ip6"]["ip"] == "fd00:88::2/64"


def test_del_of_an_unknown_attachment_succeeds_in_silence(call, ipam):
    answer = call("DEL", netconf(ipam))
    assert (answer.status, answer.stdout) == (0, b"")


def test_an_error_is_json_on_stdout(call):
    answer = call("ADD", b"{")
    assert not answer.ok
    assert answer.json["code"] == 6
    assert answer.json["msg"]


def test_fifty_adds_at_once_get_fifty_addresses(call, ipam):
    config = netconf(ipam)
    with ThreadPoolExecutor(50) as threads:
        names = [f"container-{number}" for number in range(50)]
        added = list(threads.map(lambda name: call("ADD", config, container_id=name), names))
        assert all(answer.ok for answer in added)
        for family in zip(*(answer.addresses for answer in added)):
            assert len(set(family)) == 50
        deleted = threads.map(lambda name: call("DEL", config, container_id=name), names)
        assert all(answer.ok for answer in deleted)
    assert ipam.leases() == []
