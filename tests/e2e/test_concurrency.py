"""Many processes on one store, and what may happen to those that wait for it. Every wait has a
bound, and whatever ends a process leaves its lease whole or not there."""

import fcntl
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Iterator

import pytest
from lab import cni, places, store
from lab.hold import locked, wait_until_waiting

NETNS = "/run/netns/none"  # need not exist
SETS = [[{"subnet": "10.87.0.0/21"}], [{"subnet": "fd00:87::/64"}]]
# A generous bound for what takes milliseconds on an idle machine.
PATIENCE = 20.0


@pytest.fixture
def folder() -> Path:
    """The default place of the store, in memory and empty."""
    return Path("/var/lib/podlease")


def config(folder: Path, **ipam: Any) -> dict:
    own = {"type": "podlease", "dataDir": str(folder), "ranges": SETS, "cooldown": "0s", **ipam}
    return {"cniVersion": "1.1.0", "name": "net", "ipam": own}


def call(folder: Path, verb: str, container_id: str, timeout: float = 60, **ipam: Any):
    sent = config(folder, **ipam)
    how = {"container_id": container_id, "netns": NETNS, "timeout": timeout}
    return cni.call(places.podlease(), verb, sent, **how)


def leases(folder: Path) -> list[dict]:
    command = [places.podlease(), "list", "--output", "json", "--data-dir", folder]
    return json.loads(subprocess.check_output(command))


class Crowd:
    """Processes that all wait for the store when they are let loose at once."""

    def __init__(self, folder: Path, tmp: Path, **ipam: Any) -> None:
        self.folder = folder
        self.stdin = tmp / "stdin"
        self.stdin.write_text(json.dumps(config(folder, **ipam)))
        self.started: list[subprocess.Popen] = []

    def start(self, verb: str, container_id: str) -> subprocess.Popen:
        with self.stdin.open() as stdin:
            process = subprocess.Popen(
                [places.podlease()],
                env=cni.environment(verb, container_id=container_id, netns=NETNS),
                stdin=stdin,
                stdout=subprocess.PIPE,
            )
        self.started.append(process)
        return process

    def answers(self) -> list[dict]:
        """What each said, in the order of their start; all must have succeeded."""
        outputs = [process.communicate(timeout=60)[0] for process in self.started]
        failed = [out for process, out in zip(self.started, outputs) if process.returncode != 0]
        assert failed == []
        self.started = []
        return [json.loads(output or b"{}") for output in outputs]


@pytest.fixture
def crowd(folder: Path, tmp_path: Path) -> Crowd:
    return Crowd(folder, tmp_path)


def addresses(answer: dict) -> list[str]:
    return [ip["address"].split("/")[0] for ip in answer["ips"]]


def assert_all_different(answers: list[dict], count: int) -> None:
    for family in zip(*map(addresses, answers)):
        assert len(set(family)) == count


def test_500_adds_and_then_500_dels_at_once_lose_and_double_nothing(folder: Path, crowd: Crowd):
    names = [f"container-{number}" for number in range(500)]
    with locked(folder):
        for name in names:
            crowd.start("ADD", name)
        wait_until_waiting(crowd.started[-1].pid)
    answers = crowd.answers()
    assert_all_different(answers, 500)
    held = store.read_sound(folder)
    for name, answer in zip(names, answers):
        assert held.of(name) == addresses(answer)
    with locked(folder):
        for name in random.Random(1).sample(names, 500):
            crowd.start("DEL", name)
        wait_until_waiting(crowd.started[-1].pid)
    crowd.answers()
    after = store.read_sound(folder)
    assert not after.leased and len(after.freed) == 1000
    assert leases(folder) == []


def test_adds_of_one_attachment_at_once_all_get_the_same(folder: Path, crowd: Crowd):
    with locked(folder):
        for _ in range(30):
            crowd.start("ADD", "same")
        wait_until_waiting(crowd.started[-1].pid)
    assert {tuple(addresses(answer)) for answer in crowd.answers()} == {("10.87.0.2", "fd00:87::2")}
    assert len(store.read_sound(folder).leased) == 2


def test_a_range_smaller_than_the_crowd_is_used_up_to_the_last_address(folder: Path, crowd: Crowd):
    small = [[{"subnet": "10.86.0.0/28"}]]
    crowd.stdin.write_text(json.dumps(config(folder, ranges=small)))
    with locked(folder):
        processes = [crowd.start("ADD", f"container-{number}") for number in range(40)]
        wait_until_waiting(processes[-1].pid)
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    served = [answer for answer in answers if "ips" in answer]
    assert_all_different(served, 13)
    assert len(served) == 13
    assert {answer["code"] for answer in answers if "ips" not in answer} == {100}
    assert len(store.read_sound(folder).leased) == 13


