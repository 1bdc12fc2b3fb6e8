"""Measures mode cluster-pool on a real etcd and API server: the program behind scripts/bench
--cluster. Nothing fails for being slow; a wrong answer, such as an address given twice, ends it."""

import argparse
import json
import os
import random
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from statistics import median
from typing import Any, Iterator

from report import Figure, Report, Section, at_most, exactly, machine

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cluster"))

from lab import places, simulated  # noqa: E402
from lab.api import Requests  # noqa: E402
from lab.cni import Answer  # noqa: E402
from lab.simulated import TRY_AGAIN, Crowd, Node, at_once, next_container  # noqa: E402

# All of it on one machine, which is also the API server's: that answers take long there is no
# reason to give up, as it would be on a node.
PATIENT = {"kubernetes": {"timeout": "60s"}}
MEMORY = Path("/run/bench")  # in the sandbox: what need not be durable
REFRESH = 60  # seconds; the default
WRITES = ("POST", "PATCH", "PUT", "DELETE")


@dataclass(frozen=True)
class Settings:
    folder: Path  # on a disk
    quick: bool

    def times(self, full: int, quick: int) -> int:
        return quick if self.quick else full


START = time.monotonic()


def say(text: str) -> None:
    print(f"bench: {time.monotonic() - START:3.0f} s  {text}", file=sys.stderr, flush=True)


def demand(answer: Answer) -> Answer:
    assert answer.ok, answer
    return answer


# What is timed: one call after another, with the answer in a file, and stores on a disk.


@dataclass(frozen=True)
class Subject:
    """A network of a node whose calls are timed."""

    config: Path

    def call(self, verb: str, container: str) -> tuple[float, Answer]:
        """Milliseconds, from spawning to reaping, and the answer."""
        env = simulated.environment(verb, container)
        return timed(places.podlease(), env, self.config)


def timed(program: Path, env: dict[str, str], stdin: Path) -> tuple[float, Answer]:
    said = MEMORY / "answer"
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, str(stdin), os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(said), write, 0o600),
    ]
    begin = time.perf_counter()
    process = os.posix_spawn(program, [str(program)], env, file_actions=actions)
    _, status = os.waitpid(process, 0)
    took = (time.perf_counter() - begin) * 1000
    return took, Answer(os.waitstatus_to_exitcode(status), said.read_bytes(), "")


