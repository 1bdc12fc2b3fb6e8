"""The commands that show and change the cluster's pools, from a machine that is no node of it."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import pytest
from lab import cilium, places, pools
from lab.api import SERVICES
from lab.cluster import Cluster, inside
from lab.cluster import pod as pod_of
from lab.control_plane import API
from lab.kubectl import Kubectl
from lab.pools import GONE_SINCE, block, name_of, pool
from lab.waiting import until

OLD, NEW, NEW6 = "172.20.0.0/16", "172.21.0.0/16", "fd00:21::/48"
DONE, FAILED, TROUBLE = 0, 1, 2


class Podlease:
    """The command line, with one identity."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        command = [places.podlease(), *arguments]
        if not environment:
            command += ["--kubeconfig", str(self.kubeconfig)]
        clean = {"PATH": os.environ["PATH"], **environment}
        return subprocess.run(command, capture_output=True, text=True, env=clean)

    def __call__(self, *arguments: str, status: int = DONE) -> str:
        """What it prints."""
        done = self.run(*arguments)
        assert done.returncode == status, done
        assert "\033" not in done.stdout
        return done.stdout

    def json(self, *arguments: str, status: int = DONE) -> Any:
        return json.loads(self(*arguments, "--output=json", status=status))

    def refusal(self, *arguments: str) -> str:
        """What is said on stderr, by a command that prints nothing else."""
        done = self.run(*arguments)
        assert done.returncode == FAILED, done
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) <= 2, done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def installed(session_cluster: Cluster) -> Iterator[Cluster]:
    pools.install(session_cluster.kubectl)
    yield session_cluster
    pools.remove(session_cluster.kubectl)


@pytest.fixture
def admin(installed: Cluster) -> Iterator[Kubectl]:
    """No pool and no block is left by a test."""
    yield installed.kubectl
    pools.clear(installed.kubectl)


@pytest.fixture
def podlease(session_cluster: Cluster) -> Podlease:
    return Podlease(session_cluster.control_plane.authority.kubeconfig("admin", API))


@pytest.fixture
def with_rights(session_cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Podlease]]:
    """For verbs on resources, all that the identity has."""
    kubectl = session_cluster.kubectl

    def make(*rights: str) -> Podlease:
        for number, right in enumerate(rights):
            verb, resource = right.split()
            role = f"lab-{number}"
            kubectl("create", "clusterrole", role, f"--verb={verb}", f"--resource={resource}")
            kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", "--user=guest")
        authority = session_cluster.control_plane.authority
        authority.sign("guest", "guest")
        guest = Kubectl(authority.kubeconfig("guest", API))
        for right in rights:
            ask = ["auth", "can-i", *right.split(), "--all-namespaces"]
            until(right, lambda: guest(*ask).strip() == "yes")
        return Podlease(authority.kubeconfig("guest", API))

    yield make
    for item in kubectl.list("clusterrolebindings") + kubectl.list("clusterroles"):
        if item["metadata"]["name"].startswith("lab-"):
            kubectl.delete(item["kind"], item["metadata"]["name"])


def cidrs(admin: Kubectl, name: str) -> dict[str, str]:
    """Of a pool, with their states."""
    return {entry["cidr"]: entry["state"] for entry in admin.get("podpool", name)["spec"]["cidrs"]}


def own_block(admin: Kubectl, cidr: str, node: str, pool: str, **status: Any) -> dict:
    """Of a node that is there."""
    item = admin.get("node", node)
    machine = item["status"]["nodeInfo"]["machineID"]
    made = block(
        cidr, node, status, pool=pool, nodeUID=item["metadata"]["uid"], machineID=machine
    )
    admin.create(made)
    return made


# Whom it asks.


def test_the_kubeconfig_is_found_in_order(admin: Kubectl, podlease: Podlease, tmp_path: Path):
    there = str(podlease.kubeconfig)
    missing = str(tmp_path / "missing")
    listed = podlease.run("pools", KUBECONFIG=f"{missing}::{there}")
    assert listed.returncode == DONE, listed
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").symlink_to(there)
    at_home = podlease.run("pools", HOME=str(tmp_path))
    assert at_home.returncode == DONE, at_home
    nowhere = podlease.run("pools", HOME=missing)
    assert nowhere.returncode == FAILED
    assert "there is no kubeconfig" in nowhere.stderr and "--kubeconfig FILE" in nowhere.stderr
    wrong = podlease.run("pools", KUBECONFIG=missing)
    assert wrong.returncode == FAILED and missing in wrong.stderr


