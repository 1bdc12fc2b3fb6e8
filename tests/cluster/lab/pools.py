"""PodPools and PodBlocks: the manifests that administrators apply, and objects of these kinds."""

import json
from typing import Any, Optional, Sequence, Union

from lab import places
from lab.kubectl import Kubectl, KubectlError
from lab.waiting import until

VERSION = "podlease.io/v1alpha1"
IN_USE = "podlease.io/in-use"
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


def install(kubectl: Kubectl) -> None:
    """Applies the manifests, and returns when the API server acts upon all of them."""
    kubectl("apply", "--server-side", f"--filename={CRDS}", f"--filename={RBAC}")
    for kind in ("podpools", "podblocks"):
        established = ["--for=condition=Established", "--timeout=30s"]
        kubectl("wait", "crd", f"{kind}.podlease.io", *established)
    kubectl("api-resources", "--api-group=podlease.io", "--cached=false")
    until("roles and policy in force", lambda: NOT_ITS_OWN in _refusal_of_a_theft(kubectl))


def _refusal_of_a_theft(kubectl: Kubectl) -> str:
    """Has passed definitions and roles before the policy speaks. Changes nothing."""
    thief = ["--dry-run=server", "--as=system:node:thief", "--as-group=system:nodes"]
    theft = json.dumps(block("192.0.2.0/26", "victim"))
    try:
        kubectl("create", "--filename=-", *thief, stdin=theft)
    except KubectlError as error:
        return str(error)
    return ""


def clear(kubectl: Kubectl) -> None:
    """Removes all blocks and pools, whoever holds them."""
    for kind in ("podblocks", "podpools"):
        kubectl.delete(kind, wait=False)
        for item in kubectl.list(kind):
            if item["metadata"].get("finalizers"):
                _unhold(kubectl, kind, item["metadata"]["name"])
        until(f"no {kind}", lambda: not kubectl.list(kind))


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
