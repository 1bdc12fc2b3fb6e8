"""A node: a kubelet, a containerd and a network, in namespaces of its own."""

import json
import os
import signal
import subprocess
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

from lab import cni, control_plane, places
from lab.cni import Answer
from lab.cnitool import plugin_path
from lab.containerd import Containerd
from lab.control_plane import ADDRESS, ADDRESS6, API
from lab.daemon import Daemon
from lab.pki import Authority, kubeconfig
from lab.waiting import until

# What a node shares with nobody in life: names, ids, and what lies in folders that have but one
# place. A node sees the machine's /etc, /var and /sys/class, and changes nothing there. /sys itself
# stays as it is: in another the kubelet would find no cgroups.
SETUP = """
set -e
name=$1 folder=$2
mount -t tmpfs -o mode=0755 node /run/netns
mkdir "$folder/own"
mount -t tmpfs -o mode=0755 node "$folder/own"
for place in /etc /var /sys/class; do
  mkdir -p "$folder/own$place/upper" "$folder/own$place/work"
  mount -t overlay node "$place" \
    -o "lowerdir=$place,upperdir=$folder/own$place/upper,workdir=$folder/own$place/work"
done
for place in /var/lib/cni /var/lib/podlease /var/lib/kubelet /etc/kubernetes; do
  mkdir -p "$place"
  mount -t tmpfs -o mode=0755 node "$place"
done
mkdir -p /etc/cni/net.d
mount --bind "$folder/containerd/net.d" /etc/cni/net.d
mount --bind "$folder/boot-id" /proc/sys/kernel/random/boot_id
rm -rf /sys/class/dmi
mkdir -p /sys/class/dmi/id
cat "$folder/system-uuid" >/sys/class/dmi/id/product_uuid
cat "$folder/machine-id" >/etc/machine-id
echo "$name" >/proc/sys/kernel/hostname
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
echo ready
exec sleep infinity
"""

PODLEASE: dict[str, Any] = {"type": "podlease"}
DATA_DIR = Path("/var/lib/podlease")
KUBECONFIG = Path("/etc/kubernetes/kubelet.conf")
KUBELET_PKI = Path("/var/lib/kubelet/pki")


@dataclass
class Sandbox:
    """Of a pod, as the runtime has it."""

    id: str
    pod: str
    uid: str
    attempt: int
    ready: bool
    pid: int
    addresses: list[str]

    def run(self, *command: object) -> subprocess.CompletedProcess:
        """Runs a command in its network."""
        inside = ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]
        return subprocess.run(inside, capture_output=True, text=True)

    def reaches(self, address: str) -> bool:
        """Reports whether an answer to a ping comes, now."""
        return self.run("ping", "-n", "-q", "-c1", "-W2", address).returncode == 0


