"""A store that another version of podlease wrote: a newer minor's is used, and what that added is
left alone, so that it finds its own again; of a newer major's only the leases end, so that a node
can be rolled back. (Each call of the store by itself: tests/unit/store_test.cpp.)"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Iterator

import pytest
from lab import cni, netns, places, store
from lab.cni import Config
from lab.machine import Machine
from lab.node import Node, Pod

V4, V6 = "10.86.0.0/28", "fd00:86::/124"
GRACE = 60  # kGrace of src/ipam/reclaim.h, in seconds
TABLES = ("network", "lease", "freed", "touched", "note")
VALID = "cni.dev/valid-attachments"
IO_ERROR = 5


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    machine = Machine(tmp_path)
    yield Node(machine, places.LEASES, V4, V6, exclude=["fd00:86::f"])
    machine.close()
    netns.remove(*netns.names())


def ask(folder: Path, *statements: str) -> list[list[tuple]]:
    """The answers of SQLite alone."""
    with closing(sqlite3.connect(folder / "podlease.db", isolation_level=None)) as database:
        return [database.execute(statement).fetchall() for statement in statements]


def command(node: Node, *arguments: str, **how: Any) -> Any:
    return json.loads(node.command(*arguments, "--output", "json", **how).stdout)


# --- A newer minor ------------------------------------------------------------------------------


def make_newer_minor(folder: Path) -> None:
    """Columns, an index, a table and notes, of which this podlease knows nothing."""
    for table in TABLES:
        ask(
            folder,
            f"ALTER TABLE {table} ADD COLUMN later TEXT DEFAULT 'unset'",
            f"ALTER TABLE {table} ADD COLUMN count INTEGER NOT NULL DEFAULT 7",
            f"UPDATE {table} SET later = 'kept'",
        )
    ask(
        folder,
        "CREATE INDEX lease_later ON lease(later)",
        "CREATE TABLE later(network INTEGER, address BLOB, PRIMARY KEY(network, address))",
        "INSERT INTO later SELECT network, address FROM lease",
        "INSERT INTO note(kind, network, key, value)"
        " SELECT 'later', network, address, x'00ff0a1f' FROM lease",
        "INSERT INTO note(kind, network, key, value) VALUES('later', 0, 'of no network', '')",
        "PRAGMA user_version = 1042",
    )


def of_the_newer_minor(folder: Path) -> list[list[tuple]]:
    """What only it knows, and what must be there for it to go on."""
    return ask(
        folder,
        "PRAGMA user_version",
        "PRAGMA application_id",
        "SELECT * FROM sqlite_schema ORDER BY name",
        "SELECT * FROM later ORDER BY 1, 2",
        "SELECT * FROM note WHERE kind = 'later' ORDER BY network, key",
    )


def marked(folder: Path) -> set[str]:
    """The containers of leases that have what the newer minor wrote to them."""
    return {name for (name,) in ask(folder, "SELECT container FROM lease WHERE later = 'kept'")[0]}


@pytest.fixture
def newer_minor(node: Node) -> Node:
    """With five pods, the addresses of two that have ended, and a suspect."""
    pods = node.start(8, "uid-")
    node.stop(*pods[5:7])
    node.lose(pods[7])
    command(node, "gc")
    make_newer_minor(places.LEASES)
    return node


def test_pods_come_and_go_on_a_store_of_a_newer_minor(newer_minor: Node):
    node, folder = newer_minor, places.LEASES
    before = of_the_newer_minor(folder)
    *old, last = list(node.live)
    for pod in node.live:
        answer = node.call("CHECK", pod, more={"prevResult": pod.result})
        assert (answer.status, answer.stdout) == (0, b""), answer
    node.add(old[0])  # notes that somebody else wrote the log, and asks the machine
    snapshot = store.snapshot(folder)
    for pod in old:
        addresses = pod.addresses
        node.add(pod)
        assert pod.addresses == addresses
    assert store.snapshot(folder) == snapshot, "a repeated ADD has nothing to write"
    assert marked(folder) >= {pod.container for pod in old}

    node.delete(last)
    back = node.next_sandbox(last)
    node.add(back)
    assert back.addresses == last.addresses
    node.lose(old[0])
    heir = node.next_sandbox(old[0])
    node.add(heir)
    assert heir.addresses == old[0].addresses
    node.machine.later(GRACE)
    newcomers = node.start(13 - len(node.live), "new-")
    assert node.refuse()["suspect"] == 0
    assert node.leases() == node.living()
    assert marked(folder) == {pod.container for pod in old[1:]}

    known = [{"containerID": pod.container, "ifname": "eth0"} for pod in newcomers]
    netns.remove(*(pod.netns.name for pod in old[1:]))
    node.live = [back, heir, *newcomers]
    assert node.call("GC", back, more={VALID: known}).ok
    assert node.leases() == node.living()
    node.ipam["statusFailsWhenExhausted"] = True
    assert node.call("STATUS", back).ok
    store.read_sound(folder)
    assert of_the_newer_minor(folder) == before
    node.stop(*node.live)
    assert node.leases() == {}
    store.read_sound(folder)
    assert of_the_newer_minor(folder) == before


def test_every_command_works_on_a_store_of_a_newer_minor(newer_minor: Node, tmp_path: Path):
    node, folder = newer_minor, places.LEASES
    before = of_the_newer_minor(folder)
    pod = node.live[0]
    assert len(command(node, "list")) == 12
    snapshot = store.snapshot(folder)
    assert {lease["address"] for lease in command(node, "show", pod.container)} == set(
        pod.addresses
    )
    past = command(node, "history")
    assert sorted(lease["why"] for lease in past if lease["until"]) == ["del"] * 4
    assert node.command("status").stdout
    asked = node.config(type="bridge")
    assert node.command("explain", "--container-id", pod.container, stdin=asked).stdout
    assert node.command("adopt", "--dry-run", stdin=asked).stdout
    assert command(node, "audit") == []
    assert {lease["verdict"] for lease in command(node, "gc", "--dry-run")} == {"suspected"}
    to = ("export", "--host-local", "--to", tmp_path / "networks")
    # It was not podlease that wrote last: pods may live that the store does not know.
    assert "podlease adopt" in node.command(*to, "--dry-run", statuses=(1,)).stderr
    assert store.snapshot(folder) == snapshot, "to look changes nothing"

    node.machine.later(GRACE)
    assert {lease["verdict"] for lease in command(node, "gc")} == {"reclaimed"}
    assert node.leases() == node.living()
    node.command("release", pod.container, "--force")
    node.lose(pod)
    assert node.leases() == node.living()
    node.command("adopt", stdin=asked)
    node.command(*to)
    assert (tmp_path / "networks/lab" / node.live[0].addresses[0]).exists()
    node.stop(node.live[0])
    assert node.leases() == node.living()
    assert marked(folder) == {pod.container for pod in node.live}
    store.read_sound(folder)
    assert of_the_newer_minor(folder) == before


# --- A newer major ------------------------------------------------------------------------------


def make_newer_major(folder: Path) -> None:
    """Only the table of leases, and the names of networks, are as they were; of the rest nothing is
    known."""
    ask(
        folder,
        "ALTER TABLE lease ADD COLUMN later TEXT DEFAULT 'kept'",
        "CREATE TABLE later(text TEXT)",
        "INSERT INTO later VALUES('kept')",
        "DROP TABLE freed",
        "DROP TABLE touched",
        "DROP TABLE note",
        "CREATE TABLE note(topic TEXT, text TEXT)",
        "PRAGMA user_version = 2003",
    )


@pytest.fixture
def newer_major(node: Node) -> Node:
    node.start(5, "uid-")
    make_newer_major(places.LEASES)
    return node


def all_but(folder: Path, *pods: Pod) -> list[list[tuple]]:
    """What the DELs of these pods must leave."""
    gone = ", ".join(f"'{pod.container}'" for pod in pods)
    return ask(
        folder,
        "PRAGMA user_version",
        "SELECT * FROM sqlite_schema ORDER BY name",
        "SELECT * FROM network",
        f"SELECT * FROM lease WHERE container NOT IN ({gone}) ORDER BY id",
        "SELECT * FROM later",
        "SELECT * FROM note",
    )


def test_what_a_store_of_a_newer_major_refuses_says_why_and_changes_nothing(newer_major: Node):
    node, folder = newer_major, places.LEASES
    pod, stranger = node.live[0], node.pods(1)[0]
    node.command("list", statuses=(1,))  # makes an empty log anew, which SQLite's own took away
    before = store.snapshot(folder)
    for verb, asking, more in (
        ("ADD", stranger, {}),
        ("ADD", pod, {}),
        ("CHECK", pod, {"prevResult": pod.result}),
        ("GC", pod, {VALID: []}),
    ):
        answer = node.call(verb, asking, more=more)
        assert answer.status == 1 and answer.json["code"] == IO_ERROR, answer
        assert str(folder / "podlease.db") in answer.json["msg"], answer
        assert "schema 2.3" in answer.json["msg"] and "DEL works" in answer.json["details"], answer
    commands = ["list", "show 10.86.0.2", "history", "explain", "adopt", "gc"]
    for words in (*commands, "release 10.86.0.2 --force", "export --host-local"):
        refused = node.command(*words.split(), statuses=(1,), stdin=node.config())
        assert refused.stdout == ""
        assert "schema 2.3" in refused.stderr and "DEL works" in refused.stderr, refused
    for overview in ("status", "audit"):  # other stores may be in order
        assert "schema 2.3" in node.command(overview, statuses=(2,)).stdout
    assert store.snapshot(folder) == before


@pytest.mark.parametrize(
    "config",
    [
        {"cniVersion": "1.1.0", "name": "lab", "ipam": {"type": "podlease"}},
        {"cniVersion": "9.9.9", "name": "lab", "ipam": {"type": "podlease", "ranges": 7}},
        b"{}",
    ],
    ids=["without its folder", "invalid", "empty"],
)
def test_dels_end_leases_of_a_newer_major_and_leave_the_rest(newer_major: Node, config: Config):
    """Also where only the list of stores tells where they are."""
    node, folder = newer_major, places.LEASES
    first, second, third, *rest = list(node.live)
    before = all_but(folder, first, second, third)
    node.delete(first)
    node.delete(first)
    netns.remove(second.netns.name)
    node.delete(second)
    how = {"container_id": third.container, "netns": third.netns}
    answer = cni.call(places.podlease(), "DEL", config, **how)
    assert (answer.status, answer.stdout) == (0, b""), answer
    assert all_but(folder, first, second, third) == before
    left = {name for (name,) in ask(folder, "SELECT container FROM lease")[0]}
    assert left == {pod.container for pod in rest}
