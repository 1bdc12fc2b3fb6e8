"""PodPools, PodBlocks, and who may do what with them: what conf/kubernetes makes a real API server
accept, refuse, and say."""

import json
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import pytest
from lab import places, pools
from lab.cluster import Cluster, pod
from lab.control_plane import API
from lab.kubectl import Kubectl, KubectlError
from lab.pools import GONE_SINCE, IN_USE, NOT_ITS_OWN, block, name_of, pool
from lab.waiting import until

CIDR, CIDR6 = "172.20.0.0/16", "fd00:10::/48"
BLOCK, BLOCK6 = "172.20.3.64/26", "fd00:10:3::/122"
REAPER = "podlease-reaper"
FREE = {"metadata": {"finalizers": None}}


@pytest.fixture(scope="module", autouse=True)
def installed(session_cluster: Cluster) -> Iterator[None]:
    pools.install(session_cluster.kubectl)
    yield
    pools.remove(session_cluster.kubectl)


@pytest.fixture
def admin(session_cluster: Cluster) -> Iterator[Kubectl]:
    """No pool and no block is left by a test."""
    yield session_cluster.kubectl
    pools.clear(session_cluster.kubectl)


@pytest.fixture(scope="module")
def nodes(session_cluster: Cluster) -> dict[str, Kubectl]:
    """With the certificates that the kubelets have."""
    authority = session_cluster.control_plane.authority
    return {name: Kubectl(authority.kubeconfig(name, API)) for name in session_cluster.workers}


@pytest.fixture
def with_token(session_cluster: Cluster, tmp_path: Path) -> Callable[..., Kubectl]:
    """For a ServiceAccount, and options of `kubectl create token`."""

    def make(account: str, *options: str) -> Kubectl:
        token = session_cluster.kubectl("create", "token", account, *options)
        authority = session_cluster.control_plane.authority
        document = json.loads(authority.kubeconfig("admin", API).read_text())
        document["users"][0]["user"] = {"token": token}
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.kubeconfig"
        path.write_text(json.dumps(document))
        return Kubectl(path)

    return make


def refusal(what: Callable[..., Any], *arguments: Any, **more: Any) -> str:
    """What is said to somebody who tries."""
    with pytest.raises(KubectlError) as caught:
        what(*arguments, **more)
    return str(caught.value)


def dry_run(kubectl: Kubectl, item: dict) -> dict:
    """What it would be, once created."""
    options = ["--dry-run=server", "--output=json", "--filename=-"]
    return json.loads(kubectl("create", *options, stdin=json.dumps(item)))


def documents(kubectl: Kubectl, manifest: str) -> list[dict]:
    """What is written there, read by the parser that matters."""
    options = ["--dry-run=client", "--output=json", "--filename=-"]
    printed = kubectl("create", *options, stdin=manifest).strip()
    found = []
    while printed:
        document, end = json.JSONDecoder().raw_decode(printed)
        found.append(document)
        printed = printed[end:].strip()
    return found


def entry(cidr: str = CIDR, **more: Any) -> dict:
    return {"cidr": cidr, **more}


# The definitions.


@pytest.mark.parametrize("kind", ["podpools", "podblocks"])
def test_definitions_have_no_fault(admin: Kubectl, kind: str):
    """Among the conditions would be one for a schema that is not structural."""
    conditions = admin.get("crd", f"{kind}.podlease.io")["status"]["conditions"]
    assert {item["type"]: item["status"] for item in conditions} == {
        "NamesAccepted": "True",
        "Established": "True",
    }


def test_defaults_are_filled_in(admin: Kubectl):
    admin.create(pool("pods", [CIDR, CIDR6]))
    spec = admin.get("podpool", "pods")["spec"]
    assert spec == {
        "cidrs": [entry(state="Active"), entry(CIDR6, state="Active")],
        "blockSize": {"ipv4": 26, "ipv6": 122},
        "reapGrace": "6h",
        "paused": False,
    }


def test_every_field_is_explained(admin: Kubectl):
    def demand_descriptions(schema: dict, path: str) -> None:
        assert schema.get("description"), path
        for name, inner in schema.get("properties", {}).items():
            demand_descriptions(inner, f"{path}.{name}")
        for name, inner in schema.get("items", {}).get("properties", {}).items():
            demand_descriptions(inner, f"{path}[].{name}")

    for document in documents(admin, pools.CRDS.read_text()):
        (version,) = document["spec"]["versions"]
        kind = document["spec"]["names"]["kind"]
        demand_descriptions(version["schema"]["openAPIV3Schema"], kind)
    assert "Draining" in admin("explain", "podpool.spec.cidrs.state")