class Worker:
    """A node of the cluster. `number` is the last part of its addresses."""

    def __init__(self, name: str, number: int, folder: Path, pause_image: Path) -> None:
        self.name = name
        self.addresses = (
            ADDRESS.network.network_address + number,
            ADDRESS6.network.network_address + number,
        )
        self.folder = folder
        folder.mkdir()
        self.containerd = Containerd(folder / "containerd", pause_image)
        self.under: list[object] = []  # in front of a command that is to run on this node
        self.static_pods = folder / "static-pods"
        self.static_pods.mkdir()
        self._link = f"veth-{name}"
        self._holder: Optional[subprocess.Popen] = None
        (folder / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        (folder / "boot-id").write_text(f"{uuid.uuid4()}\n")
        (folder / "system-uuid").write_text(f"{uuid.uuid4()}\n")
        self.kubelet = Daemon("kubelet", folder, self._kubelet())
        self.network: dict[str, Any] = {}

    # The machine.

    def start(self, authority: Authority) -> None:
        """Starts everything, and waits for none of it but the runtime."""
        self._hold_namespaces()
        self._join()
        self._install(authority)
        self.use_network()
        self.containerd.under = self.under
        self.containerd.start()
        self.kubelet.under = self.under
        self.kubelet.start()

    def stop(self) -> None:
        """The kubelet first: it would start what is ended after it."""
        self.kubelet.stop()
        self.containerd.destroy()
        if self._holder:
            self._holder.kill()
            self._holder.wait()
        delete = ["ip", "link", "del", self._link]
        subprocess.run(delete, check=False, stderr=subprocess.DEVNULL)

    def restart_what_ended(self) -> None:
        if not self.containerd.running:
            self.containerd.start()
        if not self.kubelet.running:
            self.kubelet.start()

    def run(
        self, *command: object, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess:
        """Runs a command on this node."""
        line = [*self.under, *map(str, command)]
        return subprocess.run(line, check=check, capture_output=True, text=True, input=stdin)

    def write(self, path: Path, text: str) -> None:
        """Writes a file of this node."""
        self.run("mkdir", "-p", path.parent)
        self.run("tee", path, stdin=text)

    def reboot(self) -> None:
        """As far as podlease can tell: another boot id. Nothing is ended."""
        (self.folder / "boot-id").write_text(f"{uuid.uuid4()}\n")

    def lose_store(self) -> None:
        self.run("sh", "-c", f"rm -rf {DATA_DIR}/*")

    # Its network.

    def use_network(
        self,
        ipam: Optional[dict] = None,
        *,
        plugin: str = "bridge",
        name: str = "podnet",
        gateway: bool = True,
    ) -> None:
        """Makes this the node's network, with `ipam` beside the type podlease. A bridge is the
        gateway of its pods, unless told otherwise."""
        main: dict[str, Any] = {"type": plugin, "ipam": {**PODLEASE, **(ipam or {})}}
        if plugin == "bridge":
            # Of another name for each network: it keeps the gateways it has.
            main |= {"bridge": f"br-{name}"[:15], "isDefaultGateway": gateway}
            self._make_bridge(main["bridge"])
        self.network = {"cniVersion": "1.1.0", "name": name, "plugins": [main]}
        self.containerd.use_network(self.network)
        if self.containerd.running:
            self.containerd.wait_for_config(self.network)

    def routes_to(self, other: "Worker", cidrs: Sequence[str]) -> None:
        """Makes the pods of another node reachable."""
        for cidr in cidrs:
            via = other.addresses[ip_network(cidr).version == 6]
            self.run("ip", "route", "replace", cidr, "via", via)

    # Its pods.

    def sandboxes(self) -> list[Sandbox]:
        """Those that the runtime knows, also when they have ended."""
        return [self._sandbox(pod) for pod in self.containerd.pods()]

    def sandbox(self, *, uid: str = "", pod: str = "") -> Sandbox:
        """The one of this pod, by its UID or its name, that is ready; waits for it."""

        def found() -> list[Sandbox]:
            ready = map(self._sandbox, self._ready_pods())
            return [each for each in ready if uid in ("", each.uid) and pod in ("", each.pod)]

        return until(f"a sandbox of {uid or pod}", found)[0]

    def crash(self, *sandboxes: Sandbox) -> list[Sandbox]:
        """Kills them; returns what the kubelet puts in their places."""
        for sandbox in sandboxes:
            os.kill(sandbox.pid, signal.SIGKILL)

        def successor(former: Sandbox) -> Optional[Sandbox]:
            ready = (each for each in self.sandboxes() if each.uid == former.uid and each.ready)
            return next((each for each in ready if each.id != former.id), None)

        what = f"a new sandbox of a pod on {self.name}"
        return [until(what, lambda: successor(former), 90) for former in sandboxes]

    def remove_ended_pods(self) -> None:
        """The kubelet would do so once in a minute. First all must have ended."""
        until(f"the end of all pods of {self.name}", lambda: not self._ready_pods(), 90)
        self.containerd.remove_pods(*(pod["id"] for pod in self.containerd.pods()))

    # Its podlease.

    def podlease(
        self, *arguments: object, stdin: str = "", statuses: Sequence[int] = (0,)
    ) -> subprocess.CompletedProcess:
        done = self.run(places.podlease(), *arguments, stdin=stdin, check=False)
        assert done.returncode in statuses, done
        return done

    def leases(self) -> list[dict]:
        return json.loads(self.podlease("list", "--output", "json").stdout)

    def leased(self) -> list[str]:
        """All leased addresses, in order."""
        found = [ip_address(lease["address"].split("/")[0]) for lease in self.leases()]
        return [str(ip) for ip in sorted(found, key=lambda ip: (ip.version, int(ip)))]

    def explain(self, statuses: Sequence[int] = (0,)) -> dict:
        """What podlease would do with the network as it is."""
        text = json.dumps(self.network)
        done = self.podlease("explain", "--output", "json", stdin=text, statuses=statuses)
        return json.loads(done.stdout)

    def status(self) -> dict:
        """What podlease says of the network as it is."""
        report = json.loads(self.podlease("status", "--output", "json").stdout)
        (configuration,) = report["configurations"]
        return configuration

    def doctor(self, statuses: Sequence[int] = (0,)) -> list[dict]:
        doctor = ["env", f"CNI_PATH={plugin_path()}", places.podlease(), "doctor"]
        done = self.run(*doctor, "--output", "json", check=False)
        assert done.returncode in statuses, done
        return json.loads(done.stdout)

    def call(self, verb: str, container: str, ipam: Optional[dict] = None, **how: Any) -> Answer:
        """Calls podlease as the main plugin of this network does, with a namespace of that name.
        `ipam` goes beside what the network has."""
        (main,) = self.network["plugins"]
        config = {"cniVersion": "1.1.0", "name": self.network["name"], **main}
        config["ipam"] = {**main["ipam"], **(ipam or {})}
        netns = Path("/run/netns", container)
        how = {"under": self.under, "container_id": container, "netns": netns, **how}
        return cni.call(places.podlease(), verb, config, **how)

    @contextmanager
    def bare_pods(self, *names: str) -> Iterator[list[str]]:
        """Network namespaces that no runtime knows of, for `call`; what was leased to them in the
        network as it then is, is freed."""
        commands = "".join(f"netns add {name}\n" for name in names)
        self.run("ip", "-batch", "-", stdin=commands)
        try:
            yield list(names)
        finally:
            for name in names:
                self.call("DEL", name)
                self.run("ip", "netns", "del", name)

    def forget(self) -> None:
        """Once no pod is left: no store, no bridge."""
        self.lose_store()
        links = json.loads(self.run("ip", "-json", "link", "show", "type", "bridge").stdout)
        for name in (link["ifname"] for link in links if "ifname" in link):
            self.run("ip", "link", "del", name)

    # Internals.

    def _make_bridge(self, name: str) -> None:
        """The plugin would, but where several pods start at once some of it fail to set its MAC,
        and the kubelet lets them wait for long."""
        mac = f"02:00:00:00:00:{self.addresses[0].packed[-1]:02x}"
        self.run("ip", "link", "add", name, "address", mac, "type", "bridge", check=False)

    def _ready_pods(self) -> list[dict]:
        return [pod for pod in self.containerd.pods() if pod["state"] == "SANDBOX_READY"]

    def _sandbox(self, pod: dict) -> Sandbox:
        status = self.containerd.pod_status(pod["id"])
        network = status["status"].get("network") or {"ip": "", "additionalIps": []}
        more = [item["ip"] for item in network["additionalIps"]]
        return Sandbox(
            id=pod["id"],
            pod=pod["metadata"]["name"],
            uid=pod["metadata"]["uid"],
            attempt=pod["metadata"]["attempt"],
            ready=status["status"]["state"] == "SANDBOX_READY",
            pid=status["info"]["info"]["pid"],
            addresses=[network["ip"], *more] if network["ip"] else [],
        )

    def _hold_namespaces(self) -> None:
        unshare = ["unshare", "--mount", "--net", "--uts", "--propagation", "private"]
        setup = ["sh", "-c", SETUP, "setup", self.name, self.folder]
        self._holder = subprocess.Popen(
            [*unshare, *setup], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._holder.stdout.readline() == "ready\n", f"{self.name} has no namespaces"
        own = f"/proc/{self._holder.pid}/ns"
        self.under = ["nsenter", f"--mount={own}/mnt", f"--net={own}/net", f"--uts={own}/uts"]

    def _join(self) -> None:
        """Plugs its eth0 into the bridge of the control plane."""
        pid = self._holder.pid
        outside = f"""
            link add {self._link} type veth peer name eth0 netns {pid}
            link set {self._link} master {control_plane.BRIDGE} up"""
        subprocess.run(["ip", "-batch", "-"], input=outside, text=True, check=True)
        address, address6 = self.addresses
        inside = f"""
            address add {address}/{ADDRESS.network.prefixlen} dev eth0
            address add {address6}/{ADDRESS6.network.prefixlen} dev eth0 nodad
            link set eth0 up
            route add default via {ADDRESS.ip}
            route add default via {ADDRESS6.ip}"""
        self.run("ip", "-batch", "-", stdin=inside)

    def _install(self, authority: Authority) -> None:
        """The kubelet's files, where kubeadm has them."""
        authority.sign(self.name, f"system:node:{self.name}", "system:nodes")
        pair = KUBELET_PKI / "kubelet-client-current.pem"
        ca = Path("/etc/kubernetes/pki/ca.crt")
        self.write(pair, authority.pair(self.name))
        self.write(ca, authority.certificate.read_text())
        self.write(KUBECONFIG, kubeconfig(API, ca, pair, pair))
        self.write(Path("/var/lib/kubelet/config.yaml"), json.dumps(self._kubelet_config(ca)))

    def _kubelet(self) -> list[object]:
        return [
            places.peers("kubernetes") / "kubelet",
            "--config=/var/lib/kubelet/config.yaml",
            f"--kubeconfig={KUBECONFIG}",
            f"--node-ip={','.join(map(str, self.addresses))}",
        ]

    def _kubelet_config(self, authority: Path) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(authority)},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": f"unix://{self.containerd.socket}",
            "staticPodPath": str(self.static_pods),
            "nodeStatusUpdateFrequency": "2s",
            # As much as a machine allows that is a container itself, with cgroups of version 1.
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.containerd.cgroup,
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "oomScoreAdj": 0,
            "failSwapOn": False,
            "localStorageCapacityIsolation": False,
            "healthzPort": 0,
            # The one image is not to be had again.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0.01%"},
        }