def test_kinds_that_are_not_installed_are_named(session_cluster: Cluster, podlease: Podlease):
    pools.remove(session_cluster.kubectl)
    try:
        for command in (["pools"], ["blocks"], ["pool", "add", "a", "--cidr", OLD]):
            said = podlease.refusal(*command)
            assert "does not know the kind PodPool" in said
            assert "podlease crds | kubectl apply" in said
    finally:
        pools.install(session_cluster.kubectl)


def test_a_missing_right_is_named_with_its_remedy(
    admin: Kubectl, with_rights: Callable[..., Podlease]
):
    guest = with_rights("list podpools.podlease.io")
    admin.create(pool("default", [OLD]))
    said = guest.refusal("pools")
    assert "not allowed to list podblocks.podlease.io" in said
    assert "kubectl create clusterrole" in said and "--verb=list" in said
    assert "not allowed to patch podpools" in guest.refusal("pool", "pause", "default")


def test_it_does_not_wait_longer_than_it_may(cluster: Cluster, podlease: Podlease):
    api_server = cluster.control_plane.api_server
    api_server.pause()
    begun = time.monotonic()
    said = podlease.refusal("pools", "--timeout", "500ms")
    assert time.monotonic() - begun < 5
    api_server.resume()
    assert "PodPool list" in said and API in said
    assert "is not a duration" in podlease.run("pools", "--timeout", "soon").stderr


# What is shown.


def test_pools_are_counted_from_their_blocks(admin: Kubectl, podlease: Podlease):
    assert "pool add default" in podlease("pools")
    draining = {"cidr": NEW, "state": "Draining"}
    admin.create(pool("default", [OLD, draining], reapGrace="1h"), pool("six", [NEW6]))
    admin.create(
        block("172.20.0.0/26", "node1", {"used": 7}, pool="default"),
        block("172.20.0.64/26", "node1", {"used": 3}, pool="default"),
        block("172.21.0.0/26", "node2", {"used": 1}, pool="default"),
        block("172.30.0.0/26", "node2", {"used": 2}, pool="default"),
        block("172.31.0.0/26", "node2", pool="gone"),
    )
    report = podlease.json("pools")
    default, six = report["pools"]
    first, second = default["cidrs"]
    assert (default["name"], default["reapGrace"], default["paused"]) == ("default", "1h", False)
    assert first == {
        "cidr": OLD,
        "state": "Active",
        "blockLength": 26,
        "blocks": 2,
        "capacity": 1024,
        "nodes": ["node1"],
        "used": 10,
        "addresses": 128,
        "percent": 1,
    }
    assert (second["state"], second["blocks"], second["used"]) == ("Draining", 1, 1)
    assert six["cidrs"][0]["capacity"] == 2**63 - 1
    assert [item["block"] for item in report["orphans"]] == ["172.30.0.0-26", "172.31.0.0-26"]
    table = podlease("pools")
    assert "2/1024" in table and "10/128" in table and "0/2^74" in table
    assert "orphan: block 172.31.0.0-26 of node node2, 0 used: PodPool gone is gone" in table
    assert [item["name"] for item in podlease.json("pools", "six")["pools"]] == ["six"]
    assert 'no PodPool "seven"' in podlease.refusal("pools", "seven")


def test_blocks_tell_their_state(admin: Kubectl, podlease: Podlease):
    admin.create(pool("default", [OLD, {"cidr": NEW, "state": "Draining"}]))
    own_block(admin, "172.20.0.0/26", "node1", "default", used=16, nodeIPs=["192.168.10.101"])
    own_block(admin, "172.21.0.0/26", "node1", "default")
    own_block(admin, "172.20.1.0/26", "node2", "default", verifiedAt="2020-01-01T00:00:00Z")
    own_block(admin, "172.20.1.64/26", "node2", "default")
    own_block(admin, "172.30.0.0/26", "node2", "gone")
    admin.create(block("172.20.9.0/26", "node9", pool="default"))
    admin.delete("podblock", "172.20.1.64-26", wait=False)
    found = {item["cidr"]: item for item in podlease.json("blocks")}
    assert {cidr: item["state"] for cidr, item in found.items()} == {
        "172.20.0.0/26": "in use",
        "172.20.1.0/26": "unverified",
        "172.20.1.64/26": "draining",
        "172.20.9.0/26": "node gone",
        "172.21.0.0/26": "draining",
        "172.30.0.0/26": "draining",
    }
    first = found["172.20.0.0/26"]
    assert (first["nodeIPs"], first["used"], first["size"]) == (["192.168.10.101"], 16, 64)
    assert "was deleted" in found["172.20.1.64/26"]["why"]
    assert "PodPool gone is gone" in found["172.30.0.0/26"]["why"]
    assert "172.21.0.0/16 of PodPool default is Draining" in found["172.21.0.0/26"]["why"]
    assert "16/64" in podlease("blocks") and "25%" in podlease("blocks")
    assert len(podlease.json("blocks", "--node", "node1")) == 2
    assert len(podlease.json("blocks", "--pool", "default")) == 5


