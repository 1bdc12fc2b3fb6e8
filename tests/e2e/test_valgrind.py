"""The whole program under valgrind: no call reads what it never wrote, writes beside what it
allocated, loses memory, or ends with a file left open. For what the sanitizers of the unit tests do
not see: uninitialised memory, SQLite's own, and every command from main on. Only what is in a
`watched` block runs there (a call takes a second); the rest is done by the release binary."""

import base64
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest
from lab import cni, netns, places
from lab.cni import Answer
from lab.machine import Machine
from lab.node import Node, Pod, exhaustion

# Dynamic, for valgrind replaces malloc; and with SQLite on malloc, for our own gives it blocks of
# chunks, beside which nothing would be noticed.
BINARY = Path(os.environ.get("PODLEASE_DEBUG") or places.ROOT / "build/debug/podlease")
V4, V6 = "10.86.0.0/29", "fd00:86::/125"
ROOM = 5  # of a /29: without network, broadcast and gateway
GRACE = 60  # kGrace of src/ipam/reclaim.h, in seconds
CACHE = Path("/var/lib/cni/results")
NETWORKS = Path("/var/lib/cni/networks")
VALID = "cni.dev/valid-attachments"

WRAPPER = """#!/bin/sh
exec valgrind -q --leak-check=full --show-leak-kinds=definite,indirect,possible --track-fds=yes \\
  --num-callers=40 --log-file="{folder}/%p.log" "{binary}" "$@"
"""

