"""A small range under many pods at once, of which some are lost: sixteen runtimes work on one
store, an observer reads it all the time, and the grace passes again and again. What each may see of
the others is checked at every look and at every answer; see lab/machine.py for how time passes.
Before that, single moments that are short there, made long."""

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest
from lab import cni, netns, places, store
from lab.cni import Answer
from lab.machine import Machine
from lab.node import Node, Pod, exhaustion

V4, V6 = "10.86.0.0/26", "fd00:86::/122"
ROOM = 61  # of a /26: without network, broadcast and gateway
GRACE = 60  # kGrace of src/ipam/reclaim.h, in seconds
RUNTIMES = 16
SEED = int(os.environ.get("PODLEASE_STRESS_SEED") or random.SystemRandom().randrange(1, 1 << 32))
ROUNDS = int(os.environ.get("PODLEASE_STRESS_ROUNDS", "12"))
EVENTS = 25  # of each runtime in a round
VALID = "cni.dev/valid-attachments"
TRY_AGAIN, EXHAUSTED, OTHER = 11, 100, 999


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """As many addresses of each family."""
    machine = Machine(tmp_path)
    yield Node(machine, places.LEASES, V4, V6, exclude=["fd00:86::3f"])
    machine.close()
    netns.remove(*netns.names())


