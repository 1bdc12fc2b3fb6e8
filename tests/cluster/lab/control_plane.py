"""etcd, API server, controllers and scheduler, in the network namespace of the tests."""

import ipaddress
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

from lab import places
from lab.api import Api, Place, flags
from lab.daemon import Daemon

BRIDGE = "br-lab"
ADDRESS = ipaddress.ip_interface("192.168.10.10/24")
ADDRESS6 = ipaddress.ip_interface("fd00:10::10/64")
PLACE = Place(str(ADDRESS.ip), port=6443, etcd=2379)
API = PLACE.url

# How the controller manager assigns CIDRs to nodes.
POD_CIDRS = {
    "allocate-node-cidrs": "true",
    "cluster-cidr": "10.244.0.0/16",
    "node-cidr-mask-size": "24",
}
DUAL_STACK_POD_CIDRS = {
    "allocate-node-cidrs": "true",
    "cluster-cidr": "10.244.0.0/16,fd00:10:244::/48",
    "node-cidr-mask-size-ipv4": "24",
    "node-cidr-mask-size-ipv6": "64",
}
NO_POD_CIDRS = {"allocate-node-cidrs": "false"}

CONTROLLERS = [
    "deployment-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "serviceaccount-controller",
]

# Only the reading of nodes is of interest: who asked for which, how often.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "verbs": ["get"],
            "userGroups": ["system:nodes"],
            "resources": [
                {"group": "", "resources": ["nodes"]},
                {"group": "cilium.io", "resources": ["ciliumnodes"]},
            ],
        },
        {"level": "None"},
    ],
}


@dataclass
class Read:
    """A GET of an object by a node's identity."""

    user: str
    agent: str
    resource: str
    name: str
    status: int


class ControlPlane(Api):
    """Starts in order, each when what it needs answers, and ends in the opposite order."""

    def __init__(self, folder: Path) -> None:
        policy, self._audit = folder / "audit-policy.json", folder / "audit.log"
        hosts = [f"IP:{ADDRESS6.ip}"]
        super().__init__(folder, PLACE, hosts, audit_policy_file=policy, audit_log_path=self._audit)
        policy.write_text(json.dumps(AUDIT_POLICY))
        programs = places.peers("kubernetes")
        self._controller_manager = programs / "kube-controller-manager"
        self._controllers = flags(
            kubeconfig=self.sign("controller-manager", "system:kube-controller-manager"),
            service_account_private_key_file=self.authority.service_account_key,
            root_ca_file=self.authority.certificate,
            use_service_account_credentials="true",
            controllers=",".join(CONTROLLERS),
            leader_elect="false",
            secure_port=0,
        )
        self.controller_manager = Daemon("kube-controller-manager", folder, [])
        kubeconfig = self.sign("scheduler", "system:kube-scheduler")
        scheduler = flags(kubeconfig=kubeconfig, leader_elect="false", secure_port=0)
        self.scheduler = Daemon("kube-scheduler", folder, [programs / "kube-scheduler", *scheduler])
        self._pod_cidrs: dict[str, str] = {}

    def start(self) -> None:
        link = f"""
            link add {BRIDGE} type bridge
            address add {ADDRESS} dev {BRIDGE}
            address add {ADDRESS6} dev {BRIDGE} nodad
            link set {BRIDGE} up"""
        subprocess.run(["ip", "-batch", "-"], input=link, text=True, check=True)
        super().start()
        self.use_pod_cidrs(POD_CIDRS)
        self.scheduler.start()

    def stop(self) -> None:
        super().stop()
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, stderr=subprocess.DEVNULL)

    def use_pod_cidrs(self, how: dict[str, str]) -> None:
        """Lets the controller manager assign CIDRs to nodes in this way from now on."""
        if how == self._pod_cidrs:
            return
        self.controller_manager.stop()
        pod_cidrs = [f"--{name}={value}" for name, value in how.items()]
        self.controller_manager.command = [self._controller_manager, *self._controllers, *pod_cidrs]
        self.controller_manager.start()
        self._pod_cidrs = how

    def reads(self) -> Iterator[Read]:
        """All that nodes read of nodes, by the server's own log."""
        for line in self._audit.read_text().splitlines():
            event = json.loads(line)
            what: dict[str, Any] = event["objectRef"]
            yield Read(
                event["user"]["username"],
                event["userAgent"],
                what["resource"],
                what["name"],
                event["responseStatus"]["code"],
            )

    def _daemons(self) -> list[Daemon]:
        return [self.scheduler, self.controller_manager, *super()._daemons()]