# What pools are refused and accepted.

GOOD_POOLS: dict[str, dict] = {
    "both families": pool("pods", [CIDR, CIDR6]),
    "as large as a block": pool("pods", ["172.20.0.64/26", "fd00:10::40/122"]),
    "neighbours": pool("pods", ["172.20.0.0/16", "172.21.0.0/16", "172.16.0.0/14"]),
    "sixteen": pool("pods", [f"172.20.{number}.0/24" for number in range(16)]),
    "one zero group": pool("pods", ["0:1::/48"]),
    "draining": pool("pods", [entry(state="Draining")]),
    "reserved": pool(
        "pods",
        [
            entry(reserved=["172.20.0.1", "172.20.8.0/24", CIDR]),
            entry(CIDR6, reserved=["fd00:10::1", "fd00:10:0:ff::/64"]),
        ],
    ),
    "sizes": pool("pods", [CIDR], blockSize={"ipv4": 26, "ipv6": 122}),
    "one size": pool("pods", [CIDR], blockSize={"ipv4": 26}),
    "least grace": pool("pods", [CIDR], reapGrace="10m"),
    "grace in parts": pool("pods", [CIDR], reapGrace="1h30m"),
    "paused": pool("pods", [CIDR], paused=True),
    "all nodes": pool("pods", [CIDR], nodeSelector={}),
    "some nodes": pool(
        "pods",
        [CIDR],
        nodeSelector={
            "matchLabels": {"kubernetes.io/os": "linux", "example.com/empty": ""},
            "matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["a", "b"]},
                {"key": "gpu", "operator": "DoesNotExist"},
                {"key": "rack", "operator": "Exists", "values": []},
            ],
        },
    ),
}


@pytest.mark.parametrize("name", GOOD_POOLS)
def test_a_pool_is_accepted(admin: Kubectl, name: str):
    dry_run(admin, GOOD_POOLS[name])


NOT_CANONICAL = "is not in canonical form"

