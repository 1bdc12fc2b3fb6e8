"""PodPools and PodBlocks: the manifests that administrators apply, and objects of these kinds."""

import json
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from threading import Thread
from typing import Any, Iterator, Optional, Sequence, Union

import pytest

from lab import places
from lab.cluster import Cluster
from lab.kubectl import Kubectl, KubectlError
from lab.waiting import until
from lab.worker import Worker

VERSION = "podlease.io/v1alpha1"
IN_USE = "podlease.io/in-use"
GONE_SINCE = "podlease.io/node-gone-since"
CRDS = places.ROOT / "conf/kubernetes/crds.yaml"
RBAC = places.ROOT / "conf/kubernetes/rbac.yaml"

# What the policy says to a node that changes a block of another.
NOT_ITS_OWN = "changes only its own blocks"


def name_of(cidr: str) -> str:
    """Of the block that is this CIDR."""
    return cidr.replace(":", "-").replace("/", "-")


def pool(name: str, cidrs: Sequence[Union[str, dict]], **spec: Any) -> dict:
    """A CIDR is a text, or an entry with its state and what is reserved."""
    entries = [{"cidr": cidr} if isinstance(cidr, str) else cidr for cidr in cidrs]
    metadata = {"name": name}
    spec = {"cidrs": entries, **spec}
    return {"apiVersion": VERSION, "kind": "PodPool", "metadata": metadata, "spec": spec}


def block(cidr: str, node: str, status: Optional[dict] = None, **spec: Any) -> dict:
    """As the node claims it."""
    claim = {
        "cidr": cidr,
        "pool": "pods",
        "nodeName": node,
        "nodeUID": f"uid-of-{node}",
        "machineID": f"machine-of-{node}",
        "claimID": "a-claim",
    }
    return {
        "apiVersion": VERSION,
        "kind": "PodBlock",
        "metadata": {"name": name_of(cidr), "finalizers": [IN_USE]},
        "spec": {**claim, **spec},
        "status": {"nodeIPs": [], "used": 0, **(status or {})},
    }


def install(kubectl: Kubectl, crds: Path = CRDS, ipv4_block: int = 26) -> None:
    """Applies the manifests, and returns when the API server acts upon all of them. `ipv4_block` is
    the size of blocks in `crds`."""
    kubectl("apply", "--server-side", f"--filename={crds}", f"--filename={RBAC}")
    for kind in ("podpools", "podblocks"):
        established = ["--for=condition=Established", "--timeout=30s"]
        kubectl("wait", "crd", f"{kind}.podlease.io", *established)
    kubectl("api-resources", "--api-group=podlease.io", "--cached=false")
    loot = block(f"192.0.2.0/{ipv4_block}", "victim")
    until("roles and policy in force", lambda: NOT_ITS_OWN in _refusal_of_a_theft(kubectl, loot))


def is_installed(kubectl: Kubectl) -> bool:
    """All of it."""
    files = [f"--filename={CRDS}", f"--filename={RBAC}"]
    try:
        return bool(kubectl("get", "--output=name", *files))
    except KubectlError as error:
        assert "NotFound" in str(error), error
        return False


def _refusal_of_a_theft(kubectl: Kubectl, loot: dict) -> str:
    """Has passed definitions and roles before the policy speaks. Changes nothing."""
    thief = ["--dry-run=server", "--as=system:node:thief", "--as-group=system:nodes"]
    try:
        kubectl("create", "--filename=-", *thief, stdin=json.dumps(loot))
    except KubectlError as error:
        return str(error)
    return ""


def clear(kubectl: Kubectl) -> None:
    """Removes all blocks and pools, whoever holds them."""
    clear_blocks(kubectl)
    kubectl.delete("podpools")


def clear_blocks(kubectl: Kubectl) -> None:
    """By force: who holds them is not asked."""
    kubectl.delete("podblocks", wait=False)
    for item in kubectl.list("podblocks"):
        if item["metadata"].get("finalizers"):
            _unhold(kubectl, "podblocks", item["metadata"]["name"])
    until("no blocks", lambda: not kubectl.list("podblocks"))