class Truth:
    """What must hold of the store, whoever looks. An attachment is live from the answer of its ADD
    until its end begins; it has ended once its DEL was answered, or its ADD refused. In between
    nothing is said of it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.looks = 0
        self._guard = threading.Lock()
        self._changes = 0
        # By container; the number tells one life of it from the next.
        self._live: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._ended: dict[str, int] = {}
        self._known: set[str] = set()

    def asks(self, pod: Pod) -> None:
        """Before its ADD."""
        with self._guard:
            self._known.add(pod.container)
            self._ended.pop(pod.container, None)

    def lives(self, pod: Pod) -> None:
        """Its ADD was answered, and nobody but this runtime can end it."""
        given = tuple(pod.addresses)
        assert len(given) == 2, f"{pod} has half of what it asked for"
        with self._guard:
            for container, (_, held) in self._live.items():
                clash = container != pod.container and set(held) & set(given)
                assert not clash, f"{clash} of {container} was given to {pod}"
            if pod.container in self._live:
                assert self._live[pod.container][1] == given, f"{pod} had other addresses before"
                return
            self._changes += 1
            self._live[pod.container] = (self._changes, given)

    def ends(self, pod: Pod) -> None:
        """Before its DEL, or before its namespace goes."""
        with self._guard:
            self._live.pop(pod.container, None)

    def has_ended(self, pod: Pod) -> None:
        with self._guard:
            assert pod.container not in self._live
            self._changes += 1
            self._ended[pod.container] = self._changes

    def is_live(self, pod: Pod) -> bool:
        with self._guard:
            return pod.container in self._live

    def living(self) -> dict[str, str]:
        """Address to container."""
        with self._guard:
            return {at: name for name, (_, given) in self._live.items() for at in given}

    def look(self) -> dict[str, str]:
        """One look at the store, which tells of one moment between here and there: whatever was so
        before it and is so after it must be so in it. Returns address to container."""
        with self._guard:
            live, ended = set(self._live.items()), set(self._ended.items())
        listed = self.node.listed()
        with self._guard:
            live &= set(self._live.items())
            ended &= set(self._ended.items())
            known = set(self._known)
        leases = [(lease["address"], lease["containerID"]) for lease in listed]
        twice = [at for at, times in Counter(at for at, _ in leases).items() if times > 1]
        assert not twice, f"leased twice: {twice}"
        held: dict[str, set[str]] = defaultdict(set)
        for address, container in leases:
            held[container].add(address)
        for container, addresses in held.items():
            assert container in known, f"{container} is nobody"
            assert len(addresses) == 2, f"{container} has {addresses}: not whole"
        for container, (_, given) in live:
            assert held.get(container) == set(given), f"{container} lives, {given}; {held}"
        left = [container for container, _ in ended if container in held]
        assert not left, f"{left} have ended, and hold leases"
        self.looks += 1
        return dict(leases)


class Runtime:
    """Starts and ends pods in any order. No other runtime knows of them."""

    def __init__(self, truth: Truth, seed: str) -> None:
        self.truth = truth
        self.node = truth.node
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.alive: list[Pod] = []
        self.lost: list[Pod] = []  # without a DEL so far
        self._unused: list[Pod] = []
        self._uids = (f"{seed}-{number}" for number in range(1_000_000))

    def run(self, events: int, stop: threading.Event) -> None:
        likely = {
            self.start: 30,
            self.stop: 12,
            self.lose: 9,
            self.replace: 9,
            self.repeat: 9,
            self.restart: 4,
            self.revive: 3,
            self.delete_late: 4,
            self.give_up: 4,
            self.kill: 4,
            self.check: 4,
            self.sweep: 1,
            self.collect: 0.5,
        }
        for event in self.chance.choices(list(likely), list(likely.values()), k=events):
            if stop.is_set():
                return
            event()
            self.done[event.__name__] += 1

    # What happens to pods.

    def start(self) -> None:
        self._add(self._new_pod())

    def stop(self) -> None:
        if pod := self._take(self.alive):
            self._delete(pod)
            netns.remove(pod.netns.name)

    def lose(self) -> None:
        if pod := self._take(self.alive):
            self._lose(pod)

    def replace(self) -> None:
        """The next sandbox of a pod, before the end of the old one, or after it, told or not."""
        if not (pod := self._take(self.alive)):
            return
        successor = self._new_pod()
        successor.uid = pod.uid
        end = self.chance.choice([self._delete, self._lose, self.alive.append])
        end(pod)
        self._add(successor)
        if end == self._delete:
            netns.remove(pod.netns.name)

    def repeat(self) -> None:
        """Of one that lives: always as before."""
        if pod := self._any(self.alive):
            assert self._add(pod), pod

    def restart(self) -> None:
        """DEL, and ADD of the same container in the same namespace."""
        if pod := self._take(self.alive):
            self._delete(pod)
            self._add(pod)

    def revive(self) -> None:
        """As podman restarts a container whose end it did not see: same id, same name, another
        namespace."""
        if pod := self._take(self.lost):
            netns.create(pod.netns.name)
            self._add(pod)

    def delete_late(self) -> None:
        """What it had may be another pod's by now."""
        if pod := self._take(self.lost):
            self._delete(pod)

    def give_up(self) -> None:
        """The runtime has no more patience: the namespace goes while the ADD runs, and then its
        DELs come, the first one perhaps before the ADD ends."""
        pod = self._new_pod()
        self._ask(pod)
        with self.node.spawn("ADD", pod) as process:
            time.sleep(self.chance.random() * 0.03)
            netns.remove(pod.netns.name)
            self._call_del(pod)
            output = process.stdout.read()
        if process.returncode != 0:
            answer = Answer(process.returncode, output, "")
            assert answer.json["code"] in (TRY_AGAIN, EXHAUSTED, OTHER), answer
            self.done["given up in time"] += answer.json["code"] == OTHER
        self._delete(pod)

    def kill(self) -> None:
        """The plugin is killed at any moment of an ADD; the runtime tries again, or tidies up, or
        forgets."""
        pod = self._new_pod()
        self._ask(pod)
        with self.node.spawn("ADD", pod) as process:
            time.sleep(self.chance.random() * 0.03)
            process.kill()
            process.stdout.read()  # until the plugin itself has ended, too
        self.chance.choice([self._add, self._delete_with_namespace, self._lose])(pod)

    def check(self) -> None:
        if pod := self._any(self.alive):
            answer = self.node.call("CHECK", pod, more={"prevResult": pod.result})
            assert answer.ok, answer

    # What a person or a timer does, and the runtime's own tidying.

    def sweep(self) -> None:
        self.node.command("gc")

    def collect(self) -> None:
        """GC by a runtime that does not know of all that lives."""
        valid = self.chance.sample(self.alive, self.chance.randint(0, len(self.alive)))
        known = [{"containerID": pod.container, "ifname": pod.ifname} for pod in valid]
        config = self.node.config(**{VALID: known})
        answer = cni.call(places.podlease(), "GC", config, under=self.node.machine.under)
        assert answer.ok, answer

    # The steps.

    def _add(self, pod: Pod) -> bool:
        """A refusal must be for want of addresses, and leaves nothing."""
        was_live = self.truth.is_live(pod)
        self._ask(pod)
        answer = self.node.call("ADD", pod)
        if answer.ok:
            pod.addresses, pod.result = answer.addresses, answer.json
            self.truth.lives(pod)
            if not was_live:
                self.alive.append(pod)
            return True
        assert not was_live, answer
        assert answer.status == 1 and answer.json["code"] in (TRY_AGAIN, EXHAUSTED), answer
        self.done[f"code {answer.json['code']}"] += 1
        if answer.json["code"] == EXHAUSTED:
            exhaustion(answer)
        self.truth.has_ended(pod)
        netns.remove(pod.netns.name)
        return False

    def _ask(self, pod: Pod) -> None:
        """Before an ADD."""
        self.truth.asks(pod)
        self.done["ADD"] += 1

    def _delete(self, pod: Pod) -> None:
        self.truth.ends(pod)
        self._call_del(pod)
        self.truth.has_ended(pod)

    def _delete_with_namespace(self, pod: Pod) -> None:
        self._delete(pod)
        netns.remove(pod.netns.name)

    def _call_del(self, pod: Pod) -> None:
        self.done["DEL"] += 1
        answer = self.node.call("DEL", pod)
        assert (answer.status, answer.stdout) == (0, b""), answer

    def _lose(self, pod: Pod) -> None:
        self.truth.ends(pod)
        netns.remove(pod.netns.name)
        self.lost.append(pod)

    def _new_pod(self) -> Pod:
        if not self._unused:
            self._unused = self.node.pods(10)
        pod = self._unused.pop()
        pod.uid = next(self._uids) if self.chance.random() < 0.7 else ""
        return pod

    def _take(self, pods: list[Pod]) -> Optional[Pod]:
        return pods.pop(self.chance.randrange(len(pods))) if pods else None

    def _any(self, pods: list[Pod]) -> Optional[Pod]:
        return self.chance.choice(pods) if pods else None