def test_add_and_del_of_one_attachment_race_to_all_or_nothing(folder: Path, crowd: Crowd):
    choice = random.Random(2)
    for _ in range(25):
        verbs = ["ADD", "DEL", "ADD", "DEL"]
        choice.shuffle(verbs)
        for verb in verbs:
            crowd.start(verb, "same")
        given = [addresses(answer) for answer in crowd.answers() if answer]
        assert all(len(pair) == 2 for pair in given)
        held = store.read_sound(folder).of("same")
        assert held == [] or held in given
    assert call(folder, "DEL", "same").ok
    assert store.read_sound(folder).leased == {}


def test_64_workers_for_four_seconds_are_all_served(folder: Path):
    """Nobody starves: each gets on, and no single call waits long."""
    deadline = time.monotonic() + 4
    longest = [0.0] * 64
    rounds = [0] * 64
    held: set[str] = set()
    guard = threading.Lock()

    def work(number: int) -> None:
        while time.monotonic() < deadline or not rounds[number]:
            name = f"worker-{number}-{rounds[number]}"
            for verb in ("ADD", "DEL"):
                started = time.monotonic()
                if verb == "DEL":
                    with guard:  # before its end, when nobody else can have them yet
                        held.difference_update(given)
                answer = call(folder, verb, name)
                longest[number] = max(longest[number], time.monotonic() - started)
                assert answer.ok, answer.stdout
                if verb == "ADD":
                    given = set(answer.addresses)
                    with guard:
                        assert not held & given, "an address was given twice"
                        held.update(given)
            rounds[number] += 1

    with ThreadPoolExecutor(64) as threads:
        list(threads.map(work, range(64)))
    assert min(rounds) >= 1
    assert max(longest) < PATIENCE
    assert store.read_sound(folder).leased == {}


# --- A holder that does not go on ---------------------------------------------------------------