def test_what_may_not_be_listed_is_a_warning(
    admin: Kubectl, with_rights: Callable[..., Podlease]
):
    guest = with_rights(
        "list podpools.podlease.io", "list podblocks.podlease.io", "create podpools.podlease.io"
    )
    done = guest.run("pool", "add", "default", "--cidr", OLD)
    assert done.returncode == DONE, done
    for resource in ("nodes", "servicecidrs.networking.k8s.io"):
        assert f"not allowed to list {resource}" in done.stderr
    done = guest.run("blocks")
    assert done.returncode == DONE and "not allowed to list nodes" in done.stderr


# What is changed.


def test_a_pool_is_made_once(admin: Kubectl, podlease: Podlease):
    add = ["pool", "add", "default", "--cidr", OLD, "--cidr", NEW6, "--reserved", "172.20.0.0/24"]
    add += ["--reap-grace", "1h", "--node-selector", "kubernetes.io/os=linux"]
    assert "would be made" in podlease(*add, "--dry-run")
    assert admin.list("podpools") == []
    assert podlease(*add) == f"PodPool default was made with {OLD}, {NEW6}\n"
    spec = admin.get("podpool", "default")["spec"]
    assert spec["cidrs"][0]["reserved"] == ["172.20.0.0/24"]
    assert spec["reapGrace"] == "1h"
    assert spec["nodeSelector"] == {"matchLabels": {"kubernetes.io/os": "linux"}}
    assert "already: nothing to do" in podlease(*add)
    assert podlease.json(*add)["changed"] is False
    assert admin.get("podpool", "default")["spec"] == spec


def test_a_pool_is_extended(admin: Kubectl, podlease: Podlease):
    podlease("pool", "add", "default", "--cidr", OLD)
    add = ["pool", "add", "default", "--cidr", OLD, "--cidr", NEW]
    assert podlease(*add, "--dry-run") == f"{NEW} would be added to PodPool default\n"
    assert cidrs(admin, "default") == {OLD: "Active"}
    report = podlease.json(*add)
    assert report["changed"] and report["message"] == f"{NEW} was added to PodPool default"
    assert cidrs(admin, "default") == {OLD: "Active", NEW: "Active"}
    podlease("pool", "add", "default", "--cidr", NEW, "--reserved", "172.21.0.1")
    assert admin.get("podpool", "default")["spec"]["cidrs"][1]["reserved"] == ["172.21.0.1"]
    said = podlease.refusal(*add, "--reap-grace", "2h")
    assert "has reapGrace 6h, not 2h" in said and "kubectl patch podpool default" in said


@pytest.mark.parametrize(
    ("cidr", "there"),
    [
        ("10.244.0.0/16", "Node node1 spec.podCIDRs 10.244."),
        ("192.168.10.0/24", "Node node1 status.addresses 192.168.10.101"),
        ("10.96.128.0/17", f"ServiceCIDR kubernetes spec.cidrs {SERVICES}"),
        ("10.250.0.0/16", "CiliumNode node1 spec.ipam.podCIDRs 10.250.1.0/24"),
        ("10.251.0.0/16", "CiliumNode node1 spec.ipam.pools.allocated 10.251.1.0/24"),
    ],
)
def test_an_overlap_is_refused_unless_forced(
    admin: Kubectl, podlease: Podlease, cidr: str, there: str
):
    allocated = {"allocated": [{"pool": "default", "cidrs": ["10.251.1.0/24"]}]}
    ipam = {"podCIDRs": ["10.250.1.0/24"], "pools": allocated}
    with cilium.installed(admin), cilium.node(admin, "node1", ipam):
        said = podlease.refusal("pool", "add", "default", "--cidr", cidr)
        assert f"PodPool default spec.cidrs {cidr} overlaps " in said
        assert there in said
        assert "--force" in said
        assert admin.list("podpools") == []
        done = podlease.run("pool", "add", "default", "--cidr", cidr, "--force")
        assert done.returncode == DONE and there in done.stderr


