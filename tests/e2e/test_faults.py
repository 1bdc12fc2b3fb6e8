"""podlease is killed, refused by the kernel, or given a store it cannot use: nothing is half done,
nothing is leased twice, and what comes next works."""

import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from lab import cni, hold, places, store, strace
from lab.ipam import Ipam
from lab.netns import NetnsFactory
from lab.shell import Shell

REGISTRY = Path("/var/lib/podlease/stores")
NETNS = "/run/netns/none"
LONGEST_LOG = 384  # kLongestLog of src/store/database.cpp
IO_ERROR = 5
AT_ONCE = 2

_numbers = itertools.count(1)


def config_for(folder: Path, **more: object) -> dict:
    ranges = Ipam("podlease", folder).config("10.88.0.0/24", "fd00:88::/64", **more)
    return {"cniVersion": "1.1.0", "name": "lab", "type": "bridge", "ipam": ranges}


def call(folder: Path, verb: str, container_id: str, **how: Any) -> cni.Answer:
    how = {"netns": NETNS, **how}
    return cni.call(places.podlease(), verb, config_for(folder), container_id=container_id, **how)


def add(folder: Path, container_id: str) -> list[str]:
    """The addresses of an ADD, which must succeed."""
    answer = call(folder, "ADD", container_id)
    assert answer.ok, answer.stdout
    return answer.addresses


def delete(folder: Path, container_id: str) -> None:
    answer = call(folder, "DEL", container_id)
    assert (answer.status, answer.stdout) == (0, b"")