@contextmanager
def stopped_holder(folder: Path, tmp: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    """An ADD that is stopped (SIGSTOP) in the middle of its commit, and its pid. Goes on after."""
    trace = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=SIGSTOP:when=1"]
    stdin = tmp / "holder"
    stdin.write_text(json.dumps(config(folder)))
    with stdin.open() as file:
        process = subprocess.Popen(
            ["strace", "-o", "/dev/null", *trace, "--", places.podlease()],
            env={**os.environ, **cni.environment("ADD", container_id="holder", netns=NETNS)},
            stdin=file,
            stdout=subprocess.PIPE,
        )
    deadline = time.monotonic() + PATIENCE
    before = int((folder / "lock").read_text().split()[0])
    while True:
        pid = int((folder / "lock").read_text().split()[0])
        if pid != before and stat_of(pid) in ("T", "t"):
            break
        assert time.monotonic() < deadline, "the holder never stopped"
        time.sleep(0.02)
    try:
        yield process, pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def stat_of(pid: int) -> str:
    """The state letter of a process: S, R, T, ...; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return ""


def test_a_stopped_holder_is_named_within_the_lock_timeout(folder: Path, tmp_path: Path):
    assert call(folder, "ADD", "first").ok  # now the store is there, an ADD syncs once
    with stopped_holder(folder, tmp_path) as (holder, pid):
        for verb, timeout in (("ADD", 0.4), ("DEL", 0.8), ("CHECK", 0.2), ("ADD", 0)):
            started = time.monotonic()
            answer = call(folder, verb, "first", lockTimeout=f"{timeout}s")
            assert timeout <= time.monotonic() - started < timeout + PATIENCE / 2
            assert answer.status == 1 and answer.json["code"] == 11, answer
            assert str(pid) in answer.json["msg"] and "podlease" in answer.json["msg"]
            assert str(folder / "lock") in answer.json["msg"]
        # The kubelet would take the node for broken.
        assert call(folder, "STATUS", "x", timeout=5, statusFailsWhenExhausted=True).ok
    held = addresses(json.loads(holder.communicate(timeout=60)[0]))
    assert held == ["10.87.0.3", "fd00:87::3"]
    assert call(folder, "ADD", "second").addresses == ["10.87.0.4", "fd00:87::4"]
    assert len(store.read_sound(folder).leased) == 6


def test_those_who_wait_are_served_once_the_holder_goes_on(
    folder: Path, crowd: Crowd, tmp_path: Path
):
    assert call(folder, "ADD", "first").ok
    with stopped_holder(folder, tmp_path) as (holder, _):
        for number in range(20):
            crowd.start("ADD", f"container-{number}")
        wait_until_waiting(crowd.started[-1].pid)
    answers = [*crowd.answers(), json.loads(holder.communicate(timeout=60)[0])]
    assert_all_different(answers, 21)
    assert len(store.read_sound(folder).leased) == 44


def test_a_killed_holder_frees_its_lock_and_leaves_nothing_half(
    folder: Path, crowd: Crowd, tmp_path: Path
):
    assert call(folder, "ADD", "first").ok
    with stopped_holder(folder, tmp_path) as (holder, pid):
        crowd.start("ADD", "second")
        wait_until_waiting(crowd.started[-1].pid)
        os.kill(pid, signal.SIGKILL)
    holder.communicate(timeout=60)
    (answer,) = crowd.answers()
    contents = store.read_sound(folder)
    assert contents.of("second") == addresses(answer)
    assert len(contents.of("holder")) in (0, 2)


# --- People at the store ------------------------------------------------------------------------


def fill(folder: Path, count: int) -> None:
    """One attachment with many addresses, for long lists."""
    base = 10 << 24
    nets = [base + 4 * number for number in range(count)]
    subnets = [".".join(str(n >> s & 255) for s in (24, 16, 8, 0)) + "/30" for n in nets]
    assert call(folder, "ADD", "many", ranges=[[{"subnet": subnet}] for subnet in subnets]).ok


def wait_until_full(pipe: int) -> None:
    """Until what is written to a pipe no longer fits."""
    deadline = time.monotonic() + PATIENCE
    size = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    while int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder) < size:
        assert time.monotonic() < deadline, "the pipe never filled"
        time.sleep(0.02)


@pytest.mark.parametrize("command", [["list", "--output", "json"], ["list"], ["show", "many"]])
def test_a_list_into_a_pipe_nobody_reads_stops_no_add(folder: Path, command: list[str]):
    fill(folder, 2000)
    arguments = [places.podlease(), *command, "--data-dir", folder]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    try:
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        wait_until_full(process.stdout.fileno())
        assert call(folder, "ADD", "other", timeout=10, lockTimeout="2s").ok
        assert call(folder, "DEL", "other", timeout=10, lockTimeout="2s").ok
        assert process.poll() is None
    finally:
        process.stdout.close()
        assert process.wait(10) == 1


def test_an_sqlite3_shell_with_an_open_select_stops_no_add(folder: Path):
    fill(folder, 100)
    shell = subprocess.Popen(
        ["sqlite3", folder / "podlease.db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        shell.stdin.write(b"BEGIN; SELECT count(*) FROM lease;\n")
        shell.stdin.flush()
        assert select.select([shell.stdout], [], [], PATIENCE)[0]
        for number in range(5):
            for verb in ("ADD", "DEL"):
                assert call(folder, verb, f"c-{number}", timeout=10, lockTimeout="2s").ok
    finally:
        shell.communicate(timeout=10)
    assert len(store.read_sound(folder).leased) == 100


# --- The ground moves ---------------------------------------------------------------------------


@pytest.mark.parametrize("remade", [False, True], ids=["removed", "removed and made again"])
def test_a_folder_removed_under_waiting_processes_becomes_a_new_store(
    crowd: Crowd, tmp_path: Path, remade: bool
):
    own = tmp_path / "store"
    crowd.stdin.write_text(json.dumps(config(own)))
    assert call(own, "ADD", "before").ok
    with locked(own):
        for number in range(20):
            crowd.start("ADD", f"container-{number}")
        wait_until_waiting(crowd.started[-1].pid)
        shutil.rmtree(own)
        if remade:
            own.mkdir()
    answers = crowd.answers()
    assert_all_different(answers, 20)
    contents = store.read_sound(own)
    assert len(contents.leased) == 40
    for number, answer in enumerate(answers):
        assert contents.of(f"container-{number}") == addresses(answer)
    crowd.start("DEL", "before")
    crowd.answers()


def test_a_folder_removed_again_and_again_breaks_no_process(tmp_path: Path):
    """What was answered may be lost with the folder, and a call may fail with an I/O error, but
    nothing else happens and the last store is sound."""
    own = tmp_path / "store"
    done = threading.Event()

    def remove() -> None:
        while not done.wait(0.02):
            shutil.rmtree(own, ignore_errors=True)

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        with ThreadPoolExecutor(8) as threads:
            names = [f"container-{number}" for number in range(120)]
            answers = list(threads.map(lambda name: call(own, "ADD", name), names))
    finally:
        done.set()
        remover.join()
    for answer in answers:
        # The folder went between two of its steps: an error like any other.
        assert answer.ok or answer.json["code"] in (5, 11), answer
    assert call(own, "ADD", "last").ok
    store.read_sound(own)


# Starts the plugin as a main plugin does, and stays.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdin=sys.stdin, stdout=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_the_orphan_of_a_killed_parent_leases_nothing_and_still_deletes(
    folder: Path, tmp_path: Path, verb: str
):
    stdin = tmp_path / "stdin"
    stdin.write_text(json.dumps(config(folder)))
    assert call(folder, "ADD", "other").ok
    if verb == "DEL":
        assert call(folder, "ADD", "orphan").ok
    with locked(folder), stdin.open() as file:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, places.podlease()],
            env=cni.environment(verb, container_id="orphan", netns=NETNS),
            stdin=file,
            stdout=subprocess.PIPE,
            text=True,
        )
        orphan = int(parent.stdout.readline())
        wait_until_waiting(orphan)
        parent.kill()
        parent.communicate()
    deadline = time.monotonic() + PATIENCE
    while stat_of(orphan) not in ("", "Z"):
        assert time.monotonic() < deadline, "the orphan never ended"
        time.sleep(0.02)
    contents = store.read_sound(folder)
    assert contents.of("orphan") == []
    assert len(contents.leased) == 2