def test_no_force_lets_two_pools_overlap(admin: Kubectl, podlease: Podlease):
    admin.create(pool("blue", [OLD]))
    said = podlease.refusal("pool", "add", "red", "--cidr", "172.20.8.0/24", "--force")
    assert "172.20.8.0/24 overlaps PodPool blue spec.cidrs 172.20.0.0/16" in said
    assert [item["metadata"]["name"] for item in admin.list("podpools")] == ["blue"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cidr", "lots"], '"lots" is not a CIDR'),
        (["--cidr", "172.20.0.1/16"], "did you mean 172.20.0.0/16?"),
        (["--cidr", "172.20.0.0/28"], "172.20.0.0/28 is smaller than a block"),
        (["--cidr", OLD, "--reserved", "10.0.0.1"], '"10.0.0.1" lies in no --cidr'),
        (["--cidr", OLD, "--reap-grace", "soon"], '"soon" is not a duration'),
        (["--cidr", OLD, "--reap-grace", "1m"], "1m is shorter than 10m"),
        (["--cidr", OLD, "--node-selector", "linux"], "has no KEY=VALUE"),
    ],
)
def test_what_cannot_be_is_refused(
    admin: Kubectl, podlease: Podlease, arguments: Sequence[str], said: str
):
    for dry_run in ([], ["--dry-run"]):
        assert said in podlease.refusal("pool", "add", "default", *arguments, *dry_run)
    assert admin.list("podpools") == []


def test_a_cidr_drains_and_goes(admin: Kubectl, podlease: Podlease):
    admin.create(pool("default", [OLD, NEW]))
    admin.create(block("172.20.0.0/26", "node1", pool="default"))
    this = ["default", "--cidr", OLD]
    said = podlease.refusal("pool", "remove", *this)
    assert "is Active" in said and "podlease pool drain default --cidr 172.20.0.0/16" in said
    assert "would be made Draining" in podlease("pool", "drain", *this, "--dry-run")
    assert cidrs(admin, "default")[OLD] == "Active"
    assert "was made Draining" in podlease("pool", "drain", *this)
    assert "nothing to do" in podlease("pool", "drain", *this)
    assert cidrs(admin, "default") == {OLD: "Draining", NEW: "Active"}
    assert "pool activate default" in podlease("pool", "add", *this)
    assert "was made Active" in podlease("pool", "activate", *this)
    assert cidrs(admin, "default") == {OLD: "Active", NEW: "Active"}
    podlease("pool", "drain", *this)
    assert "still 1 block of node node1" in podlease("pool", "remove", *this, status=TROUBLE)
    report = podlease.json("pool", "remove", *this, status=TROUBLE)
    assert report["blocksLeft"] == {"node1": 1} and not report["changed"]
    admin.patch("podblock", name_of("172.20.0.0/26"), {"metadata": {"finalizers": None}})
    admin.delete("podblock", name_of("172.20.0.0/26"))
    assert "would be removed" in podlease("pool", "remove", *this, "--dry-run")
    assert "was removed" in podlease("pool", "remove", *this)
    assert "nothing to do" in podlease("pool", "remove", *this)
    assert cidrs(admin, "default") == {NEW: "Active"}
    podlease("pool", "drain", "default", "--cidr", NEW)
    assert "podlease pool remove default" in podlease.refusal(
        "pool", "remove", "default", "--cidr", NEW
    )


def test_two_administrators_at_once_both_get_their_way(admin: Kubectl, podlease: Podlease):
    """Whoever meets a conflict reads the pool again."""
    admin.create(pool("default", [OLD]))
    for number in range(0, 10, 2):
        pair = [f"172.21.{number + i}.0/24" for i in range(2)]
        with ThreadPoolExecutor() as both:
            list(both.map(lambda cidr: podlease("pool", "add", "default", "--cidr", cidr), pair))
        assert set(pair) <= set(cidrs(admin, "default"))