def refused(answer: cni.Answer, code: int = IO_ERROR) -> bool:
    return answer.status == 1 and answer.json["code"] == code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store of the test will be."""
    return tmp_path / "leases"


@pytest.fixture
def filled(folder: Path) -> Path:
    """A store with three leases and some freed addresses."""
    fill(folder)
    return folder


def fill(folder: Path) -> None:
    for number in range(5):
        add(folder, f"pod-{number}")
    delete(folder, "pod-3")
    delete(folder, "pod-4")


# Killed at every system call.


def nothing(_: Path) -> None:
    """There is no store yet."""


def fill_and_lease(folder: Path) -> None:
    fill(folder)
    add(folder, "victim")


def fill_log(folder: Path) -> None:
    """The next call finds a log that is due for a checkpoint."""
    fill(folder)
    while int((folder / "lock").read_text().split()[3]) < LONGEST_LOG:
        add(folder, f"pod-{next(_numbers)}")


def leave_host_local_folder(folder: Path) -> None:
    """Two pods that host-local has leased to."""
    network = folder / "lab"
    network.mkdir(parents=True)
    (network / "lock").touch()
    (network / "last_reserved_ip.0").write_text("10.88.0.3")
    for number in (2, 3):
        (network / f"10.88.0.{number}").write_text(f"adopted-{number}\r\neth0")


@dataclass
class Victim:
    """A call that is killed, on a store that was prepared."""

    verb: str
    prepare: Callable[[Path], None]


VICTIMS = {
    "ADD": Victim("ADD", fill),
    "DEL": Victim("DEL", fill_and_lease),
    "first ADD": Victim("ADD", nothing),
    "adopting ADD": Victim("ADD", leave_host_local_folder),
    "checkpointing ADD": Victim("ADD", fill_log),
    "checkpointing DEL": Victim("DEL", lambda folder: (fill_and_lease(folder), fill_log(folder))),
}


class Stage:
    """A prepared store, to be copied for each fault."""

    def __init__(self, victim: Victim, template: Path) -> None:
        self.verb = victim.verb
        self.template = template
        victim.prepare(template)
        REGISTRY.unlink(missing_ok=True)
        self.before = self.contents(template)
        # The DEL of a lease that is not there looks for it in every registered store. Copies are
        # not registered, but new stores are: then each must be gone before the next.
        self.at_once = AT_ONCE if (template / "podlease.db").exists() else 1

    @contextmanager
    def copy(self) -> Iterator[Path]:
        top = Path("/run", f"fault-{next(_numbers)}")
        top.mkdir()
        if self.template.exists():
            shutil.copytree(self.template, top / "leases")
        yield top / "leases"
        shutil.rmtree(top)
        REGISTRY.unlink(missing_ok=True)

    def run(self, folder: Path, *options: str) -> cni.Answer:
        """The call that meets the fault."""
        log = folder.parent / "strace"
        named = {"netns": NETNS, "container_id": "victim"}
        return strace.run(self.verb, config_for(folder), log, *options, **named)

    def places_to_inject(self) -> list[tuple[str, int]]:
        """The system calls of the undisturbed call."""
        with self.copy() as folder:
            answer = self.run(folder)
            assert answer.ok, answer.stdout
            return strace.places_to_inject(folder.parent / "strace")

    @staticmethod
    def contents(folder: Path) -> store.Contents:
        exists = (folder / "podlease.db").exists()
        return store.read_sound(folder) if exists else store.Contents({}, set(), set())

    def check(self, folder: Path) -> list[str]:
        """The store is sound, and nobody but the victim has noticed anything. Returns what that one
        holds."""
        after = self.contents(folder)
        for at, holder in self.before.leased.items():
            assert holder[0] == "victim" or after.leased[at] == holder
        held = after.of("victim")
        assert len(held) in (0, 2), "one half was done"
        return held

    def check_goes_on(self, folder: Path) -> None:
        """DEL and ADD of the victim work, and of others."""
        delete(folder, "victim")
        other = add(folder, "other")
        again = add(folder, "victim")
        assert call(folder, "CHECK", "victim").ok
        assert self.check(folder) == again
        contents = self.contents(folder)
        assert contents.of("other") == other
        adopted = {f"10.88.0.{at}" for at in (2, 3) if (folder / f"lab/10.88.0.{at}").exists()}
        assert all(contents.of(f"adopted-{at[-1]}") == [at] for at in adopted)


@pytest.mark.parametrize("name", VICTIMS)
def test_killed_at_any_system_call_it_leaves_all_or_nothing(name: str, folder: Path) -> None:
    stage = Stage(VICTIMS[name], folder)

    def kill_at(place: tuple[str, int]) -> bool:
        with stage.copy() as copy:
            answer = stage.run(copy, *strace.kill_at(place))
            assert answer.status == -signal.SIGKILL, place
            try:
                held = bool(stage.check(copy))
                stage.check_goes_on(copy)
            except Exception as error:
                raise AssertionError(f"killed at {place}: {error}") from error
            return held

    steps = sampled(stage.places_to_inject()[1:], 180)  # the first would be strace's
    with ThreadPoolExecutor(stage.at_once) as threads:
        held = list(threads.map(kill_at, steps))
    assert True in held and False in held  # before its commit, and after it
    print(f"{len(held)} kills")


def sampled(steps: list, at_most: int) -> list:
    """All, or so many of them at even distances, the first and the last among them."""
    if len(steps) <= at_most:
        return steps
    return [steps[index * (len(steps) - 1) // (at_most - 1)] for index in range(at_most)]


# Refused by the kernel.

ERRORS = [
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("fdatasync", "EIO"),
    ("fdatasync", "ENOSPC"),
    ("fsync", "EIO"),
    ("openat", "EIO"),
    ("openat", "EMFILE"),
    ("pread64", "EIO"),
    ("mkdir", "ENOSPC"),
    ("write", "ENOSPC"),
]


@pytest.mark.parametrize("name", VICTIMS)
def test_an_error_of_any_system_call_is_reported_and_nothing_is_half_done(
    name: str, folder: Path
) -> None:
    stage = Stage(VICTIMS[name], folder)

    def fail_at(fault: tuple[str, str, str]) -> bool:
        name, error, when = fault
        with stage.copy() as copy:
            answer = stage.run(copy, "-e", f"inject={name}:error={error}:when={when}")
            try:
                check_all_or_nothing(stage, copy, answer)
                stage.check_goes_on(copy)
            except Exception as failure:
                said = f"{fault}, which answered {answer.stdout!r}"
                raise AssertionError(f"{said}: {failure}") from failure
            return answer.ok

    places = stage.places_to_inject()
    faults = [
        (name, error, f"{number}{more}")
        for name, error in ERRORS
        for _, number in sampled([place for place in places if place[0] == name], 12)
        for more in ("", "+")
    ]
    with ThreadPoolExecutor(stage.at_once) as threads:
        succeeded = list(threads.map(fail_at, faults))
    print(f"{len(faults)} errors, {sum(succeeded)} of them survived")
    assert not all(succeeded)


def check_all_or_nothing(stage: Stage, folder: Path, answer: cni.Answer) -> None:
    """Code 5 means that nothing has changed."""
    held = stage.check(folder)
    if answer.ok:
        assert held == (answer.addresses if stage.verb == "ADD" else [])
    elif answer.stdout:
        assert answer.json["code"] == IO_ERROR, answer.stdout
        assert held == stage.before.of("victim"), "it was refused, and done"
    else:  # not even that could be written
        assert answer.status == 1
        assert held == stage.before.of("victim"), "it was refused, and done"


# A result that cannot be written.


def add_into(folder: Path, stdout: int, *injected: str) -> int:
    """The exit status of an ADD whose result goes to a file descriptor."""
    log = folder.parent / "strace"
    named = {"netns": NETNS, "container_id": "victim", "stdout": stdout}
    return strace.run("ADD", config_for(folder), log, *injected, **named).status


def victim_holds(folder: Path) -> list[str]:
    return store.read_sound(folder).of("victim")


def test_a_result_that_finds_no_space_leaves_no_lease(filled: Path) -> None:
    with open("/dev/full", "wb") as full:
        assert add_into(filled, full.fileno()) == 1
    assert victim_holds(filled) == []


# poll sees that the reader is gone; with its answer made up, only the write does, after the commit.
@pytest.mark.parametrize("injected", [(), ("-e", "inject=poll:retval=0")], ids=["early", "late"])
def test_a_result_that_nobody_reads_leaves_no_lease(
    filled: Path, injected: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert add_into(filled, writer, *injected) == 1
    os.close(writer)
    assert victim_holds(filled) == []


def test_a_closed_standard_output_leaves_no_lease(filled: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" >&-', places.podlease()],
        env=cni.environment("ADD", netns=NETNS, container_id="victim"),
        input=cni.stdin_of(config_for(filled)),
    )
    assert done.returncode == 1
    assert victim_holds(filled) == []


# The world changes while an ADD waits for the lock.


@contextmanager
def waiting_add(folder: Path, netns: Any = NETNS) -> Iterator[subprocess.Popen]:
    """An ADD that stands before the lock, and has it once the block ends."""
    with hold.locked(folder):
        process = cni.spawn(places.podlease(), "ADD", netns=netns, container_id="victim")
        process.stdin.write(cni.stdin_of(config_for(folder)))
        process.stdin.close()
        process.stdin = None
        hold.wait_until_waiting(process.pid)
        yield process


def test_a_netns_that_ends_before_the_commit_leaves_no_lease(
    filled: Path, new_netns: NetnsFactory
) -> None:
    netns = new_netns()
    with waiting_add(filled, netns.path) as process:
        netns.delete()
    answer = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert b"nobody waits" in answer
    assert victim_holds(filled) == []


def test_a_netns_that_was_never_there_is_no_reason_to_refuse(filled: Path) -> None:
    """Whoever calls by hand, or uses names of his own."""
    with waiting_add(filled) as process:
        pass
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(victim_holds(filled)) == 2


def test_a_reader_that_ends_while_it_waits_leaves_no_lease(filled: Path) -> None:
    with waiting_add(filled) as process:
        process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert victim_holds(filled) == []


# A main plugin that is killed: what it had started lives on, without a parent.
PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdin.write(sys.stdin.buffer.read())
child.stdin.close()
print(child.pid, flush=True)
child.stdout.read()
"""