def _unhold(kubectl: Kubectl, kind: str, name: str) -> None:
    try:
        kubectl.patch(kind, name, {"metadata": {"finalizers": None}})
    except KubectlError as error:
        if "NotFound" not in str(error):  # its holder was faster
            raise


def remove(kubectl: Kubectl) -> None:
    """Undoes `install`, with all objects of these kinds."""
    if kubectl("get", "crd", "podblocks.podlease.io", "--ignore-not-found"):
        clear(kubectl)
    kubectl("delete", "--ignore-not-found", f"--filename={CRDS}", f"--filename={RBAC}")


@pytest.fixture
def pooled(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster with the definitions, and no pool. The definitions stay: installing takes long."""
    if not is_installed(cluster.kubectl):
        install(cluster.kubectl)
    try:
        yield cluster
    finally:
        clear(cluster.kubectl)


@dataclass
class Block:
    """As the API has it."""

    name: str
    uid: str
    cidr: str
    pool: str
    node: str
    claim: str
    node_ips: list[str]
    ending: bool

    @staticmethod
    def of(item: dict) -> "Block":
        spec, metadata = item["spec"], item["metadata"]
        return Block(
            name=metadata["name"],
            uid=metadata["uid"],
            cidr=spec["cidr"],
            pool=spec["pool"],
            node=spec["nodeName"],
            claim=spec["claimID"],
            node_ips=item.get("status", {}).get("nodeIPs", []),
            ending="deletionTimestamp" in metadata,
        )

    @property
    def family(self) -> int:
        return ip_network(self.cidr).version


def blocks(cluster: Cluster, node: str = "") -> list[Block]:
    """All, or those of a node."""
    found = map(Block.of, cluster.kubectl.list("podblocks"))
    return [each for each in found if node in ("", each.node)]


# What a watch prints of each event: a line.
EVENT = '{.type} {.object.spec.cidr} {.object.spec.nodeName} {.object.status.nodeIPs}{"\\n"}'


class Router:
    """Lays routes between the nodes by the PodBlocks, as soon as there are any: what a routing
    daemon or a cloud's controller does, in a few lines."""

    def __init__(self, cluster: Cluster) -> None:
        self._workers = cluster.workers
        self._laid: set[tuple[str, str]] = set()
        self._watch = cluster.kubectl.spawn(
            "get", "podblocks", "--watch", "--output-watch-events", f"--output=jsonpath={EVENT}"
        )
        self._thread = Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """And takes all routes up again."""
        self._watch.kill()
        self._watch.wait()
        self._thread.join()
        for name, cidr in self._laid:
            self._workers[name].run("ip", "route", "del", cidr, check=False)

    def _follow(self) -> None:
        for line in self._watch.stdout:
            kind, cidr, owner, addresses = line.split(" ", 3)
            for name, worker in self._workers.items():
                if name != owner:
                    self._route(kind, worker, cidr, json.loads(addresses))

    def _route(self, kind: str, worker: Worker, cidr: str, addresses: list[str]) -> None:
        if kind == "DELETED":
            worker.run("ip", "route", "del", cidr, check=False)
            self._laid.discard((worker.name, cidr))
            return
        version = ip_network(cidr).version
        (via,) = (each for each in addresses if ip_network(each).version == version)
        worker.run("ip", "route", "replace", cidr, "via", via)
        self._laid.add((worker.name, cidr))


@contextmanager
def routes(cluster: Cluster) -> Iterator[Router]:
    router = Router(cluster)
    try:
        yield router
    finally:
        router.stop()


# As `ip route` marks those of `podlease routes`.
OWN_PROTOCOL = 112


def own_routes(worker: Worker) -> dict[str, str]:
    """Of podlease, in the kernel: destination and gateway."""
    found = {}
    for family in ("-4", "-6"):
        text = worker.run("ip", family, "-json", "route", "show", "proto", OWN_PROTOCOL).stdout
        for route in json.loads(text or "[]"):
            if "dst" in route:
                found[route["dst"]] = route["gateway"]
    return found


def flush_routes(worker: Worker, *protocols: int) -> None:
    for protocol in protocols:
        for family in ("-4", "-6"):
            worker.run("ip", family, "route", "flush", "proto", protocol, check=False)