# The pool, and what is said of it.
BAD_POOLS: dict[str, tuple[dict, list[str]]] = {
    "no CIDR": (pool("pods", []), ["spec.cidrs", "should have at least 1 items"]),
    "too many": (
        pool("pods", [f"172.20.{number}.0/24" for number in range(17)]),
        ["spec.cidrs: Too many: 17: must have at most 16 items"],
    ),
    "the same twice": (
        pool("pods", [CIDR, CIDR]),
        ['spec.cidrs[1]: Duplicate value: {"cidr":"172.20.0.0/16"}'],
    ),
    "no CIDR at all": (
        pool("pods", ["lots"]),
        ["spec.cidrs[0].cidr", "lots is not a CIDR, such as 172.20.0.0/16"],
    ),
    "an address": (pool("pods", ["172.20.0.0"]), ["spec.cidrs[0].cidr", "is not a CIDR"]),
    "host bits": (
        pool("pods", ["172.20.0.1/16"]),
        ["spec.cidrs[0].cidr", f"172.20.0.1/16 {NOT_CANONICAL}: clear the host bits"],
    ),
    "leading zero": (pool("pods", ["172.020.0.0/16"]), ["172.020.0.0/16 is not a CIDR"]),
    "upper case": (pool("pods", ["FD00:10::/48"]), [f"FD00:10::/48 {NOT_CANONICAL}"]),
    "long": (pool("pods", ["fd00:10:0::/48"]), [f"fd00:10:0::/48 {NOT_CANONICAL}"]),
    "IPv6 host bits": (pool("pods", ["fd00:10::1/48"]), [f"fd00:10::1/48 {NOT_CANONICAL}"]),
    "mapped": (pool("pods", ["::ffff:172.20.0.0/112"]), ["::ffff:172.20.0.0/112 is not a CIDR"]),
    "smaller than a block": (
        pool("pods", [CIDR, "172.21.0.0/27"]),
        ["spec.cidrs[1].cidr", "172.21.0.0/27 is smaller than a block, which is a /26"],
    ),
    "smaller than an IPv6 block": (
        pool("pods", ["fd00:10::/123"]),
        ["fd00:10::/123 is smaller than a block, which is a /122"],
    ),
    "nameless blocks": (
        pool("pods", ["::/122"]),
        ["spec.cidrs[0].cidr", "::/122 overlaps ::/32, where blocks cannot be named"],
    ),
    "some nameless blocks": (pool("pods", ["::/16"]), ["::/16 overlaps ::/32"]),
    "nameless blocks in the middle": (pool("pods", ["0:0:1::/48"]), ["0:0:1::/48 overlaps ::/32"]),
    "one in another": (
        pool("pods", ["172.20.3.0/24", CIDR, "fd00:10:0:3::/64"]),
        ["spec.cidrs", "one CIDR contains another, leave out one of the two"],
    ),
    "one in another of IPv6": (
        pool("pods", [CIDR6, "fd00:10:0:3::/64"]),
        ["spec.cidrs", "one CIDR contains another"],
    ),
    "unknown state": (
        pool("pods", [entry(state="Gone")]),
        ['spec.cidrs[0].state: Unsupported value: "Gone"', '"Active", "Draining"'],
    ),
    "reserved word": (
        pool("pods", [entry(reserved=["172.20.0.1", "gateway"])]),
        ["spec.cidrs[0].reserved[1]", "gateway is neither an address nor a CIDR"],
    ),
    "reserved host bits": (
        pool("pods", [entry(reserved=["172.20.0.1/24"])]),
        ["spec.cidrs[0].reserved[0]", f"172.20.0.1/24 {NOT_CANONICAL}"],
    ),
    "reserved address outside": (
        pool("pods", [entry(reserved=["172.21.0.1"])]),
        ["spec.cidrs[0]", "172.21.0.1 is reserved but not inside 172.20.0.0/16"],
    ),
    "reserved CIDR outside": (
        pool("pods", [CIDR6, entry(reserved=["172.20.0.1", "172.16.0.0/12"])]),
        ["spec.cidrs[1]", "172.16.0.0/12 is reserved but not inside 172.20.0.0/16"],
    ),
    "reserved of the other family": (
        pool("pods", [entry(reserved=["fd00:10::1"])]),
        ["fd00:10::1 is reserved but not inside 172.20.0.0/16"],
    ),
    "reserved twice": (
        pool("pods", [entry(reserved=["172.20.0.1", "172.20.0.1"])]),
        ["spec.cidrs[0].reserved[1]: Duplicate value"],
    ),
    "another size": (
        pool("pods", [CIDR], blockSize={"ipv4": 24}),
        ['spec.blockSize.ipv4: Unsupported value: 24: supported values: "26"'],
    ),
    "another IPv6 size": (
        pool("pods", [CIDR], blockSize={"ipv6": 120}),
        ['spec.blockSize.ipv6: Unsupported value: 120: supported values: "122"'],
    ),
    "short grace": (
        pool("pods", [CIDR], reapGrace="599s"),
        ["spec.reapGrace", "599s is shorter than 10m"],
    ),
    "grace that is none": (
        pool("pods", [CIDR], reapGrace="6 hours"),
        ["spec.reapGrace", "6 hours is not a duration, such as 6h"],
    ),
    "operator without values": (
        pool(
            "pods",
            [CIDR],
            nodeSelector={"matchExpressions": [{"key": "zone", "operator": "In"}]},
        ),
        ["spec.nodeSelector.matchExpressions[0]", "operator In of key zone needs values"],
    ),
    "operator with values": (
        pool(
            "pods",
            [CIDR],
            nodeSelector={
                "matchExpressions": [{"key": "zone", "operator": "Exists", "values": ["a"]}]
            },
        ),
        ["spec.nodeSelector.matchExpressions[0]", "operator Exists of key zone has no values"],
    ),
    "unknown operator": (
        pool(
            "pods",
            [CIDR],
            nodeSelector={"matchExpressions": [{"key": "zone", "operator": "Gt"}]},
        ),
        ['matchExpressions[0].operator: Unsupported value: "Gt"'],
    ),
    "no label value": (
        pool("pods", [CIDR], nodeSelector={"matchLabels": {"zone": "a b"}}),
        ["spec.nodeSelector.matchLabels.zone", '"a b"'],
    ),
    "unknown field": (pool("pods", [CIDR], pauzed=True), ['unknown field "spec.pauzed"']),
}


@pytest.mark.parametrize("name", BAD_POOLS)
def test_a_pool_is_refused(admin: Kubectl, name: str):
    item, words = BAD_POOLS[name]
    said = refusal(dry_run, admin, item)
    assert all(word in said for word in words), said