class Valgrind:
    """Runs the calls of a `watched` block, and demands that nothing was wrong with them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._wrapper = folder / "podlease"
        self._wrapper.write_text(WRAPPER.format(folder=folder, binary=BINARY))
        self._wrapper.chmod(0o755)

    @contextmanager
    def watched(self) -> Iterator[None]:
        with self._monkeypatch.context() as patch:
            patch.setenv("PODLEASE", str(self._wrapper))
            yield
        logs = list(self.folder.glob("*.log"))
        assert logs, "valgrind did not run"
        faults = [fault for log in logs for fault in faults_in(log.read_text())]
        assert not faults, "\n\n".join(faults)
        for log in logs:
            log.unlink()


# What may be left open: what others opened, and the one socket to the kernel that a process has.
OPEN_ON_PURPOSE = ("<inherited from parent>", "podlease::host::RouteSocket::RouteSocket")


def faults_in(log: str) -> list[str]:
    """The paragraphs of a log that tell of something wrong."""
    text = re.sub(r"^==\d+== ?", "", log, flags=re.MULTILINE)
    # That it does not know an ioctl; it takes its result as it is.
    text = re.sub(r"Warning: noted but unhandled ioctl 0xb703.*\n(?:   .*\n)*", "", text)
    text = re.sub(r"^FILE DESCRIPTORS: .*\n", "\n", text, flags=re.MULTILINE)
    faults = []
    for paragraph in re.split(r"\n\s*\n", text):
        on_purpose = any(word in paragraph for word in OPEN_ON_PURPOSE)
        if paragraph.strip() and not (paragraph.lstrip().startswith("Open ") and on_purpose):
            faults.append(paragraph.strip())
    return faults


@pytest.fixture
def valgrind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Valgrind:
    folder = tmp_path / "valgrind"
    folder.mkdir()
    return Valgrind(folder, monkeypatch)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    machine = Machine(tmp_path)
    yield Node(machine, places.LEASES, V4, V6, exclude=["fd00:86::7"], cooldown="0s")
    machine.close()
    netns.remove(*netns.names())


def fails(answer: Answer, code: int) -> bool:
    return answer.status == 1 and answer.json["code"] == code


def send(verb: str, config: Any, pod: Pod, **how: Optional[str]) -> Answer:
    return cni.call(
        places.podlease(), verb, config, container_id=pod.container, netns=pod.netns, **how
    )


def test_the_life_of_a_pod(node: Node, valgrind: Valgrind):
    first, second = node.pods(2, "uid-")
    node.ipam["statusFailsWhenExhausted"] = True
    node.ipam["routes"] = [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "fd00:86::1"}]
    with valgrind.watched():
        assert node.call("VERSION", first).ok
        assert node.call("STATUS", first).ok
        node.add(first)  # makes the store
        node.add(second)
        node.add(first)
        assert node.call("CHECK", first, more={"prevResult": first.result}).ok
        assert node.call("STATUS", first).ok
        node.delete(second)
        node.delete(second)
        node.add(second)  # what it had
    known = [{"containerID": first.container, "ifname": "eth0"}]
    netns.remove(second.netns.name)
    with valgrind.watched():
        assert node.call("GC", first, more={VALID: known}).ok
    assert node.leases() == {at: first.container for at in first.addresses}


def test_a_full_range_gives_back_what_is_lost(node: Node, valgrind: Valgrind):
    pods = node.start(ROOM, "uid-")
    (newcomer,) = node.pods(1, "new-")
    node.lose(*pods[:2])
    successor = node.next_sandbox(pods[1])
    node.ipam["statusFailsWhenExhausted"] = True
    with valgrind.watched():
        exhaustion(node.try_add(newcomer))
        assert fails(node.call("STATUS", newcomer), 50)
        node.add(successor)  # takes over
    node.machine.later(GRACE)
    with valgrind.watched():
        assert node.call("STATUS", newcomer).ok
        node.add(newcomer)
    assert node.leases() == node.living()
    node.reboot()
    (newcomer,) = node.pods(1, "boot-")
    with valgrind.watched():
        node.add(newcomer)
        node.command("gc")
    assert node.leases() == node.living()


def test_errors(node: Node, valgrind: Valgrind, tmp_path: Path):
    pods = node.start(2)
    (pod,) = node.pods(1)
    asking = {"args": {"cni": {"ips": [pods[0].addresses[0]]}}}
    other = node.config(ipam={**node.ipam, "ranges": [[{"subnet": "10.0.0.0/33"}]]})
    folder = tmp_path / "not-ours"
    folder.mkdir()
    (folder / "podlease.db").write_bytes(b"x" * 5000)
    damaged = node.config(ipam={**node.ipam, "dataDir": str(folder)})
    calls = {
        6: lambda: send("ADD", b'{"cniVersion": "1.1.0", "name": "lab", "ipam": {', pod),
        1: lambda: send("ADD", {**node.config(), "cniVersion": "7.0.0"}, pod),
        7: lambda: send("ADD", other, pod),
        4: lambda: send("ADD", node.config(), pod, args="IP=;;="),
        101: lambda: node.call("ADD", pod, more=asking),
        3: lambda: node.call("CHECK", pod),
        999: lambda: node.call("CHECK", pods[0], more={"prevResult": pods[1].result}),
    }
    with valgrind.watched(), ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda call: call(), calls.values()))
    assert [answer.json["code"] for answer in answers] == list(calls)
    with valgrind.watched():
        assert send("DEL", b"{", pod).ok
        assert send("ADD", damaged, pod).ok  # moved aside, and made anew
        node.command("no-such-command", statuses=(1,))
        node.command("show", "nobody-at-all", statuses=(1,))


def test_the_commands(node: Node, valgrind: Valgrind, tmp_path: Path):
    pods = node.start(3, "uid-")
    node.stop(pods[2])
    node.lose(pods[1])
    stdin = node.config(type="bridge")
    looks = ["list", "show lab/uid-0", "history", "status", "version", "gc --dry-run", "audit"]
    looks += ["list --output json", "history --output json", "status --output json", "--help"]
    looks += [f"export --host-local --to {tmp_path} --dry-run", "explain", "adopt --dry-run"]
    with valgrind.watched(), ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda words: node.command(*words.split(), stdin=stdin), looks))
    with valgrind.watched():
        node.command("release", pods[0].addresses[0], statuses=(1,))
        node.command("release", pods[1].container)
        node.command("export", "--host-local", "--to", tmp_path)
    assert node.leases() == node.living()


def cache(pod: Pod, *addresses: str) -> None:
    """As libcni writes it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    entry = {
        "kind": "cniCacheV1",
        "containerId": pod.container,
        "config": base64.b64encode(b"{}").decode(),
        "ifName": "eth0",
        "networkName": "lab",
        "netns": str(pod.netns),
        "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_UID", "uid-9"]],
        "result": {"cniVersion": "1.1.0", "ips": [{"address": one} for one in addresses]},
    }
    (CACHE / f"lab-{pod.container}-eth0").write_text(json.dumps(entry))


def test_what_is_found_on_the_machine(node: Node, valgrind: Valgrind):
    """An address in a namespace, one in libcni's cache, one of host-local's."""
    inside = netns.Netns("inside")
    inside.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other")
    inside.run("ip", "address", "add", "10.86.0.2/29", "dev", "eth0")
    cached, files, newcomer = node.pods(3)
    cache(cached, "10.86.0.3/29", "fd00:86::3/125")
    (CACHE / "lab-broken-eth0").write_text("{")
    folder = NETWORKS / "lab"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    (folder / "10.86.0.4").write_text(f"{files.container}\r\neth0")
    (folder / "10.86.0.5").touch()
    (folder / "last_reserved_ip.0").write_text("10.86.0.4")
    with valgrind.watched():
        node.command("adopt", "--dry-run", stdin=node.config(type="bridge"))
        node.add(newcomer)
        node.command("status")
        node.command("audit", statuses=(0, 2))
        node.delete(files)
        node.add(cached)
    assert cached.addresses == ["10.86.0.3", "fd00:86::3"]