def test_a_pool_goes_when_it_has_no_block(admin: Kubectl, podlease: Podlease):
    admin.create(pool("default", [OLD]))
    admin.create(block("172.20.0.0/26", "node1", pool="default"))
    assert "1 block of node node1" in podlease("pool", "remove", "default", status=TROUBLE)
    pools_there = admin.list("podpools")
    admin.patch("podblock", name_of("172.20.0.0/26"), {"metadata": {"finalizers": None}})
    admin.delete("podblock", name_of("172.20.0.0/26"))
    assert "would be removed" in podlease("pool", "remove", "default", "--dry-run")
    assert admin.list("podpools") == pools_there
    assert "PodPool default was removed" in podlease("pool", "remove", "default")
    assert "nothing to do" in podlease("pool", "remove", "default")
    assert admin.list("podpools") == []


def test_a_pool_pauses(admin: Kubectl, podlease: Podlease):
    admin.create(pool("default", [OLD]))
    assert "would be paused" in podlease("pool", "pause", "default", "--dry-run")
    assert admin.get("podpool", "default")["spec"]["paused"] is False
    assert podlease("pool", "pause", "default") == "PodPool default was paused\n"
    assert admin.get("podpool", "default")["spec"]["paused"] is True
    assert "nothing to do" in podlease("pool", "pause", "default")
    assert podlease("pool", "resume", "default") == "PodPool default was resumed\n"
    assert "nothing to do" in podlease("pool", "resume", "default")
    assert admin.get("podpool", "default")["spec"]["paused"] is False


def test_a_pool_or_cidr_that_is_not_there_is_named(admin: Kubectl, podlease: Podlease):
    admin.create(pool("default", [OLD]))
    said = podlease.refusal("pool", "pause", "other")
    assert 'no PodPool "other"' in said and "there are: default" in said
    said = podlease.refusal("pool", "drain", "default", "--cidr", NEW6)
    assert "none of ipv6 at all" in said and "podlease pool add default" in said


def test_an_option_takes_one_value_each_time(admin: Kubectl, podlease: Podlease):
    podlease("pool", "add", "--cidr", OLD, "--cidr", NEW, "default")
    assert set(cidrs(admin, "default")) == {OLD, NEW}


# Moving.


def left(podlease: Podlease, *arguments: str, status: int = TROUBLE) -> dict:
    report = podlease.json("migrate", "status", *arguments, status=status)
    assert report["done"] is (status == DONE)
    return report


def test_nothing_is_left_where_nothing_drains(admin: Kubectl, podlease: Podlease):
    assert "nothing is to be left" in podlease("migrate", "status")
    admin.create(pool("default", [{"cidr": NEW, "state": "Draining"}]))
    report = left(podlease, status=DONE)
    assert report["old"][0]["safeToRemove"]
    assert report["next"] == [f"podlease pool remove default --cidr {NEW}"]


def test_what_is_left_is_counted_by_workload(
    admin: Kubectl, cluster: Cluster, podlease: Podlease
):
    """From host scope to a pool: old pods stay in the old space until they are restarted."""
    cluster.deploy("web", 2)
    cluster.kubectl.create(bare("alone", "node1"), bare("host", "node1", hostNetwork=True))
    until("alone runs", lambda: address_of(admin, "alone"))
    assert "nothing is to be left" in podlease("migrate", "status")
    admin.create(pool("default", [NEW]))
    report = left(podlease)
    old = [cidr for name in ("node1", "node2") for cidr in cluster.pod_cidrs(name)]
    assert sorted(space["cidr"] for space in report["old"]) == sorted(old)
    counted = {(pod["node"], pod["workload"]): pod["pods"] for pod in report["pods"]}
    assert counted == {
        ("node1", "Deployment/web"): 1,
        ("node2", "Deployment/web"): 1,
        ("node1", "Pod/alone"): 1,
    }
    assert {pod["namespace"] for pod in report["pods"]} == {"default"}
    assert "kubectl -n default rollout restart deployment/web" in report["next"]
    assert all(inside(address, old) for pod in report["pods"] for address in pod["addresses"])
    table = podlease("migrate", "status", status=TROUBLE)
    assert "Deployment/web" in table and "still needed" in table and "something is left" in table
    assert left(podlease, "--from", "10.99.0.0/16", status=DONE)["pods"] == []
    assert len(left(podlease, "--from", old[0])["old"]) == 1