def test_a_cidr_leaves_a_pool_only_when_it_drains(admin: Kubectl):
    admin.apply(pool("pods", [CIDR, CIDR6]))
    for cidrs in ([CIDR6], [CIDR6, "172.20.0.0/17"]):
        said = refusal(admin.apply, pool("pods", cidrs))
        assert "spec.cidrs" in said and "an Active CIDR cannot be removed: set its state" in said

    draining = entry(state="Draining")
    for cidrs in ([draining, CIDR6], [CIDR, CIDR6], [draining, CIDR6], [CIDR6]):
        admin.apply(pool("pods", cidrs))
    assert [item["cidr"] for item in admin.get("podpool", "pods")["spec"]["cidrs"]] == [CIDR6]
    admin.apply(pool("pods", [CIDR, CIDR6], paused=True, reapGrace="1h"))
    admin.delete("podpool", "pods")


def test_the_numbers_of_a_pool_are_written_apart(admin: Kubectl):
    status = {"blocks": 3, "capacity": 1024, "nodes": 2, "used": 70}
    admin.create({**pool("pods", [CIDR]), "status": status})
    assert "status" not in admin.get("podpool", "pods")
    counted = {**status, "capacity": 2**63 - 1, "updatedAt": "2026-11-23T12:00:00Z"}
    write_pool_status(admin, "pods", counted)
    assert admin.get("podpool", "pods")["status"] == counted
    said = refusal(write_pool_status, admin, "pods", {"used": -1})
    assert "status.used" in said and "greater than or equal to 0" in said


def write_pool_status(kubectl: Kubectl, name: str, status: dict) -> None:
    """In one PATCH: `kubectl patch` would read first what not all may read."""
    counted = {**pool(name, [CIDR]), "status": status}
    options = ["--server-side", "--force-conflicts", "--subresource=status", "--filename=-"]
    kubectl("apply", *options, stdin=json.dumps(counted))


# What blocks are refused and accepted.


@pytest.mark.parametrize(
    "cidr, name",
    [
        (BLOCK, "172.20.3.64-26"),
        (BLOCK6, "fd00-10-3---122"),
        ("fd00:10::40/122", "fd00-10--40-122"),
        ("fd00:0:1:2:3:4:5:0/122", "fd00-0-1-2-3-4-5-0-122"),
        ("0:1::/122", "0-1---122"),
    ],
)
def test_a_block_is_named_after_its_cidr(admin: Kubectl, cidr: str, name: str):
    """Its status is written with it."""
    status = {"nodeIPs": ["192.168.10.101", "fd00::101"], "used": 1}
    status["verifiedAt"] = "2026-11-23T12:00:00Z"
    item = dry_run(admin, block(cidr, "node1", status=status, machineID=""))
    assert (item["metadata"]["name"], item["status"]) == (name, status)


def misnamed(cidr: str, name: str) -> dict:
    item = block(cidr, "node1")
    item["metadata"]["name"] = name
    return item


def without(field: str) -> dict:
    item = block(BLOCK, "node1")
    del item["spec"][field]
    return item


CLAIM = ["cidr", "pool", "nodeName", "nodeUID", "machineID", "claimID"]

BAD_BLOCKS: dict[str, tuple[dict, list[str]]] = {
    "another name": (
        misnamed(BLOCK, "172.20.3.0-26"),
        ["name 172.20.3.0-26 does not belong to 172.20.3.64/26: it has to be 172.20.3.64-26"],
    ),
    "another name of IPv6": (
        misnamed(BLOCK6, "fd00-10-3--0-122"),
        [f"it has to be {name_of(BLOCK6)}"],
    ),
    "larger": (
        block("172.20.3.0/24", "node1"),
        ["spec.cidr", "172.20.3.0/24 is not of the size of a block, which is a /26"],
    ),
    "smaller": (block("172.20.3.64/27", "node1"), ["172.20.3.64/27 is not of the size"]),
    "larger of IPv6": (
        block("fd00:10:3::/64", "node1"),
        ["fd00:10:3::/64 is not of the size of a block, which is a /122"],
    ),
    "host bits": (
        block("172.20.3.65/26", "node1"),
        ["spec.cidr", f"172.20.3.65/26 {NOT_CANONICAL}"],
    ),
    "IPv6 host bits": (
        block("fd00:10:3::1/122", "node1"),
        ["spec.cidr", f"fd00:10:3::1/122 {NOT_CANONICAL}"],
    ),
    "IPv6 in long": (
        block("fd00:10:3:0::/122", "node1"),
        ["spec.cidr", f"fd00:10:3:0::/122 {NOT_CANONICAL}"],
    ),
    "IPv6 in short where it is one group only": (
        block("fd00::1:2:3:4:5:0/122", "node1"),
        ["spec.cidr", f"fd00::1:2:3:4:5:0/122 {NOT_CANONICAL}"],
    ),
    "IPv6 in upper case": (
        misnamed("FD00:10:3::/122", name_of(BLOCK6)),
        ["spec.cidr", f"FD00:10:3::/122 {NOT_CANONICAL}"],
    ),
    "no CIDR": (block("lots", "node1"), ["spec.cidr", "lots is not a CIDR"]),
    "a name that is none": (block("::40/122", "node1"), ["metadata.name", "--40-122"]),
    "nobody's": (block(BLOCK, ""), ["spec.nodeName", "should be at least 1 chars long"]),
    "strange address": (
        block(BLOCK, "node1", status={"nodeIPs": ["192.168.10.101", "node1"]}),
        ["status.nodeIPs[1]", "node1 is not an address"],
    ),
    **{f"without {field}": (without(field), [f"spec.{field}", "Required"]) for field in CLAIM},
}