@contextmanager
def observed(truth: Truth, stop: threading.Event) -> Iterator[None]:
    """Somebody looks, again and again, until `stop`; the first thing wrong ends all."""
    faults: list[BaseException] = []

    def watch() -> None:
        try:
            while not stop.is_set():
                truth.look()
        except BaseException as fault:
            faults.append(fault)
            stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
    if faults:
        raise faults[0]


def run_round(truth: Truth, runtimes: list[Runtime]) -> None:
    stop = threading.Event()

    def run(runtime: Runtime) -> None:
        try:
            runtime.run(EVENTS, stop)
        except BaseException:
            stop.set()
            raise

    with observed(truth, stop), ThreadPoolExecutor(RUNTIMES) as threads:
        list(threads.map(run, runtimes))


def demand_sound(truth: Truth) -> dict[str, str]:
    """Between two rounds nobody is at work."""
    leases = truth.look()
    assert truth.living().items() <= leases.items()
    store.read_sound(Path(truth.node.ipam["dataDir"]))
    return leases


def end_all_that_is_lost(truth: Truth) -> None:
    truth.node.command("gc")
    truth.node.machine.later(GRACE)
    truth.node.command("gc")
    assert demand_sound(truth) == truth.living()


def endings(node: Node) -> Counter[str]:
    past: list[dict[str, Any]] = json.loads(node.command("history", "--output", "json").stdout)
    return Counter(lease["why"] for lease in past if lease["until"])


# --- Slowly -------------------------------------------------------------------------------------


