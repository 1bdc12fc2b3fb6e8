"""A node as the runtimes make it: pods with real namespaces, with or without a process inside,
known by whatever path their runtime uses; several networks in one store; plain calls of the
plugin. It remembers who lives, and demands of each ADD that no living pod has that address."""

import itertools
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

import pytest

from lab import cni, netns, places
from lab.cni import Answer
from lab.machine import Machine

GRACE = 60  # seconds, of FACTS section 1
RUN, VAR_RUN, DOCKER = Path("/run/netns"), Path("/var/run/netns"), Path("/run/docker/netns")
PROC = Path("/proc")  # in place of a folder: the pod is known as /proc/PID/ns/net
CACHE = Path("/var/lib/cni/results")
HOST_LOCAL = Path("/var/lib/cni/networks")
LONG_AGO = 1_000_000_000  # seconds since 1970, before this boot

_numbers = itertools.count(1)
_OWN = os.readlink("/proc/self/ns/net")


def wait_until(condition, what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def net_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return _OWN  # has ended, or is not to be asked


@dataclass
class Pod:
    """One sandbox. `name` is the path its runtime gives to the plugin."""

    container: str
    name: Path
    uid: str = ""
    ifname: str = "eth0"
    addresses: list[str] = field(default_factory=list)
    processes: list[subprocess.Popen] = field(default_factory=list)
    wire: str = ""  # pods on different wires may have equal addresses


def configuration(
    *subnets: str, name: str = "lab", main: Optional[dict] = None, **ipam: Any
) -> dict:
    """What a runtime sends. Without `main` a bridge without a gateway, as on a LAN of pods."""
    own = {"type": "podlease", "dataDir": str(places.LEASES), **ipam}
    own.setdefault("ranges", [[{"subnet": subnet}] for subnet in subnets])
    return {"cniVersion": "1.1.0", "name": name, **(main or BRIDGE), "ipam": own}


BRIDGE = {"type": "bridge", "bridge": "cni0"}
GATEWAY = {"type": "bridge", "bridge": "cni0", "isGateway": True}
PTP = {"type": "ptp"}


class World:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.live: list[Pod] = []
        self._processes: list[subprocess.Popen] = []
        self._mounts: list[Path] = []

    # --- Pods

    def pod(
        self, folder: Path = RUN, *, uid: str = "", resident: bool = True, **more: Any
    ) -> Pod:
        """A sandbox with a namespace; `resident`: with a process in it, as every real pod has."""
        number = next(_numbers)
        container = more.pop("container", f"sandbox-{number}")
        if folder == PROC:
            process = self.start("unshare", "--net", "sleep", "infinity")
            pod = Pod(container, Path(f"/proc/{process.pid}/ns/net"), uid, **more)
            pod.processes.append(process)
            return pod
        name = more.pop("name", f"net-{number}")
        netns.create(name)
        path = folder / name
        if folder == DOCKER:
            folder.mkdir(parents=True, exist_ok=True)
            path.touch()
            subprocess.run(["mount", "--bind", RUN / name, path], check=True)
            netns.remove(name)
        self._mounts.append(path)
        pod = Pod(container, path, uid, **more)
        if resident:
            self.occupy(pod)
        return pod

    def pods(self, count: int, folder: Path = RUN, *, uid: str = "", **more: Any) -> list[Pod]:
        return [
            self.pod(folder, uid=f"{uid}{number}" if uid else "", **more) for number in range(count)
        ]

    def next_sandbox(self, pod: Pod, folder: Path = RUN) -> Pod:
        """Of the same pod."""
        return self.pod(folder, uid=pod.uid, ifname=pod.ifname)

    def start(self, *command: object) -> subprocess.Popen:
        """A process that has a network namespace of its own once this returns."""
        process = subprocess.Popen([*map(str, command)])
        self._processes.append(process)
        wait_until(lambda: net_of(process.pid) != _OWN, f"{command} never left")
        return process

    def occupy(self, pod: Pod) -> subprocess.Popen:
        """One more process in the pod's namespace."""
        process = self.start("nsenter", f"--net={pod.name}", "sleep", "infinity")
        pod.processes.append(process)
        return process

    def forget_name(self, *pods: Pod) -> None:
        """The name goes, by `ip netns del` or what dockerd does, or by the death of the process it
        is made of; whatever else is in the namespace lives on."""
        for pod in pods:
            if str(pod.name).startswith("/proc/"):
                self._end(pod.processes.pop(0))
            else:
                self._unname(pod.name)

    def vacate(self, *pods: Pod) -> None:
        """Its processes end. A namespace without any has a name at most."""
        for pod in pods:
            for process in pod.processes:
                self._end(process)
            pod.processes = []

    def lose(self, *pods: Pod) -> None:
        """They end, and nobody sends a DEL."""
        self.vacate(*pods)
        for pod in pods:
            self._unname(pod.name)
        self.live = [other for other in self.live if all(other is not pod for pod in pods)]

    def _end(self, process: subprocess.Popen) -> None:
        process.kill()
        process.wait()

    def _unname(self, path: Path) -> None:
        if path in self._mounts:
            subprocess.run(["umount", "--lazy", path], check=False, stderr=subprocess.DEVNULL)
            path.unlink(missing_ok=True)
            self._mounts.remove(path)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                self._end(process)
        for path in list(self._mounts):
            self._unname(path)
        shutil.rmtree(DOCKER, ignore_errors=True)

    # --- Calls

    def how(self, pod: Pod, args: str = "", under: Sequence[object] = ()) -> dict[str, Any]:
        """What the runtime sets. Those of Kubernetes tell the pod; others do not."""
        words = [args] if args else []
        if pod.uid:
            words.append(f"IgnoreUnknown=1;K8S_POD_NAMESPACE=lab;K8S_POD_NAME={pod.uid}")
            words.append(f"K8S_POD_UID={pod.uid};K8S_POD_INFRA_CONTAINER_ID={pod.container}")
        return {
            "container_id": pod.container,
            "netns": pod.name,
            "ifname": pod.ifname,
            "args": ";".join(words) or None,
            "under": [*under, *self.machine.under],
        }

    def call(
        self,
        verb: str,
        pod: Pod,
        conf: dict,
        args: str = "",
        under: Sequence[object] = (),
        **more: Any,
    ) -> Answer:
        return cni.call(places.podlease(), verb, {**conf, **more}, **self.how(pod, args, under))

    def try_add(self, pod: Pod, conf: dict, args: str = "", under: Sequence[object] = ()) -> Answer:
        answer = self.call("ADD", pod, conf, args, under)
        if answer.ok:
            self.note(pod, answer.addresses)
        return answer

    def note(self, pod: Pod, addresses: list[str]) -> None:
        """That a pod has been given addresses, by whomever."""
        for other in self.live:
            clash = set(other.addresses) & set(addresses) if other.wire == pod.wire else set()
            assert other is pod or not clash, f"{clash} of {other} was given to {pod}"
        pod.addresses = addresses
        if all(other is not pod for other in self.live):
            self.live.append(pod)

    def add(self, pod: Pod, conf: dict, args: str = "", under: Sequence[object] = ()) -> list[str]:
        answer = self.try_add(pod, conf, args, under)
        assert answer.ok, answer
        return answer.addresses

    def add_all(self, pods: Sequence[Pod], conf: dict) -> None:
        for pod in pods:
            self.add(pod, conf)

    def delete(self, pod: Pod, conf: dict) -> None:
        answer = self.call("DEL", pod, conf)
        assert (answer.status, answer.stdout) == (0, b""), answer
        self.live = [other for other in self.live if other is not pod]

    def refuse(
        self, pod: Pod, conf: dict, code: int, *words: str, args: str = "", under: Sequence = ()
    ) -> dict:
        """The ADD fails with the code, and its message or details say the words."""
        answer = self.try_add(pod, conf, args, under)
        assert answer.status == 1, f"expected code {code}, was given {answer.stdout.decode()}"
        error = answer.json
        assert error["code"] == code, error
        text = error["msg"] + " " + error.get("details", "")
        for word in words:
            assert word in text, (word, error)
        assert "\n" not in error["msg"]
        return error

    def fill(self, conf: dict, folder: Path = RUN) -> list[Pod]:
        """ADDs until the range is full; the pods that found room. Whatever living pods have is not
        given, or `note` fails."""
        started = []
        while True:
            pod = self.pod(folder)
            answer = self.try_add(pod, conf)
            if not answer.ok:
                assert answer.json["code"] == 100, answer
                self.lose(pod)
                return started
            started.append(pod)
            assert len(started) < 40, f"{answer.addresses} and no end of it"

    # --- Commands

    def command(
        self,
        *words: object,
        statuses: Sequence[int] = (0,),
        stdin: Optional[dict] = None,
        folder: Optional[Path] = places.LEASES,
        under: Sequence[object] = (),
    ) -> subprocess.CompletedProcess:
        command = [*under, *self.machine.under, places.podlease(), *words]
        command += ["--data-dir", folder] if folder else []
        text = json.dumps(stdin) if stdin is not None else ""
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)
        assert done.returncode in statuses, done
        return done

    def json(self, *words: object, **more: Any) -> Any:
        return json.loads(self.command(*words, "--output", "json", **more).stdout)

    def leases(self, network: Optional[str] = None, **more: Any) -> dict[str, str]:
        """Address to container."""
        return {
            lease["address"].split("/")[0]: lease["containerID"]
            for lease in self.json("list", **more)
            if network in (None, lease["network"])
        }

    def living(self) -> dict[str, str]:
        return {address: pod.container for pod in self.live for address in pod.addresses}

    def later(self, seconds: int = GRACE + 2) -> None:
        self.machine.later(seconds)