class Disk:
    """Appends 4 KiB to a file and makes that durable: what a commit costs at least."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "latency", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def probe(self) -> float:
        begin = time.perf_counter()
        os.write(self._fd, b"x" * 4096)
        os.fdatasync(self._fd)
        return (time.perf_counter() - begin) * 1000


def static(folder: Path, subnet: str) -> Subject:
    """The same addresses out of the configuration."""
    folder.mkdir()
    ipam = {"type": "podlease", "dataDir": str(folder / "store"), "ranges": [[{"subnet": subnet}]]}
    config = {"cniVersion": "1.1.0", "name": simulated.NETWORK, "type": "routed"}
    subject = Subject(folder / "10-pods.conf")
    subject.config.write_text(json.dumps({**config, "ipam": ipam}))
    return subject


def in_a_block(settings: Settings) -> Section:
    section = Section("ADD and DEL in an owned, verified block, against static ranges")
    rounds, leased = settings.times(300, 40), 20
    # Freed addresses are cool at once: a block has 61, and all of this shall fit into one.
    ipam = {"cooldown": "0s"}
    with a_crowd("in-a-block", settings, 1, ipam) as crowd:
        crowd.make_pool(["10.96.0.0/16"])
        pooled = Subject(crowd.nodes[0].config)
        fixed = static(settings.folder / "static", "10.95.0.0/26")
        config = json.loads(fixed.config.read_text())
        config["ipam"] |= ipam
        fixed.config.write_text(json.dumps(config))
        subjects = [fixed, pooled]
        for subject in subjects:
            for _ in range(leased):
                demand(subject.call("ADD", next_container())[1])
        disk, disks = Disk(settings.folder), []
        times: list[dict[str, list[float]]] = [{"ADD": [], "DEL": []} for _ in subjects]
        before = crowd.api.requests()
        begin = time.monotonic()
        for round_ in range(-2, rounds):
            probe = disk.probe()
            # They change places: who comes first would tell.
            for at in (0, 1) if round_ % 2 else (1, 0):
                container = next_container()
                for verb in ("ADD", "DEL"):
                    took, answer = subjects[at].call(verb, container)
                    demand(answer)
                    if round_ >= 0:
                        times[at][verb].append(took)
            if round_ >= 0:
                disks.append(probe)
        seconds = time.monotonic() - begin
        made = crowd.api.requests() - before
        assert len(crowd.blocks()) == 1
        for verb in ("ADD", "DEL"):
            base, own = (median(each[verb]) for each in times)
            floor = at_most(1.10) if verb == "ADD" else None
            section.figures.append(
                Figure(verb, own, "ms", "static", base, own / base, floor, median(disks))
            )
        asked = made.of_kind("podblocks")
        section.figures.append(Figure("requests about blocks", asked, floor=exactly(0)))
        section.figures.append(reads_of_objects(made, 1, seconds, 0))
    return section


def claims(settings: Settings) -> Section:
    """Several nodes, so that none has many blocks; each claims a few."""
    nodes, blocks = settings.times(20, 4), 4
    section = Section("A claim, TLS on loopback, against an ADD that needs none")
    first: list[float] = []
    with_claim: list[float] = []
    without: list[float] = []
    with a_crowd("claims", settings, nodes, {}) as crowd:
        crowd.make_pool(["10.96.0.0/16"])
        disk, disks = Disk(settings.folder), []
        for node in crowd.nodes:
            subject, seen = Subject(node.config), set()
            while len(seen) < blocks:
                took, answer = subject.call("ADD", next_container())
                (address,) = demand(answer).addresses
                block = ip_network(f"{address}/26", strict=False)
                kind = without if block in seen else with_claim if seen else first
                kind.append(took)
                seen.add(block)
            disks.append(disk.probe())
        made = len(crowd.blocks())
        assert made == nodes * blocks, made
    extra = median(with_claim) - median(without)
    latency = median(disks)
    section.figures = [
        Figure("ADD that needs none", median(without), "ms", disk_latency=latency),
        Figure(
            "ADD that claims a block",
            median(with_claim),
            "ms",
            "without",
            median(without),
            disk_latency=latency,
        ),
        Figure("the claim alone", extra, "ms", floor=at_most(25), disk_latency=latency),
        Figure("the first ADD of a node", median(first), "ms", disk_latency=latency),
    ]
    return section


# What is counted: many nodes at once, with stores in memory.

# Together 5,552 blocks of 64 addresses, 9 of 10 of which are claimed, and 333.
STORM = ["10.96.0.0/14", "10.100.0.0/16", "10.101.0.0/18", "10.101.64.0/19"]
STORM += ["10.101.96.0/21", "10.101.104.0/22"]
QUICK_STORM = ["10.96.0.0/18", "10.96.64.0/20", "10.96.80.0/22", "10.96.84.0/24"]  # 340


def storm(settings: Settings) -> Section:
    nodes, at_a_time = settings.times(5000, 300), 200
    cidrs = QUICK_STORM if settings.quick else STORM
    capacity = sum(2 ** (26 - ip_network(cidr).prefixlen) for cidr in cidrs)
    with a_crowd("storm", settings, nodes, PATIENT, in_memory=True) as crowd:
        crowd.make_pool(cidrs)
        say(f"  {nodes:,} ADDs, {at_a_time} at a time")
        again = Counter()
        times: list[float] = []

        def add(node: Node) -> None:
            if node.number % 100 == 0:
                # Nodes have a list of stores each in life, with one in it.
                simulated.STORES.unlink(missing_ok=True)
            container = next_container()
            while True:
                begin = time.monotonic()
                answer = crowd.pods.add(node, container)
                if answer.ok:
                    times.append(time.monotonic() - begin)
                    break
                assert answer.json["code"] == TRY_AGAIN, answer
                again.count(answer.json["msg"])
                time.sleep(1)  # a kubelet waits longer
            if len(times) % 1000 == 0:
                say(f"  {len(times):,}")

        before = crowd.api.requests()
        begin = time.monotonic()
        at_once(at_a_time, add, crowd.nodes)
        seconds = time.monotonic() - begin
        made = crowd.api.requests() - before
        say("  looking whether all is right")
        crowd.demand_order()
        claimed = len(crowd.blocks())
        assert claimed == nodes == len(crowd.pods), (claimed, len(crowd.pods))
    again.tell()
    title = f"Storm: {nodes} nodes, {at_a_time} at a time, one ADD each, pool of {capacity} blocks"
    writes = made.of_kind("podblocks", *WRITES)
    lists = made.of_kind("podblocks", "LIST", code="200")
    return Section(
        title,
        [
            Figure("blocks claimed", claimed, against="of", other=capacity),
            twice(crowd),
            Figure("writes for each block", writes / claimed, floor=at_most(1.3)),
            Figure("lists for each block", lists / claimed, floor=at_most(1)),
            *spoiled(made),
            Figure("all requests for each node", total(made) / nodes),
            Figure("ADDs told to try again (11)", again.sum, against="ADDs", other=nodes),
            Figure("ADDs in a second", nodes / seconds),
            Figure("ADD, median, with all at once", median(times) * 1000, "ms"),
            Figure("longest ADD", max(times) * 1000, "ms"),
        ],
    )


def churn(settings: Settings) -> Section:
    nodes, calls = 50, settings.times(200_000, 4_000)
    most, stay = 90, settings.times(300, 60)  # pods on a node, calls until it leaves
    seed = random.randrange(10**6)
    with a_crowd("churn", settings, nodes, PATIENT, in_memory=True) as crowd:
        crowd.make_pool(["10.96.0.0/16"])
        say(f"  {calls:,} ADDs and DELs on {nodes} nodes, seed {seed}")
        again, left, done = Counter(), Counter(), Counter()
        pods = crowd.pods

        def add(node: Node) -> None:
            done.count("ADD")
            answer = pods.add(node, next_container())
            if not answer.ok:
                assert answer.json["code"] == TRY_AGAIN, answer
                again.count(answer.json["msg"])
            assert not pods.twice, pods.twice

        def delete(node: Node, container: str) -> None:
            done.count("DEL")
            demand(pods.delete(node, container))

        def leave(node: Node) -> None:
            for container in pods.of(node):
                delete(node, container)
            demand(node.release())
            left.count(node.name)

        def live(node: Node) -> None:
            chance = random.Random(seed + node.number)
            wanted = chance.randrange(most)
            while done.sum < calls:
                here = pods.of(node)
                if chance.randrange(stay) == 0:
                    leave(node)
                elif chance.randrange(20) == 0:
                    wanted = chance.randrange(most)
                elif len(here) > wanted or (here and chance.random() < 0.5):
                    delete(node, chance.choice(here))
                else:
                    add(node)
            leave(node)

        before = crowd.api.requests()
        begin = time.monotonic()
        at_once(nodes, live, crowd.nodes)
        seconds = time.monotonic() - begin
        made = crowd.api.requests() - before
        crowd.demand_order()
        assert crowd.blocks() == []
    again.tell()
    claimed = made.of_kind("podblocks", "POST", code="201")
    return Section(
        f"Churn: ADD and DEL on {nodes} nodes that come and go",
        [
            Figure("ADDs and DELs", done.sum),
            Figure("blocks claimed and released", claimed),
            twice(crowd),
            Figure("nodes that left, and came back", left.sum),
            Figure(
                "requests for each block", made.of_kind("podblocks") / claimed, floor=at_most(4)
            ),
            *spoiled(made),
            reads_of_objects(made, nodes, seconds, left.sum),
            Figure("ADDs told to try again (11)", again.sum),
            Figure("ADDs and DELs in a second", done.sum / seconds),
        ],
    )


def reads_of_objects(made: Requests, nodes: int, seconds: float, commands: int) -> Figure:
    """GETs of the Node and of the PodPool, against one of each in `refresh` on each node; a command
    of the operator reads both once more, and the pool of the blocks it gives back."""
    allowed = 2 * nodes * (seconds / REFRESH + 1) + 3 * commands
    asked = made.of_kind("nodes", "GET") + made.of_kind("podpools", "GET")
    what = "GETs of Node and PodPool"
    return Figure(what, asked, "", "one a refresh", allowed, asked / allowed, at_most(1))


def twice(crowd: Crowd) -> Figure:
    """That there were none was demanded already."""
    return Figure("addresses given twice", len(crowd.pods.twice), floor=exactly(0))


KINDS = ("nodes", "podpools", "podblocks")


def total(made: Requests, code: str = "") -> int:
    return sum(made.of_kind(kind, code=code) for kind in KINDS)


def spoiled(made: Requests) -> list[Figure]:
    """What nobody can help. Of a claim that another node won the server is asked whose it is, so
    each is two requests."""
    return [
        Figure("claims that another node won", made.of_kind("podblocks", "POST", code="409")),
        Figure("requests that the server put off (429)", total(made, "429")),
    ]


@dataclass
class Counter:
    """Counts, on many threads, what is said."""

    _said: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        with self._lock:
            self._said[what] = self._said.get(what, 0) + 1

    @property
    def sum(self) -> int:
        with self._lock:
            return sum(self._said.values())

    def tell(self) -> None:
        for what, number in sorted(self._said.items(), key=lambda item: -item[1])[:5]:
            say(f"  {number} times: {what}")


@contextmanager
def a_crowd(
    name: str, settings: Settings, nodes: int, ipam: dict[str, Any], in_memory: bool = False
) -> Iterator[Crowd]:
    say(f"{name}: an API server and {nodes} nodes")
    stores = None if in_memory else settings.folder / name
    with simulated.crowd(MEMORY / name, nodes, ipam, stores=stores) as crowd:
        yield crowd


SECTIONS = {"block": in_a_block, "claims": claims, "storm": storm, "churn": churn}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=SECTIONS, action="append")
    arguments = parser.parse_args()
    settings = Settings(arguments.folder, arguments.quick)
    report = Report(
        {
            "machine": machine(),
            "folder": str(settings.folder),
            "podlease": str(places.podlease()),
            "run": "quick: few repeats" if settings.quick else "full",
        }
    )
    MEMORY.mkdir()
    for name in arguments.only or SECTIONS:
        report.sections.append(SECTIONS[name](settings))
    print(report.json() if arguments.json else report.table())


if __name__ == "__main__":
    main()