@pytest.mark.parametrize("name", BAD_BLOCKS)
def test_a_block_is_refused(admin: Kubectl, name: str):
    item, words = BAD_BLOCKS[name]
    said = refusal(dry_run, admin, item)
    assert all(word in said for word in words), said


def test_a_claim_never_changes(admin: Kubectl):
    admin.create(block(BLOCK, "node1"))
    name = name_of(BLOCK)
    for field in CLAIM:
        said = refusal(admin.patch, "podblock", name, {"spec": {field: "172.20.9.0/26"}})
        assert f"{field} differs, but a claim never changes" in said, said
    assert "spec" in refusal(admin.patch, "podblock", name, {"spec": None})
    admin.patch("podblock", name, {"status": {"used": 7}, "metadata": {"labels": {"a": "b"}}})
    assert admin.get("podblock", name)["status"]["used"] == 7


def test_one_claim_wins(admin: Kubectl):
    admin.create(block(BLOCK, "node1"))
    assert "AlreadyExists" in refusal(admin.create, block(BLOCK, "node2"))


# What operators see.


def test_tables_answer_the_first_questions(admin: Kubectl):
    admin.create(
        pool("pods", [entry(reserved=["172.20.0.1"]), entry(CIDR6, state="Draining")]),
        block(BLOCK, "node1", status={"used": 12, "verifiedAt": "2026-11-23T12:00:00Z"}),
    )
    write_pool_status(admin, "pods", {"blocks": 1, "capacity": 1024, "nodes": 1, "used": 12})
    admin.delete("podblock", name_of(BLOCK), wait=False)
    pool_table, block_table = admin("get", "pp,pb").strip().split("\n\n")

    header, row = (line.split() for line in pool_table.splitlines())
    assert header == "NAME BLOCKS CAPACITY NODES USED PAUSED AGE CIDRS".split()
    assert row[:6] == "podpool.podlease.io/pods 1 1024 1 12 false".split()
    cidrs = json.loads(row[7])
    assert [(each["cidr"], each["state"]) for each in cidrs] == [
        (CIDR, "Active"),
        (CIDR6, "Draining"),
    ]

    header, row = (line.split() for line in block_table.splitlines())
    assert header == "NAME POOL NODE USED VERIFIED ENDING AGE".split()
    assert row[:4] == f"podblock.podlease.io/{name_of(BLOCK)} pods node1 12".split()
    assert len(row) == len(header), row  # it is ending

    names = ["podblock.podlease.io/172.20.3.64-26", "podpool.podlease.io/pods"]
    assert sorted(admin("get", "podlease", "--output=name").split()) == names
    for column in ("COUNTED", "REAP-GRACE", "NODE-IPS", "MACHINE"):
        assert column in admin("get", "podlease", "--output=wide")


def test_blocks_are_selected_by_node_and_pool(admin: Kubectl):
    admin.create(
        block(BLOCK, "node1"), block(BLOCK6, "node1", pool="six"), block("172.20.4.0/26", "node2")
    )

    def selected(selector: str) -> set[str]:
        found = admin("get", "podblocks", f"--field-selector={selector}", "--output=name")
        return {name.split("/")[1] for name in found.split()}

    assert selected("spec.nodeName=node1") == {name_of(BLOCK), name_of(BLOCK6)}
    assert selected("spec.nodeName=node2") == {"172.20.4.0-26"}
    assert selected("spec.pool=six") == {name_of(BLOCK6)}
    assert selected("spec.nodeName=node1,spec.pool=pods") == {name_of(BLOCK)}


# Who may do what.


