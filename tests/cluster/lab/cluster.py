"""A whole cluster: a control plane and two nodes, for all tests of a session."""

import ipaddress
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

import pytest

from lab import control_plane
from lab.containerd import PAUSE_IMAGE
from lab.control_plane import ControlPlane
from lab.waiting import until
from lab.worker import Worker

NODES = {"node1": 101, "node2": 102}


@dataclass
class Pod:
    """As the API has it."""

    name: str
    uid: str
    node: str
    addresses: list[str]
    running: bool
    ending: bool

    @staticmethod
    def of(item: dict) -> "Pod":
        status = item["status"]
        return Pod(
            name=item["metadata"]["name"],
            uid=item["metadata"]["uid"],
            node=item["spec"].get("nodeName", ""),
            addresses=[entry["ip"] for entry in status.get("podIPs", [])],
            running=status["phase"] == "Running",
            ending="deletionTimestamp" in item["metadata"],
        )


def pod_spec(node: Optional[str] = None, **more: Any) -> dict:
    """Of a pod that does nothing until it is told to end."""
    container = {"name": "pause", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}
    place = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        **place,
        **more,
    }


def pod(name: str, **spec: Any) -> dict:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(**spec)}


def deployment(name: str, replicas: int, **spec: Any) -> dict:
    labels = {"app": name}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    template = pod_spec(**{"topologySpreadConstraints": [spread], **spec})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template},
        },
    }


def inside(address: str, cidrs: Sequence[str]) -> bool:
    """The address may have a prefix length."""
    ip = ipaddress.ip_interface(address).ip
    return any(ip in ipaddress.ip_network(cidr) for cidr in cidrs)


def condition(node: dict, kind: str) -> dict:
    """One of a Node's; empty if nobody has said anything of it."""
    conditions = node["status"].get("conditions", [])
    return next((item for item in conditions if item["type"] == kind), {})