def slowly(call: str, log: Path) -> list[str]:
    """Something to run a command under: its second such system call takes a second."""
    log.touch()
    slow = ["-e", f"trace={call}", "-e", f"inject={call}:delay_enter=1s:when=2"]
    return ["strace", "-f", "-o", str(log), *slow, "--"]


def test_gc_ends_an_attachment_whole_or_not_at_all(node: Node, tmp_path: Path):
    """Its namespace goes between GC's looks at the one and the other of its addresses."""
    (pod,) = node.start(1)
    log = tmp_path / "strace"
    under = slowly("statfs", log)
    with ThreadPoolExecutor(1) as thread:
        gc = thread.submit(node.call, "GC", pod, under=under, more={VALID: []})
        while pod.netns.name not in log.read_text() and not gc.done():
            time.sleep(0.01)
        node.lose(pod)
        assert gc.result().ok
    assert len(node.leases()) in (0, 2)


def test_release_spares_who_came_back_meanwhile(node: Node, tmp_path: Path):
    """It finds the lease and its namespace gone; then podman starts the container again; then it
    has the lock to end the lease."""
    (pod,) = node.start(1)
    node.lose(pod)
    log = tmp_path / "strace"
    command = [*slowly("flock", log), places.podlease(), "release", pod.container]
    command += ["--data-dir", node.ipam["dataDir"]]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as release:
        while "flock" not in log.read_text() and release.poll() is None:
            time.sleep(0.01)
        time.sleep(0.3)  # it looks at the namespace
        netns.create(pod.netns.name)
        node.add(pod)
    assert node.leases() == node.living()


def test_release_of_an_address_ends_its_attachment_whole(node: Node):
    """With half of what it asked for it would be served again."""
    pod, _ = node.start(2)
    node.lose(pod)
    node.command("release", pod.addresses[0])
    assert node.leases() == node.living()


# --- Fast ---------------------------------------------------------------------------------------


def test_a_small_range_under_many_pods_of_which_some_are_lost(node: Node):
    print(f"PODLEASE_STRESS_SEED={SEED}")
    chance = random.Random(SEED)
    truth = Truth(node)
    node.pods(1)  # alone: the first one makes the folder a mount
    runtimes = [Runtime(truth, f"{SEED}-{number}") for number in range(RUNTIMES)]
    for number in range(ROUNDS):
        # With one, ADDs wait for the second that an address freed just now is nobody's.
        node.ipam["cooldown"] = "30s" if number % 6 == 1 else "0s"
        run_round(truth, runtimes)
        leases = demand_sound(truth)
        print(
            f"round {number}, cool-down {node.ipam['cooldown']}: {len(truth.living()) // 2} live,"
            f" {len(leases) // 2} leased, {truth.looks} looks so far"
        )
        if chance.random() < 0.3:
            end_all_that_is_lost(truth)
        else:
            node.machine.later(chance.choice([0, GRACE // 2, GRACE, GRACE]))
    done = sum((runtime.done for runtime in runtimes), Counter())
    print(dict(done))

    # The whole node is lost, with every address leased.
    node.live = [pod for runtime in runtimes for pod in runtime.alive]
    node.machine.later(2)  # what was freed within the last second is nobody's
    while len(node.live) < ROOM:
        end_all_that_is_lost(truth)
        for pod in node.pods(ROOM - len(node.live)):
            truth.asks(pod)
            node.add(pod)
            truth.lives(pod)
    assert node.refuse()["suspect"] == 0
    assert demand_sound(truth) == truth.living() == node.living()
    for pod in list(node.live):
        truth.ends(pod)
        node.lose(pod)
    assert node.refuse()["suspect"] >= ROOM
    node.machine.later(GRACE)
    node.start(ROOM)
    assert node.refuse()["suspect"] == 0
    assert node.leases() == node.living()
    assert json.loads(node.command("audit", "--output", "json").stdout) == []
    store.read_sound(Path(node.ipam["dataDir"]))

    ended = endings(node)
    print(f"ends of leases: {dict(ended)}")
    assert all(ended[why] for why in ("del", "takeover", "reclaim")), "too tame to tell anything"
    assert done[f"code {EXHAUSTED}"], "the range was never full"