def live_through(kubectl: Kubectl, cidr: str, node: str) -> None:
    """All that a node does with a block of its own, with these credentials."""
    name = name_of(cidr)
    kubectl.create(block(cidr, node))
    kubectl.patch("podblock", name, {"status": {"used": 1, "verifiedAt": "2026-11-23T12:00:00Z"}})
    item = kubectl.get("podblock", name)
    assert item["status"]["used"] == 1
    item["status"]["used"] = 2
    kubectl("replace", "--filename=-", stdin=json.dumps(item))
    kubectl.delete("podblock", name, wait=False)
    assert "deletionTimestamp" in kubectl.get("podblock", name)["metadata"]
    kubectl.patch("podblock", name, FREE)
    assert "NotFound" in refusal(kubectl.get, "podblock", name)


def demand_powerless(kubectl: Kubectl, cidr: str, node: str, admin: Kubectl) -> None:
    """With these credentials nothing can be done to blocks of this other node, of which this is
    the CIDR of one."""
    name = name_of(cidr)
    before = admin.get("podblock", name)
    free = "172.20.99.0/26"

    def replace() -> None:
        item = {**before, "status": {"used": 99}}
        kubectl("replace", "--filename=-", stdin=json.dumps(item))

    attempts: dict[str, tuple[Callable[[], Any], str]] = {
        "claim in its name": (lambda: kubectl.create(block(free, node)), name_of(free)),
        "write": (lambda: kubectl.patch("podblock", name, {"status": {"used": 99}}), name),
        "replace": (replace, name),
        "free": (lambda: kubectl.patch("podblock", name, FREE), name),
        "delete": (lambda: kubectl.delete("podblock", name, wait=False), name),
        "delete each": (lambda: kubectl.delete("podblocks", wait=False), name),
    }
    for what, (attempt, named) in attempts.items():
        said = refusal(attempt)
        why = f'{NOT_ITS_OWN}, and {named} is of node "{node}"'
        assert "Forbidden" in said or "forbidden" in said, (what, said)
        assert why in said, (what, said)
    collection = "/apis/podlease.io/v1alpha1/podblocks"
    said = refusal(kubectl, "delete", f"--raw={collection}")
    assert 'cannot deletecollection resource "podblocks"' in said, said
    said = refusal(kubectl.patch, "podblock", name, {"spec": {"nodeName": "node1"}})
    assert "nodeName differs, but a claim never changes" in said, said
    assert admin.get("podblock", name) == before
    assert "NotFound" in refusal(admin.get, "podblock", name_of(free))


def demand_pools_read_only(kubectl: Kubectl, admin: Kubectl) -> None:
    admin.apply(pool("pods", [CIDR]))
    assert kubectl.get("podpool", "pods") in kubectl.list("podpools")
    attempts: dict[str, Callable[[], Any]] = {
        "create": lambda: kubectl.create(pool("more", ["172.30.0.0/16"])),
        "patch": lambda: kubectl.patch("podpool", "pods", {"spec": {"paused": True}}),
        "delete": lambda: kubectl.delete("podpool", "pods", wait=False),
    }
    for verb, attempt in attempts.items():
        said = refusal(attempt)
        assert "Forbidden" in said and f'cannot {verb} resource "podpools"' in said, said
    said = refusal(kubectl, "delete", "--raw=/apis/podlease.io/v1alpha1/podpools")
    assert 'cannot deletecollection resource "podpools"' in said, said


def test_a_node_has_its_own_blocks(admin: Kubectl, nodes: dict[str, Kubectl]):
    for name, node in nodes.items():
        live_through(node, BLOCK, name)
        live_through(node, BLOCK6, name)


def test_a_stolen_certificate_gives_no_others_blocks(admin: Kubectl, nodes: dict[str, Kubectl]):
    nodes["node2"].create(block(BLOCK, "node2"))
    demand_powerless(nodes["node1"], BLOCK, "node2", admin)
    # Not while it is ending either.
    nodes["node2"].delete("podblock", name_of(BLOCK), wait=False)
    said = refusal(nodes["node1"].patch, "podblock", name_of(BLOCK), FREE)
    assert f"{NOT_ITS_OWN}, and {name_of(BLOCK)}" in said, said
    nodes["node2"].patch("podblock", name_of(BLOCK), FREE)

    own = "172.20.5.0/26"
    nodes["node1"].create(block(own, "node1"))
    gift = {"spec": {"nodeName": "node2"}}
    assert "differs" in refusal(nodes["node1"].patch, "podblock", name_of(own), gift)


def test_nodes_only_read_pools(admin: Kubectl, nodes: dict[str, Kubectl]):
    demand_pools_read_only(nodes["node1"], admin)
    said = refusal(write_pool_status, nodes["node1"], "pods", {"used": 99})
    assert 'cannot patch resource "podpools/status"' in said, said


