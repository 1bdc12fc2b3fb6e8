"""etcd, API server, controllers and scheduler, in the network namespace of the tests."""

import ipaddress
import json
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

from lab import places
from lab.daemon import Daemon
from lab.kubectl import Kubectl
from lab.pki import Authority
from lab.waiting import until

BRIDGE = "br-lab"
ADDRESS = ipaddress.ip_interface("192.168.10.10/24")
ADDRESS6 = ipaddress.ip_interface("fd00:10::10/64")
API = f"https://{ADDRESS.ip}:6443"
ETCD = "http://127.0.0.1:2379"
ETCD_PEERS = "http://127.0.0.1:2380"
SERVICES = "10.96.0.0/16"

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


def flags(**values: object) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


class ControlPlane:
    """Starts in order, each when what it needs answers, and ends in the opposite order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.authority = Authority(folder / "pki")
        self._audit = folder / "audit.log"
        programs = places.peers("kubernetes")
        self._controller_manager = programs / "kube-controller-manager"
        kubeconfigs = self._sign()
        self.kubectl = Kubectl(kubeconfigs["admin"])
        self.etcd = Daemon("etcd", folder, self._etcd())
        self.api_server = Daemon("kube-apiserver", folder, self._api_server(programs))
        self._controllers = flags(
            kubeconfig=kubeconfigs["controller-manager"],
            service_account_private_key_file=self.authority.service_account_key,
            root_ca_file=self.authority.certificate,
            use_service_account_credentials="true",
            controllers=",".join(CONTROLLERS),
            leader_elect="false",
            secure_port=0,
        )
        self.controller_manager = Daemon("kube-controller-manager", folder, [])
        scheduler = flags(kubeconfig=kubeconfigs["scheduler"], leader_elect="false", secure_port=0)
        self.scheduler = Daemon("kube-scheduler", folder, [programs / "kube-scheduler", *scheduler])
        self._pod_cidrs: dict[str, str] = {}

    def start(self) -> None:
        link = f"""
            link add {BRIDGE} type bridge
            address add {ADDRESS} dev {BRIDGE}
            address add {ADDRESS6} dev {BRIDGE} nodad
            link set {BRIDGE} up"""
        subprocess.run(["ip", "-batch", "-"], input=link, text=True, check=True)
        self.etcd.start()
        self.start_api_server()
        self.use_pod_cidrs(POD_CIDRS)
        self.scheduler.start()

    def stop(self) -> None:
        for daemon in self._daemons():
            daemon.stop()
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, stderr=subprocess.DEVNULL)

    def demand_running(self) -> None:
        for daemon in self._daemons():
            assert daemon.running, f"{daemon.name} has ended:\n{daemon.tail()}"

    def start_api_server(self) -> None:
        """Returns when it answers."""
        if not self.api_server.running:
            self.api_server.start()
        self.api_server.resume()
        until("an API server that is ready", self.is_ready)

    def is_ready(self) -> bool:
        assert self.api_server.running, self.api_server.tail()
        return self.kubectl("get", "--raw=/readyz", timeout="2s") == "ok"

    @contextmanager
    def snapshot(self) -> Iterator[Callable[[], None]]:
        """Of all that etcd knows. Yields what goes back to it, as from a backup."""
        data, copy = self.folder / "etcd", self.folder / "etcd-snapshot"
        self._replace_etcd(lambda: shutil.copytree(data, copy))

        def go_back() -> None:
            shutil.rmtree(data)
            shutil.copytree(copy, data)

        try:
            yield lambda: self._replace_etcd(go_back)
        finally:
            shutil.rmtree(copy)

    def _replace_etcd(self, change: Callable[[], None]) -> None:
        """Its clients are told nothing but that it is another one."""
        clients = [daemon for daemon in self._daemons() if daemon is not self.etcd]
        for daemon in [*clients, self.etcd]:
            daemon.stop()
        change()
        self.etcd.start()
        self.start_api_server()
        for daemon in clients:
            if not daemon.running:
                daemon.start()

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
        return [self.scheduler, self.controller_manager, self.api_server, self.etcd]

    def _sign(self) -> dict[str, Path]:
        sign = self.authority.sign
        hosts = [f"IP:{ADDRESS.ip}", f"IP:{ADDRESS6.ip}", "IP:127.0.0.1", "DNS:kubernetes"]
        sign("apiserver", "kube-apiserver", hosts=hosts)
        sign("admin", "admin", "system:masters")
        for name in ("controller-manager", "scheduler"):
            sign(name, f"system:kube-{name}")
        names = ("admin", "controller-manager", "scheduler")
        return {name: self.authority.kubeconfig(name, API) for name in names}

    def _etcd(self) -> list[object]:
        options = flags(
            data_dir=self.folder / "etcd",
            listen_client_urls=ETCD,
            advertise_client_urls=ETCD,
            listen_peer_urls=ETCD_PEERS,
            initial_advertise_peer_urls=ETCD_PEERS,
            initial_cluster=f"default={ETCD_PEERS}",
        )
        # What is in it need not survive the machine.
        return [places.peers("etcd") / "server", *options, "--unsafe-no-fsync"]

    def _api_server(self, programs: Path) -> list[object]:
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps(AUDIT_POLICY))
        key = self.authority.service_account_key
        options = flags(
            etcd_servers=ETCD,
            advertise_address=ADDRESS.ip,
            secure_port=6443,
            service_cluster_ip_range=SERVICES,
            cert_dir=self.folder / "apiserver",
            tls_cert_file=self.authority.folder / "apiserver.crt",
            tls_private_key_file=self.authority.key("apiserver"),
            client_ca_file=self.authority.certificate,
            authorization_mode="Node,RBAC",
            enable_admission_plugins="NodeRestriction",
            service_account_issuer="https://kubernetes.default.svc",
            service_account_key_file=key,
            service_account_signing_key_file=key,
            audit_policy_file=policy,
            audit_log_path=self._audit,
        )
        return [programs / "kube-apiserver", *options]