def test_blocks_that_are_left_keep_a_cidr(admin: Kubectl, podlease: Podlease):
    admin.create(pool("default", [NEW, {"cidr": OLD, "state": "Draining"}]))
    own_block(admin, "172.20.0.0/26", "node1", "default")
    own_block(admin, "172.21.0.0/26", "node1", "default")
    own_block(admin, "172.30.0.0/26", "node2", "gone")
    report = left(podlease)
    assert [item["cidr"] for item in report["blocks"]] == ["172.20.0.0/26", "172.30.0.0/26"]
    unsafe = [space["cidr"] for space in report["old"] if not space["safeToRemove"]]
    assert unsafe == [OLD, "172.30.0.0/26"]


def test_old_space_can_be_counted_without_the_kinds(
    session_cluster: Cluster, podlease: Podlease
):
    pools.remove(session_cluster.kubectl)
    try:
        assert "does not know the kind PodPool" in podlease.refusal("migrate", "status")
        left(podlease, "--from", "10.99.0.0/16", status=DONE)
        checks = plan(podlease, "--to", NEW, status=TROUBLE)
        assert checks["definitions"]["health"] == "wrong"
        assert "podlease crds" in checks["definitions"]["remedy"]
    finally:
        pools.install(session_cluster.kubectl)


def bare(name: str, node: str, **spec: Any) -> dict:
    return pod_of(name, node=node, **spec)


def address_of(admin: Kubectl, name: str) -> str:
    return admin.get("pod", name)["status"].get("podIP", "")


def plan(podlease: Podlease, *arguments: str, status: int = DONE) -> dict[str, dict]:
    """The checks, by their subject."""
    report = podlease.json("migrate", "plan", *arguments, status=status)
    return {check["subject"]: check for check in report["checks"]}


def test_a_plan_names_what_has_to_be_seen_to(admin: Kubectl, podlease: Podlease):
    checks = plan(podlease, "--to", NEW)
    health = {subject: check["health"] for subject, check in checks.items()}
    assert health == {
        "definitions": "ok",
        "overlap": "ok",
        "services": "ok",
        "pool": "ok",
        "room": "ok",
        "reaper": "warning",
        "routes": "warning",
    }
    assert "10.244." in checks["routes"]["finding"] and NEW in checks["routes"]["finding"]
    assert "reaper.yaml" in checks["reaper"]["remedy"]
    steps = podlease.json("migrate", "plan", "--to", NEW)["next"]
    assert steps[0] == f"podlease pool add default --cidr {NEW}"
    assert admin.list("podpools") == []
    assert "next: podlease pool add default" in podlease("migrate", "plan", "--to", NEW)


def test_a_plan_that_cannot_work_says_why(
    admin: Kubectl, cluster: Cluster, podlease: Podlease
):
    cluster.deploy("web", 2)
    nobody = {"matchLabels": {"zone": "nowhere"}}
    admin.create(pool("default", [OLD], paused=True, nodeSelector=nobody))
    checks = plan(podlease, "--to", "172.22.0.0/26", status=TROUBLE)
    assert checks["paused"]["health"] == "wrong"
    assert checks["paused"]["remedy"] == "podlease pool resume default"
    assert "leaves out node1, node2" in checks["nodes"]["finding"]
    assert checks["room"]["health"] == "wrong"
    assert "need 2 blocks of /26 on 2 nodes, and there will be 1" in checks["room"]["finding"]
    checks = plan(podlease, "--to", "172.22.0.0/27", status=TROUBLE)
    assert "smaller than a block" in checks["room"]["finding"]
    checks = plan(podlease, "--to", "10.244.0.0/16", status=TROUBLE)
    assert checks["overlap"]["health"] == "wrong"
    assert plan(podlease, "--to", NEW6, status=TROUBLE)["families"]["health"] == "warning"
    steps = podlease.json("migrate", "plan", "--to", NEW, status=TROUBLE)["next"]
    assert f"podlease pool drain default --cidr {OLD}" in steps


def test_a_plan_tells_what_may_not_be_seen(admin: Kubectl, with_rights: Callable[..., Podlease]):
    guest = with_rights("list podpools.podlease.io", "list podblocks.podlease.io")
    report = guest.json("migrate", "plan", "--to", NEW)
    warnings = " ".join(
        check["finding"] for check in report["checks"] if check["health"] == "warning"
    )
    for resource in ("nodes", "pods", "servicecidrs.networking.k8s.io", "cronjobs.batch"):
        assert f"not allowed to list {resource}" in warnings
    said = guest.refusal("migrate", "status", "--from", NEW)
    assert "not allowed to list pods" in said