def test_a_node_without_a_name_has_no_block(admin: Kubectl):
    """Such a certificate should not be, but could."""
    someone = ["--as=someone", "--as-group=system:nodes", "--filename=-"]
    said = refusal(admin, "create", *someone, stdin=json.dumps(block(BLOCK, "node1")))
    assert f'node "" {NOT_ITS_OWN}' in said, said


@pytest.fixture
def agent(session_cluster: Cluster) -> Iterator[str]:
    """A ServiceAccount for podlease on nodes, where the kubelet's certificate is not wanted."""
    kubectl = session_cluster.kubectl
    kubectl("create", "serviceaccount", "agent")
    binding = ["--clusterrole=podlease-node", "--serviceaccount=default:agent"]
    kubectl("create", "clusterrolebinding", "podlease-agent", *binding)
    yield "agent"
    kubectl.delete("clusterrolebinding", "podlease-agent")
    kubectl.delete("serviceaccount", "agent")


def bound_to(admin: Kubectl, kind: str, name: str) -> list[str]:
    """Options for a token that ends with this object, and names its node."""
    uid = admin.get(kind, name)["metadata"]["uid"]
    bound = {"kind": kind, "name": name, "uid": uid}
    return [f"--bound-object-{key}={value}" for key, value in bound.items()]


@pytest.mark.parametrize("kind", ["Node", "Pod"])
def test_a_token_of_a_node_is_held_to_the_same(
    admin: Kubectl,
    agent: str,
    with_token: Callable[..., Kubectl],
    cluster: Cluster,
    kind: str,
):
    name = "node1"
    if kind == "Pod":
        name = "agent"
        admin.create(pod(name, node="node1", serviceAccountName=agent))
        until("a place", lambda: admin.get("pod", name)["spec"].get("nodeName") == "node1")
    token = with_token(agent, *bound_to(admin, kind, name))
    live_through(token, BLOCK, "node1")
    admin.create(block(BLOCK, "node2"))
    demand_powerless(token, BLOCK, "node2", admin)
    demand_pools_read_only(token, admin)


@pytest.mark.parametrize("bound", [False, True])
def test_the_reaper_frees_and_changes_nothing(
    admin: Kubectl, with_token: Callable[..., Kubectl], bound: bool
):
    """Its job's token is bound to a pod, and so tells of a node."""
    options = bound_to(admin, "Node", "node1") if bound else []
    reaper = with_token(REAPER, "--namespace=kube-system", *options)
    name = name_of(BLOCK)
    admin.create(pool("pods", [CIDR]), block(BLOCK, "node2", status={"used": 5}))

    changes: list[dict] = [
        {"status": {"used": 0}},
        {"status": None},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"a": "b"}}},
        {"metadata": {"finalizers": None}, "status": {"nodeIPs": ["192.168.10.1"]}},
    ]
    for change in changes:
        said = refusal(reaper.patch, "podblock", name, change)
        assert "Forbidden" in said or "forbidden" in said, said
        assert "removes their finalizers, and changes nothing else of them" in said
    for mark in ("since when its node is gone", None):
        reaper.patch("podblock", name, {"metadata": {"annotations": {GONE_SINCE: mark}}})
    said = refusal(reaper.patch, "podblock", name, {"spec": {"nodeName": "node1"}})
    assert "nodeName differs" in said, said
    said = refusal(reaper.create, block("172.20.9.0/26", "node1"))
    assert 'cannot create resource "podblocks"' in said, said
    said = refusal(reaper, "delete", "--raw=/apis/podlease.io/v1alpha1/podblocks")
    assert 'cannot deletecollection resource "podblocks"' in said, said
    said = refusal(reaper.patch, "podpool", "pods", {"spec": {"paused": True}})
    assert 'cannot patch resource "podpools"' in said, said
    assert 'cannot delete resource "nodes"' in refusal(reaper.delete, "node", "node2", wait=False)

    assert {item["metadata"]["name"] for item in reaper.list("nodes")} == {"node1", "node2"}
    assert reaper.get("node", "node1") and reaper.get("podpool", "pods")
    write_pool_status(reaper, "pods", {"blocks": 1})
    reaper.delete("podblock", name, wait=False)
    ending = reaper.get("podblock", name)
    assert "deletionTimestamp" in ending["metadata"] and ending["status"]["used"] == 5
    reaper.patch("podblock", name, FREE)
    assert reaper.list("podblocks") == []