class Cluster:
    """What tests do with it; `restore` undoes all of that."""

    def __init__(self, folder: Path, pause_image: Path) -> None:
        self.control_plane = ControlPlane(folder / "control-plane")
        self.kubectl = self.control_plane.kubectl
        self.workers = {
            name: Worker(name, number, folder / name, pause_image)
            for name, number in NODES.items()
        }
        self._replaced: set[str] = set()

    def start(self) -> None:
        self.control_plane.start()
        for worker in self.workers.values():
            worker.start(self.control_plane.authority)
        for name in self.workers:
            self.wait_for_node(name)
        self.connect()

    def stop(self) -> None:
        self.control_plane.api_server.resume()
        for worker in self.workers.values():
            worker.stop()
        self.control_plane.stop()

    def restore(self) -> None:
        """Leaves the cluster as it was found: no pods, no leases, no store, plain nodes. That no
        lease is left when the last pod is gone is demanded of every test."""
        self.control_plane.start_api_server()
        for worker in self.workers.values():
            worker.restart_what_ended()
            for manifest in worker.static_pods.iterdir():
                manifest.unlink()
        self.kubectl("delete", "deployments,pods", "--all", "--wait=false")
        until("a cluster without pods", lambda: not self.kubectl.list("pods"), 90)
        for worker in self.workers.values():
            worker.remove_ended_pods()
        left = {worker.name: worker.leases() for worker in self.workers.values()}
        for worker in self.workers.values():
            worker.forget()
            worker.use_network()
        # A controller manager would not start where a node has a CIDR of none of its ranges.
        replaced = [self.delete_node(name) for name in sorted(self._replaced)]
        self.control_plane.use_pod_cidrs(control_plane.POD_CIDRS)
        for node in replaced:
            self.create_node(node)
        self._replaced.clear()
        self.connect()
        assert not any(left.values()), left

    # Nodes.

    def wait_for_node(self, name: str) -> dict:
        """Until it is ready for pods."""

        def ready() -> Optional[dict]:
            self.control_plane.demand_running()
            node = self.kubectl.get("node", name)
            is_ready = condition(node, "Ready").get("status") == "True"
            return node if is_ready and not node["spec"].get("taints") else None

        return until(f"{name} ready", ready, 120)

    def pod_cidrs(self, name: str) -> list[str]:
        """What spec says of a node; waits for the controller manager to have said it."""
        return until(
            f"podCIDRs of {name}",
            lambda: self.kubectl.get("node", name)["spec"].get("podCIDRs"),
        )

    def connect(self) -> None:
        """Lays the routes that a network plugin or a cloud would, by the nodes' podCIDRs."""
        for name, worker in self.workers.items():
            for other in self.workers.values():
                if other is not worker:
                    other.routes_to(worker, self.pod_cidrs(name))

    def delete_node(self, name: str) -> dict:
        """Behind its kubelet's back. Returns an object to create it anew."""
        self._replaced.add(name)
        self.kubectl.delete("node", name)
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
        return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}}

    def replace_node(
        self, name: str, cidrs: Sequence[str] = (), annotations: Optional[dict[str, str]] = None
    ) -> None:
        """The Node is deleted and comes back with these CIDRs, or without any: then the controller
        manager may assign some. Nothing on the node is restarted."""
        self.create_node(self.delete_node(name), cidrs, annotations)

    def create_node(
        self, node: dict, cidrs: Sequence[str] = (), annotations: Optional[dict[str, str]] = None
    ) -> None:
        if cidrs:
            node["spec"] = {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)}
        node["metadata"]["annotations"] = annotations or {}
        self.kubectl.create(node)
        self.wait_for_node(node["metadata"]["name"])

    # Pods.

    def deploy(self, name: str, replicas: int, **spec: Any) -> list[Pod]:
        """Returns its pods once they run."""
        self.kubectl.apply(deployment(name, replicas, **spec))
        return self.wait_for_rollout(name)

    def scale(self, name: str, replicas: int) -> list[Pod]:
        self.kubectl("scale", "deployment", name, f"--replicas={replicas}")
        return self.wait_for_rollout(name)

    def roll(self, name: str) -> None:
        """Begins to replace all its pods."""
        template = {"metadata": {"annotations": {"lab/rolled": str(time.monotonic_ns())}}}
        self.kubectl.patch("deployment", name, {"spec": {"template": template}})

    def wait_for_rollout(self, name: str, seconds: float = 120) -> list[Pod]:
        """Until its pods are those that it wants, and the others are gone."""

        def rolled() -> bool:
            item = self.kubectl.get("deployment", name)
            wanted, status = item["spec"]["replicas"], item["status"]
            seen = status.get("observedGeneration", 0) >= item["metadata"]["generation"]
            numbers = [status.get(key, 0) for key in ("replicas", "updatedReplicas")]
            available = status.get("availableReplicas", 0)
            return seen and numbers == [wanted, wanted] and available == wanted

        def settled() -> bool:
            wanted = self.kubectl.get("deployment", name)["spec"]["replicas"]
            return len(self.pods(name)) == wanted

        until(f"the rollout of {name}", rolled, seconds)
        until(f"the end of old pods of {name}", settled, seconds)
        return self.pods(name)

    def pods(self, app: str) -> list[Pod]:
        return [Pod.of(item) for item in self.kubectl.list("pods", f"app={app}")]

    def worker_of(self, pod: Pod) -> Worker:
        return self.workers[pod.node]

    def demand_leases(self, pods: Sequence[Pod]) -> None:
        """Each node leases just what these pods have, and nothing twice."""
        held = [address for pod in pods for address in pod.addresses]
        assert len(set(held)) == len(held), held
        for name, worker in self.workers.items():
            here = {address for pod in pods if pod.node == name for address in pod.addresses}
            until(f"just {len(here)} leases on {name}", lambda: set(worker.leased()) == here, 30)

    def demand_reach(self, pods: Sequence[Pod]) -> None:
        """Each reaches the others, by each of their addresses."""
        for pod in pods:
            sandbox = self.worker_of(pod).sandbox(uid=pod.uid)
            for other in pods:
                for address in other.addresses:
                    what = f"an answer of {other} to {pod}"
                    until(what, lambda: sandbox.reaches(address), 20)


@pytest.fixture(scope="session")
def session_cluster(
    tmp_path_factory: pytest.TempPathFactory, pause_image: Path
) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), pause_image)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(session_cluster: Cluster) -> Iterator[Cluster]:
    """The same for all tests, each of which finds it as the first one did."""
    yield session_cluster
    session_cluster.restore()