def conf_dir(folder: Path, *confs: dict) -> Path:
    """A folder of the runtime with these configurations, for `status` and `doctor`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, conf in enumerate(confs):
        (folder / f"{10 + number}-{conf['name']}.conf").write_text(json.dumps(conf))
    return folder


def cache_entry(
    network: str,
    container: str,
    path: object,
    *addresses: str,
    ifname: str = "eth0",
    time: Optional[int] = None,
    folder: Path = CACHE,
) -> Path:
    """A file of libcni's cache, as libcni writes it after an ADD; `time` is its age, since 1970."""
    folder.mkdir(parents=True, exist_ok=True)
    entry = {
        "kind": "cniCacheV1",
        "containerId": container,
        "config": "e30=",
        "ifName": ifname,
        "networkName": network,
        "netns": str(path),
        "cniArgs": [["K8S_POD_NAME", container]],
        "result": {
            "cniVersion": "1.1.0",
            "ips": [{"address": f"{one}/{24 if '.' in one else 64}"} for one in addresses],
        },
    }
    file = folder / f"{network}-{container}-{ifname}"
    file.write_text(json.dumps(entry))
    if time is not None:
        os.utime(file, (time, time))
    return file


def show(pod: Pod, *addresses: str, ifname: str = "eth0") -> None:
    """Puts addresses on an interface inside the pod, as its main plugin does."""
    enter = ["nsenter", f"--net={pod.name}", "ip"]
    pair = ["type", "veth", "peer", "name", "x0"]
    subprocess.run([*enter, "link", "add", ifname, *pair], check=True)
    for address in addresses:
        length = 24 if "." in address else 64
        command = ["address", "add", f"{address}/{length}", "dev", ifname]
        subprocess.run([*enter, *command], check=True)
    subprocess.run([*enter, "link", "set", ifname, "up"], check=True)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()
    netns.remove(*netns.names())


@pytest.fixture
def world(machine: Machine) -> Iterator[World]:
    world = World(machine)
    yield world
    world.close()