def test_administrators_may_repair_anything(admin: Kubectl):
    admin.create(block(BLOCK, "node1"))
    admin.patch("podblock", name_of(BLOCK), {"status": {"used": 0}, **FREE})
    assert IN_USE not in admin("get", "podblocks", "--output=yaml")
    admin("delete", "--raw=/apis/podlease.io/v1alpha1/podblocks")
    assert admin.list("podblocks") == []


def test_the_reaper_job_is_accepted(admin: Kubectl):
    """Nothing pulls its image here."""
    manifest = places.ROOT / "conf/kubernetes/reaper.yaml"
    options = ["--dry-run=server", "--output=json", f"--filename={manifest}"]
    job = json.loads(admin("create", *options))
    account = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["serviceAccountName"]
    assert account == REAPER
    assert admin("get", "serviceaccount", account, "--namespace=kube-system")


# podlease crds


def crds(*arguments: object) -> subprocess.CompletedProcess:
    command = [places.podlease(), "crds", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_prints_the_file(admin: Kubectl):
    assert crds().stdout == pools.CRDS.read_text()


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items: Optional[Any] = None
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    if items is None:
        yield path, value
    else:
        for key, inner in items:
            yield from leaves(inner, f"{path}.{key}")


def test_other_sizes_change_nothing_else(admin: Kubectl):
    """Numbers are replaced in a text, so that each place is counted."""
    texts = [crds().stdout, crds("--ipv4-block", 25, "--ipv6-block", 120).stdout]
    before, after = ([dict(leaves(item)) for item in documents(admin, text)] for text in texts)
    assert len(before) == 2
    changed = [
        (path.rsplit(".", 1)[1] if "." in path else path, old, new[path])
        for one, new in zip(before, after)
        for path, old in one.items()
        if old != new[path]
    ]
    assert [set(item) for item in before] == [set(item) for item in after]
    values = [(old, new) for _, old, new in changed if isinstance(old, int)]
    assert values == [(26, 25), (26, 25), (122, 120), (122, 120)]  # enum and default
    rules = [(old, new) for key, old, new in changed if key == "rule"]
    assert len(rules) == 2
    assert all("? 26 : 122" in old and "? 25 : 120" in new for old, new in rules), rules
    texts = [(key, new) for key, old, new in changed if isinstance(old, str) and key != "rule"]
    assert {key for key, _ in texts} <= {"message", "messageExpression", "description"}
    assert all("26" not in new and "122" not in new for _, new in texts), texts


def test_other_sizes_are_enforced(admin: Kubectl):
    printed = crds("--ipv4-block=25", "--ipv6-block=120").stdout
    admin("apply", "--server-side", "--filename=-", stdin=printed)
    try:

        def sizes() -> dict:
            return dry_run(admin, pool("pods", [CIDR]))["spec"]["blockSize"]

        until("other sizes", lambda: sizes() == {"ipv4": 25, "ipv6": 120}, 20)
        dry_run(admin, block("172.20.3.0/25", "node1"))
        dry_run(admin, block("fd00:10:3::/120", "node1"))
        assert "which is a /25" in refusal(dry_run, admin, block(BLOCK, "node1"))
        assert "which is a /120" in refusal(dry_run, admin, block(BLOCK6, "node1"))
        said = refusal(dry_run, admin, pool("pods", [CIDR], blockSize={"ipv4": 26}))
        assert 'spec.blockSize.ipv4: Unsupported value: 26: supported values: "25"' in said
        assert "which is a /25" in refusal(dry_run, admin, pool("pods", ["172.20.0.0/26"]))
    finally:
        pools.install(admin)


@pytest.mark.parametrize("sizes", [(16, 64), (30, 126)])
def test_the_largest_and_smallest_sizes_are_accepted(admin: Kubectl, sizes: tuple[int, int]):
    printed = crds("--ipv4-block", sizes[0], "--ipv6-block", sizes[1])
    admin("apply", "--server-side", "--dry-run=server", "--filename=-", stdin=printed.stdout)


@pytest.mark.parametrize(
    "option, length, said",
    [
        ("--ipv4-block", 15, "an IPv4 block cannot be a /15"),
        ("--ipv4-block", 31, "an IPv4 block cannot be a /31"),
        ("--ipv6-block", 63, "an IPv6 block cannot be a /63"),
        ("--ipv6-block", 127, "an IPv6 block cannot be a /127"),
        ("--ipv4-block", "wide", "wide"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(option: str, length: object, said: str):
    done = crds(option, length)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert said in done.stderr, done