# The reaper.


def seconds_ago(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))


def verdicts(podlease: Podlease, *arguments: str) -> dict[str, str]:
    found = podlease.json("gc", "--cluster", *arguments)
    return {each["block"]: each["verdict"] for each in found}


def test_blocks_of_a_node_that_is_gone_are_freed_after_the_grace(
    admin: Kubectl, podlease: Podlease
):
    admin.create(pool("default", [OLD], reapGrace="1h"))
    own_block(admin, "172.20.0.0/26", "node1", "default", used=3)
    admin.create(block("172.20.0.64/26", "gone", pool="default", status={"used": 2}))
    name = "172.20.0.64-26"

    assert verdicts(podlease, "--dry-run") == {name: "deleted"}
    assert "deletionTimestamp" not in admin.get("podblock", name)["metadata"]
    assert verdicts(podlease) == {name: "deleted"}
    assert verdicts(podlease) == {name: "missed"}
    assert verdicts(podlease) == {name: "still-missed"}
    metadata = admin.get("podblock", name)["metadata"]
    since, until_then = metadata["annotations"][GONE_SINCE].split()
    assert metadata["deletionTimestamp"] <= since <= until_then

    def marked(since: int, until_then: int) -> None:
        mark = f"{seconds_ago(since)} {seconds_ago(until_then)}"
        admin.patch("podblock", name, {"metadata": {"annotations": {GONE_SINCE: mark}}})

    marked(7200, 1200)  # not looked at for longer than a quarter of the grace: it may have been back
    assert verdicts(podlease) == {name: "missed"}
    marked(7200, 60)
    assert verdicts(podlease) == {name: "freed"}
    (left,) = admin.list("podblocks")
    assert left["metadata"]["name"] == "172.20.0.0-26"
    assert verdicts(podlease) == {}
    status = admin.get("podpool", "default")["status"]
    assert (status["blocks"], status["nodes"], status["used"]) == (1, 1, 3)
    assert status["capacity"] == 1024


def test_a_node_that_is_back_keeps_its_blocks(admin: Kubectl, podlease: Podlease):
    admin.create(pool("default", [OLD], reapGrace="1h"))
    own_block(admin, "172.20.0.0/26", "node1", "default")
    admin.delete("podblock", "172.20.0.0-26", wait=False)
    mark = {"metadata": {"annotations": {GONE_SINCE: f"{seconds_ago(7200)} {seconds_ago(9)}"}}}
    admin.patch("podblock", "172.20.0.0-26", mark)
    assert verdicts(podlease) == {"172.20.0.0-26": "back"}
    metadata = admin.get("podblock", "172.20.0.0-26")["metadata"]
    assert GONE_SINCE not in metadata.get("annotations", {})
    assert verdicts(podlease) == {}


def test_another_machine_of_the_same_name_does_not_keep_them(admin: Kubectl, podlease: Podlease):
    admin.create(pool("default", [OLD]), block("172.20.0.0/26", "node1", pool="default"))
    assert verdicts(podlease) == {"172.20.0.0-26": "deleted"}


def test_nothing_of_a_paused_pool_is_reaped(admin: Kubectl, podlease: Podlease):
    admin.create(pool("default", [OLD], paused=True))
    admin.create(block("172.20.0.0/26", "gone", pool="default"))
    assert verdicts(podlease) == {}


def test_blocks_of_a_node_that_is_known_to_be_dead_are_freed_at_once(
    admin: Kubectl, podlease: Podlease
):
    admin.create(pool("default", [OLD]))
    own_block(admin, "172.20.0.0/26", "node1", "default")
    admin.create(block("172.20.0.64/26", "gone", pool="default"))
    assert "Node node1 is Ready" in podlease.refusal("gc", "--cluster", "--node=node1", "--dead")
    assert "go together" in podlease.refusal("gc", "--cluster", "--node=gone")
    assert verdicts(podlease, "--node=gone", "--dead") == {"172.20.0.64-26": "freed"}
    (left,) = admin.list("podblocks")
    assert left["metadata"]["name"] == "172.20.0.0-26"


def test_the_reaper_is_told_what_it_may_not(with_rights: Callable[..., Podlease], admin: Kubectl):
    rights = ["list podpools.podlease.io", "list podblocks.podlease.io"]
    said = with_rights(*rights).refusal("gc", "--cluster")
    assert "not allowed to list nodes" in said
