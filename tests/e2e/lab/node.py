"""A node whose runtime is the test itself: pods are network namespaces, and it calls the plugin."""

import itertools
import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Sequence

from lab import cni, netns, places
from lab.cni import Answer
from lab.machine import Machine

EXHAUSTED = 100

_numbers = itertools.count(1)


@dataclass
class Pod:
    """One sandbox of a pod."""

    container: str
    netns: Path
    uid: str = ""
    ifname: str = "eth0"
    addresses: list[str] = field(default_factory=list)
    result: dict = field(default_factory=dict)  # of its ADD


class Node:
    """Remembers which pods live, and demands of each ADD that no two of them get one address."""

    def __init__(self, machine: Machine, folder: Path, *subnets: str, **ipam: Any) -> None:
        self.machine = machine
        self.ipam: dict[str, Any] = {
            "type": "podlease",
            "dataDir": str(folder),
            "ranges": [[{"subnet": subnet}] for subnet in subnets],
            **ipam,
        }
        self.live: list[Pod] = []

    def config(self, **more: Any) -> dict:
        return {"cniVersion": "1.1.0", "name": "lab", "ipam": self.ipam, **more}

    def pods(self, count: int, uid: str = "") -> list[Pod]:
        """New sandboxes with namespaces, each with a process inside, and no addresses yet; `uid`
        begins those of the pods."""
        names = [f"box-{next(_numbers)}" for _ in range(count)]
        netns.create(*names)
        netns.occupy(*names)
        uids = [f"{uid}{index}" if uid else "" for index in range(count)]
        return [Pod(name, netns.FOLDER / name, uid) for name, uid in zip(names, uids)]

    def next_sandbox(self, pod: Pod) -> Pod:
        """Of the same pod."""
        (successor,) = self.pods(1)
        successor.uid, successor.ifname = pod.uid, pod.ifname
        return successor

    def call(
        self, verb: str, pod: Pod, *, under: Sequence[object] = (), more: Optional[dict] = None
    ) -> Answer:
        config = self.config(**(more or {}))
        return cni.call(places.podlease(), verb, config, **self._how(pod, under))

    def spawn(self, verb: str, pod: Pod) -> subprocess.Popen:
        """To kill it."""
        process = cni.spawn(places.podlease(), verb, **self._how(pod))
        process.stdin.write(cni.stdin_of(self.config()))
        process.stdin.close()
        return process

    def try_add(self, pod: Pod, under: Sequence[object] = ()) -> Answer:
        answer = self.call("ADD", pod, under=under)
        if answer.ok:
            for other in self.live:
                clash = set(other.addresses) & set(answer.addresses)
                assert other is pod or not clash, f"{clash} of {other} was given to {pod}"
            pod.addresses, pod.result = answer.addresses, answer.json
            if pod not in self.live:
                self.live.append(pod)
        return answer

    def add(self, *pods: Pod) -> None:
        """Each must get what it asks for."""
        for pod in pods:
            answer = self.try_add(pod)
            assert answer.ok, answer

    def start(self, count: int, uid: str = "") -> list[Pod]:
        pods = self.pods(count, uid)
        self.add(*pods)
        return pods

    def delete(self, *pods: Pod) -> None:
        """The DELs of pods, whose namespaces stay where they are."""
        for pod in pods:
            answer = self.call("DEL", pod)
            assert (answer.status, answer.stdout) == (0, b""), answer
            self.live = [other for other in self.live if other is not pod]

    def lose(self, *pods: Pod) -> None:
        """The pods end, and nobody sends a DEL."""
        netns.remove(*(pod.netns.name for pod in pods))
        self.live = [other for other in self.live if all(other is not pod for pod in pods)]

    def stop(self, *pods: Pod) -> None:
        self.delete(*pods)
        self.lose(*pods)

    def reboot(self) -> None:
        self.machine.reboot()
        self.live = []

    def refuse(self, pod: Optional[Pod] = None) -> dict[str, int]:
        """An ADD that finds the range full, which must say how full: the numbers by name."""
        self.machine.later(2)  # within a second of another one it is told what that was (FACTS §4)
        newcomer = pod or self.pods(1)[0]
        answer = self.try_add(newcomer)
        if pod is None:
            netns.remove(newcomer.netns.name)
        return exhaustion(answer)

    def leases(self) -> dict[str, str]:
        """Address to container."""
        return {lease["address"].split("/")[0]: lease["containerID"] for lease in self.listed()}

    def listed(self) -> list[dict]:
        return json.loads(self.command("list", "--output", "json").stdout)

    def living(self) -> dict[str, str]:
        return {address: pod.container for pod in self.live for address in pod.addresses}

    def command(
        self, *arguments: object, statuses: Sequence[int] = (0,), stdin: Optional[dict] = None
    ) -> subprocess.CompletedProcess:
        """Runs a subcommand on the store; it must end with one of these exit statuses."""
        command = [*self.machine.under, places.podlease(), *arguments]
        command += ["--data-dir", self.ipam["dataDir"]]
        text = json.dumps(stdin) if stdin is not None else ""
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        assert done.returncode in statuses, done
        return done

    def _how(self, pod: Pod, under: Sequence[object] = ()) -> dict[str, Any]:
        # As the kubelet's runtimes have it; other runtimes give no UID.
        args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=lab;K8S_POD_NAME={pod.uid};K8S_POD_UID={pod.uid}"
        return {
            "under": [*under, *self.machine.under],
            "container_id": pod.container,
            "netns": pod.netns,
            "ifname": pod.ifname,
            "args": args if pod.uid else None,
        }


def exhaustion(answer: Answer) -> dict[str, int]:
    """The numbers of an answer that the range is full."""
    assert answer.status == 1 and answer.json["code"] == EXHAUSTED, answer
    assert "no IP addresses available in range set" in answer.json["msg"], answer
    found = re.findall(r"(\d+) (used|free|cooling|suspect|excluded)\b", answer.json["details"])
    numbers = {name: int(number) for number, name in found}
    assert set(numbers) == {"used", "free", "cooling", "suspect", "excluded"}, answer
    return numbers
