"""Requests between pods, all the time: the pods of one Deployment serve, those of another ask all
of them, and an end of a pod is announced as a Service would. There is one image, and it does
nothing, so processes of the test do it, in the network namespaces of the pods."""

import json
import subprocess
import time
from pathlib import Path
from threading import Event, Thread
from typing import Optional

from lab.cluster import Cluster, Pod, deployment
from lab.containerd import PAUSE_IMAGE
from lab.kubectl import KubectlError
from lab.waiting import until

ECHO = Path(__file__).with_name("echo.py")
SERVERS, CLIENTS = "webpod", "client"

# Between the word that a pod ends and its end, as everybody does it whose service must not fail.
ANNOUNCED = 4  # seconds

TOO_LONG = 1.5  # seconds between two answers, on a machine that does all this at once


class Process:
    """One of a pod's."""

    def __init__(self, cluster: Cluster, pod: Pod) -> None:
        self.pod = pod
        self.targets: set[str] = set()
        self.reports: Optional[list[dict]] = None
        pid = cluster.worker_of(pod).sandbox(uid=pod.uid).pid
        role = ["serve", pod.name] if pod.name.startswith(SERVERS) else ["request"]
        self._process = subprocess.Popen(
            ["nsenter", f"--net=/proc/{pid}/ns/net", "/usr/bin/python3", ECHO, *role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._listen("ready\n")

    def add(self, server: Pod) -> None:
        self.targets.add(server.name)
        self._tell(f"add {server.name} {server.addresses[0]}")

    def drop(self, server: str) -> None:
        self.targets.discard(server)
        self._tell(f"drop {server}")
        self._listen(f"dropped {server}\n")

    def end(self) -> None:
        """Of a client: with its reports."""
        if self.pod.name.startswith(CLIENTS) and self.reports is None:
            self._tell("end")
            self.reports = json.loads(self._process.stdout.readline())
        self._process.kill()
        self._process.wait()

    def _tell(self, line: str) -> None:
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _listen(self, expected: str) -> None:
        line = self._process.stdout.readline()
        assert line == expected, (self.pod, line)


class Traffic:
    """Begins with the Deployments, one pod of each on each node; ends with `stop`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._processes: dict[str, Process] = {}
        self._ended: list[Process] = []
        self._stop = Event()
        self._error: Optional[BaseException] = None
        self._restarts = 0
        container = {
            "name": "pause",
            "image": PAUSE_IMAGE,
            "imagePullPolicy": "Never",
            "lifecycle": {"preStop": {"sleep": {"seconds": ANNOUNCED}}},
        }
        for name in (SERVERS, CLIENTS):
            how = {"containers": [container], "terminationGracePeriodSeconds": ANNOUNCED + 2}
            manifest = deployment(name, len(cluster.workers), **how)
            # In the place of the one that ends, so that each node keeps one.
            strategy = {"type": "RollingUpdate"}
            strategy["rollingUpdate"] = {"maxSurge": 0, "maxUnavailable": 1}
            manifest["spec"]["strategy"] = strategy
            cluster.kubectl.apply(manifest)
        for name in (SERVERS, CLIENTS):
            cluster.wait_for_rollout(name)
        self._thread = Thread(target=self._follow, daemon=True)
        self._thread.start()
        self.wait_until_all_talk()

    def pods(self) -> list[Pod]:
        return self._cluster.pods(SERVERS) + self._cluster.pods(CLIENTS)

    def roll(self) -> list[Pod]:
        """Replaces all pods, one after the other; returns the new ones."""
        for name in (SERVERS, CLIENTS):
            self._cluster.roll(name)
            self._cluster.wait_for_rollout(name)
        self.wait_until_all_talk()
        return self.pods()

    def wait_until_all_talk(self) -> None:
        servers = {pod.name for pod in self._cluster.pods(SERVERS)}
        clients = {pod.uid for pod in self._cluster.pods(CLIENTS)}

        def talk() -> bool:
            self._check()
            known = [self._processes.get(uid) for uid in clients]
            return all(client and client.targets >= servers for client in known)

        until("requests of all to all", talk)

    def go_on(self, seconds: float) -> None:
        """For what could only go wrong after a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._check()
            time.sleep(0.1)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        # Who asks ends first.
        clients = self._clients()
        servers = [each for each in self._processes.values() if each not in clients]
        for process in [*clients, *servers]:
            process.end()
            self._ended.append(process)
        self._processes.clear()

    def demand_success(self) -> int:
        """Of all requests since the beginning. Ends them, and returns how many there were."""
        self.stop()
        self._check()
        reports = [
            (client.pod, report) for client in self._ended for report in client.reports or []
        ]
        failed = [(pod, report) for pod, report in reports if report["failures"]]
        assert not failed, failed
        silent = [(pod, report) for pod, report in reports if report["longest_gap"] > TOO_LONG]
        assert not silent, silent
        restarts = [
            (item["metadata"]["name"], container["restartCount"])
            for item in self._cluster.kubectl.list("pods")
            for container in item["status"]["containerStatuses"]
        ]
        assert not any(count for _, count in restarts), restarts
        return sum(report["answers"] for _, report in reports)

    def _check(self) -> None:
        if self._error:
            raise AssertionError("the traffic broke down") from self._error

    def _follow(self) -> None:
        try:
            while not self._stop.wait(0.2):
                try:
                    items = self._cluster.kubectl.list("pods", f"app in ({SERVERS},{CLIENTS})")
                except KubectlError:  # a pause of the API is no news
                    continue
                self._act_upon({pod.uid: pod for pod in map(Pod.of, items)})
        except BaseException as error:
            self._error = error

    def _act_upon(self, pods: dict[str, Pod]) -> None:
        for uid, process in list(self._processes.items()):
            if uid not in pods or pods[uid].ending:
                self._end(uid, process)
        for uid, pod in pods.items():
            if pod.running and pod.addresses and not pod.ending and uid not in self._processes:
                self._processes[uid] = Process(self._cluster, pod)
        servers = [each for each in self._processes.values() if each.pod.name.startswith(SERVERS)]
        for client in self._clients():
            for server in servers:
                if server.pod.name not in client.targets:
                    client.add(server.pod)

    def _end(self, uid: str, process: Process) -> None:
        if process.pod.name.startswith(SERVERS):
            for client in self._clients():
                if process.pod.name in client.targets:
                    client.drop(process.pod.name)
        process.end()
        self._ended.append(self._processes.pop(uid))

    def _clients(self) -> list[Process]:
        running = list(self._processes.values())
        return [each for each in running if each.pod.name.startswith(CLIENTS)]