def test_an_orphan_leaves_no_lease(filled: Path) -> None:
    with hold.locked(filled):
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, places.podlease()],
            env=cni.environment("ADD", netns=NETNS, container_id="victim"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        parent.stdin.write(cni.stdin_of(config_for(filled)))
        parent.stdin.close()
        orphan = int(parent.stdout.readline())
        hold.wait_until_waiting(orphan)
        parent.kill()
        parent.wait()
    add(filled, "next")  # stands behind it in the queue
    assert victim_holds(filled) == []
    assert len(store.read(filled).of("next")) == 2


# Disks.


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, for a store."""
    path = tmp_path / "mount"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=0755", "test", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


def use_up(mount: Path) -> Path:
    """Fills a disk to its last byte."""
    ballast = mount / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            return ballast


def remount(mount: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", mount], check=True)


@pytest.mark.parametrize("adds", [1, 3, 5, 7, 9, 20])
def test_on_a_full_disk_an_add_fails_and_every_del_succeeds(mount: Path, adds: int) -> None:
    """Wherever in its log the store is, and without the help of an ADD that failed before."""
    folder = mount / "leases"
    for number in range(adds):
        add(folder, f"pod-{number}")
    ballast = use_up(mount)
    for number in range(0, adds, 2):
        delete(folder, f"pod-{number}")
    failed = add_until_refused(folder)
    assert victim_holds(folder) == []
    assert len(Ipam("podlease", folder).leases()) == 2 * (adds // 2 + failed)
    for number in range(1, adds, 2):
        delete(folder, f"pod-{number}")
    for number in range(failed):
        delete(folder, f"more-{number}")
    ballast.unlink()
    assert store.read_sound(folder).leased == {}
    add(folder, "victim")
    store.read_sound(folder)


def add_until_refused(folder: Path) -> int:
    """How many ADDs still found room, before the one of the victim did not.

    What is refused makes the next call fold the log, which may make room once.
    """
    for number in range(200):
        for _ in range(2):
            answer = call(folder, "ADD", f"more-{number}")
            if answer.ok:
                break
            assert refused(answer)
            assert "full" in answer.json["msg"] + answer.json["details"]
        else:
            assert refused(call(folder, "ADD", "victim"))
            return number
    raise AssertionError("the disk is not full")


@pytest.mark.parametrize("adds", [1, 4, 9])
def test_on_a_full_disk_a_del_finds_its_lease_in_another_store(
    mount: Path, tmp_path: Path, adds: int
) -> None:
    """As by a configuration whose dataDir was changed."""
    folder = mount / "leases"
    for number in range(adds):
        add(folder, f"pod-{number}")
    use_up(mount)
    for number in range(adds):
        delete(tmp_path / "elsewhere", f"pod-{number}")
    assert store.read_sound(folder).leased == {}


@pytest.mark.parametrize("can_note", [True, False])
def test_another_store_that_cannot_be_written_gets_a_note_or_del_is_refused(
    filled: Path, can_note: bool
) -> None:
    """A DEL whose configuration names another store ends the lease, or says that it does not."""
    held = add(filled, "victim")
    if not can_note:
        (filled / "ended").touch()
    failing = "inject=pwrite64:error=ENOSPC:when=1+"
    log = filled.parent / "strace"
    elsewhere = config_for(filled.parent / "elsewhere")
    answer = strace.run(
        "DEL", elsewhere, log, "-e", failing, "-P", filled / "podlease.db-wal", "-P", filled / "podlease.db",
        container_id="victim", netns=NETNS,
    )
    assert victim_holds(filled) == held
    if can_note:
        assert answer.ok, answer.stdout
        add(filled, "another")
    else:
        assert refused(answer, code=11), answer.stdout
        assert str(filled / "ended" / "victim.eth0") in answer.json["msg"]
        delete(filled.parent / "elsewhere", "victim")
    assert victim_holds(filled) == []


def test_no_store_is_begun_on_a_full_disk_but_later(mount: Path) -> None:
    folder = mount / "leases"
    ballast = use_up(mount)
    assert refused(call(folder, "ADD", "victim"))
    delete(folder, "victim")
    ballast.unlink()
    add(folder, "victim")
    assert len(victim_holds(folder)) == 2


def test_on_a_read_only_disk_nothing_works_until_it_is_writable_again(mount: Path) -> None:
    """A DEL too: the next attempt of the runtime, on a mended disk, must not find it done."""
    folder = mount / "leases"
    held = add(folder, "victim")
    remount(mount, "ro")
    before = store.snapshot(folder)
    for verb in ("ADD", "DEL", "STATUS"):
        assert refused(call(folder, verb, "victim")), verb
    assert refused(call(folder, "ADD", "other"))
    assert store.snapshot(folder) == before
    remount(mount, "rw")
    assert call(folder, "STATUS", "victim").ok
    assert add(folder, "victim") == held
    delete(folder, "victim")


def test_without_a_folder_only_an_add_makes_one(folder: Path) -> None:
    for verb in ("DEL", "STATUS"):
        assert call(folder, verb, "victim").ok
    assert refused(call(folder, "CHECK", "victim"), code=3)
    assert not folder.exists()
    add(folder, "victim")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())


def test_a_file_in_place_of_the_folder_is_reported(folder: Path) -> None:
    folder.write_text("not a folder")
    assert refused(call(folder, "ADD", "victim"))
    assert folder.read_text() == "not a folder"


def test_whoever_may_not_write_the_store_is_told_so() -> None:
    top = Path("/run/nobodys")
    top.mkdir()
    program = Path(shutil.copy(places.podlease(), top / "podlease"))  # within nobody's reach
    folder = top / "leases"
    add(folder, "first")
    before = store.snapshot(folder)
    for verb in ("ADD", "DEL", "STATUS"):
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program],
            env={**os.environ, **cni.environment(verb, netns=NETNS, container_id="first")},
            input=cni.stdin_of(config_for(folder)),
            capture_output=True,
        )
        assert refused(cni.Answer(done.returncode, done.stdout, "")), (verb, done.stdout)
    assert store.snapshot(folder) == before


# Stores that are none.


def settle(folder: Path) -> Path:
    """All is in the file, there is no log."""
    with Shell(folder) as shell:
        shell.ask("SELECT count(*) FROM lease")
    assert not (folder / "podlease.db-wal").exists()
    return folder / "podlease.db"


def garble_header(data: bytes) -> bytes:
    return b"garbage " * 8 + data[64:]


def cut_off(data: bytes) -> bytes:
    """Within its schema and leases; behind them the file has spare room."""
    return data[: 6 * 1024 - 100]


def flip_pages(data: bytes) -> bytes:
    """The first bytes, which tell what a page is, of all but the first."""
    pages = [data[at : at + 1024] for at in range(0, len(data), 1024)]
    return pages[0] + b"".join(bytes([0xFF] * 8) + page[8:] for page in pages[1:])


def flip_schema(data: bytes) -> bytes:
    return data[:100] + bytes([0xFF] * 8) + data[108:]


@pytest.mark.parametrize("damage", [garble_header, cut_off, flip_pages, flip_schema])
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_a_damaged_store_is_moved_aside_whole_and_made_anew(
    filled: Path, damage: Callable[[bytes], bytes], verb: str
) -> None:
    file = settle(filled)
    file.write_bytes(damage(file.read_bytes()))
    before = file.read_bytes()
    refusal = call(filled, "CHECK", "pod-0")
    assert refused(refusal), refusal.stdout
    assert "damaged" in refusal.json["details"]
    assert file.read_bytes() == before, "CHECK changes nothing"
    assert call(filled, verb, "pod-0").ok
    (aside,) = filled.glob("podlease.db.damaged-*")
    assert aside.read_bytes() == before
    assert call(filled, "ADD", "victim").ok
    assert store.read_sound(filled).of("victim")


@pytest.mark.parametrize("kept", [0, 100, 1024])
def test_a_store_cut_off_beside_its_log_does_not_pass_for_a_new_one(filled: Path, kept) -> None:
    """Its leases are in the log: given up, their addresses would be leased twice."""
    file = filled / "podlease.db"
    file.write_bytes(file.read_bytes()[:kept])
    before = store.snapshot(filled)
    answer = call(filled, "ADD", "victim")
    if answer.ok and list(filled.glob("podlease.db.damaged-*")):
        assert {path.name.split(".damaged-")[0] for path in filled.glob("*.damaged-*")} == {
            "podlease.db",
            "podlease.db-wal",
        }
    elif answer.ok:
        assert len(store.read_sound(filled).leased) == 8, "the leases are gone"
    else:
        assert refused(answer)
        assert store.snapshot(filled) == before


def test_a_database_of_something_else_is_not_touched(folder: Path) -> None:
    folder.mkdir()
    file = folder / "podlease.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE lease(id INTEGER PRIMARY KEY, who TEXT)")
    before = file.read_bytes()
    for verb in ("ADD", "DEL"):
        answer = call(folder, verb, "victim")
        assert refused(answer)
        assert "something else" in answer.json["msg"]
    assert file.read_bytes() == before


def test_a_store_of_a_newer_major_takes_a_del_and_nothing_else(filled: Path) -> None:
    """What the newer one added is not known, but the leases are where they were."""
    with Shell(filled) as shell:
        shell.ask("ALTER TABLE lease ADD COLUMN newer")
        shell.ask("DROP TABLE freed")
        shell.ask("PRAGMA user_version = 2000")
    answer = call(filled, "ADD", "victim")
    assert refused(answer)
    assert "2.0" in answer.json["msg"]
    assert refused(call(filled, "ADD", "pod-0"))
    delete(filled, "pod-0")
    with Shell(filled) as shell:
        assert shell.ask("SELECT count(*) FROM lease WHERE container = 'pod-0'") == "[(0,)]"
        assert shell.ask("SELECT count(*) FROM lease") == "[(4,)]"
