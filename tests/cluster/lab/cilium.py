"""CiliumNodes without Cilium: an API server that knows their kind, and the objects that Cilium's
operator would fill. No more of the schema than where addresses are."""

from contextlib import contextmanager
from typing import Any, Iterator

from lab.kubectl import Kubectl

STRING = {"type": "string"}
STRINGS = {"type": "array", "items": STRING}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(**properties: Any) -> dict[str, Any]:
    return {"type": "array", "items": _object(**properties)}


def _map(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": _object(**properties)}


IPAM = _object(
    podCIDRs=STRINGS,
    pool=_map(owner=STRING, resource=STRING),
    pools=_object(allocated=_list(pool=STRING, cidrs=STRINGS), requested=_list(pool=STRING)),
)
STATUS = _object(ipam=_object(used=_map(owner=STRING, resource=STRING)))

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "ciliumnodes.cilium.io"},
    "spec": {
        "group": "cilium.io",
        "scope": "Cluster",
        "names": {
            "kind": "CiliumNode",
            "listKind": "CiliumNodeList",
            "plural": "ciliumnodes",
            "singular": "ciliumnode",
            "shortNames": ["cn", "ciliumn"],
        },
        "versions": [
            {
                "name": "v2",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": _object(spec=_object(ipam=IPAM), status=STATUS)},
            }
        ],
    },
}

ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "podlease-ciliumnodes"},
    "rules": [{"apiGroups": ["cilium.io"], "resources": ["ciliumnodes"], "verbs": ["get"]}],
}
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "podlease-ciliumnodes"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "podlease-ciliumnodes",
    },
    "subjects": [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}
    ],
}


@contextmanager
def installed(kubectl: Kubectl) -> Iterator[None]:
    kubectl.create(DEFINITION, ROLE, BINDING)
    established = ["--for=condition=Established", "--timeout=30s"]
    kubectl("wait", "crd", "ciliumnodes.cilium.io", *established)
    yield
    kubectl.delete("crd", "ciliumnodes.cilium.io")
    for kind in ("clusterrolebinding", "clusterrole"):
        kubectl.delete(kind, "podlease-ciliumnodes")


@contextmanager
def node(kubectl: Kubectl, name: str, ipam: dict[str, Any]) -> Iterator[None]:
    metadata = {"name": name}
    spec = {"ipam": ipam}
    kubectl.create(
        {"apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": metadata, "spec": spec}
    )
    yield
    kubectl.delete("ciliumnode", name)
