"""What podlease has answered outlives a power cut, at the cost of one sync a call.

The cut is simulated: calls are traced, lab/disk.py tells what a disk may hold after a cut between
any two of their system calls, and podlease goes on from there. PODLEASE_CUT_SEED repeats a run."""

import copy
import itertools
import os
import random
import shutil
from pathlib import Path
from typing import Iterator, Union

import pytest
from lab import cni, store, strace
from lab.disk import Disk, Promises, Survivor, identity
from lab.ipam import Ipam
from lab.shell import Shell
from lab.strace import Call

LEASES = "leases"  # the folder of the store, in a folder of the test
REGISTRY = Path("/var/lib/podlease")
NETNS = "/run/netns/none"
LONGEST_LOG = 384  # kLongestLog of src/store/database.cpp
FRAME = 24 + 1024
SEED = int(os.environ.get("PODLEASE_CUT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


def config_for(folder: Path, **more: object) -> dict:
    ranges = Ipam("podlease", folder).config("10.88.0.0/24", "fd00:88::/64", **more)
    return {"cniVersion": "1.1.0", "name": "lab", "type": "bridge", "ipam": ranges}


def call(folder: Path, verb: str, container_id: str, **more: object) -> cni.Answer:
    config = {**config_for(folder), **more}
    plugin = Ipam("podlease", folder).binary
    return cni.call(plugin, verb, config, netns=NETNS, container_id=container_id)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store of the test will be."""
    return tmp_path / LEASES


# One sync a call.


class Traced:
    """Calls on one store, each with the system calls it made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.parent / "strace.log"

    def __call__(self, verb: str, container_id: str, **more: object) -> list[Call]:
        config = {**config_for(self.folder), **more}
        named = {"netns": NETNS, "container_id": container_id}
        self.answer = strace.run(verb, config, self.log, *strace.EXACT, **named)
        return strace.calls(self.log)

    def syncs(self, verb: str, container_id: str, **more: object) -> list[str]:
        """The names of the files and folders that a successful call synced."""
        calls = self(verb, container_id, **more)
        assert self.answer.ok, self.answer.stdout
        return [Path(call.path).name for call in calls if call.is_sync]


def frames_in_log(folder: Path) -> int:
    """What the lock's notes say, for the next call to know without reading the log."""
    return int((folder / "lock").read_text().split()[3])


@pytest.fixture
def traced(folder: Path) -> Traced:
    traced = Traced(folder)
    assert call(folder, "ADD", "first").ok
    return traced


def test_an_add_and_a_del_sync_the_log_once(traced: Traced) -> None:
    for container_id in ("one", "two"):
        assert traced.syncs("ADD", container_id) == ["podlease.db-wal"]
    for container_id in ("one", "two"):
        assert traced.syncs("DEL", container_id) == ["podlease.db-wal"]


def test_what_changes_nothing_syncs_nothing(traced: Traced) -> None:
    traced("ADD", "one")
    result = traced.answer.json
    attachments = [{"containerID": name, "ifname": "eth0"} for name in ("first", "one")]
    assert traced.syncs("ADD", "one") == []
    assert traced.answer.json == result
    assert traced.syncs("CHECK", "one", prevResult=result) == []
    assert traced.syncs("STATUS", "one") == []
    assert traced.syncs("DEL", "nobody") == []
    assert traced.syncs("GC", "one", **{"cni.dev/valid-attachments": attachments}) == []


def test_a_checkpoint_comes_with_a_long_log_and_is_synced_by_its_own_call(traced: Traced) -> None:
    """The log, the file, the header of the log begun anew, and the log: all in that one call."""
    names = [f"pod-{number}" for number in range(80)]
    checkpoints = 0
    for verb, name in itertools.product(("ADD", "DEL"), names):
        frames = frames_in_log(traced.folder)
        synced = traced.syncs(verb, name)
        if frames < LONGEST_LOG:
            assert synced == ["podlease.db-wal"]
        else:
            checkpoints += 1
            assert "podlease.db" in synced
            assert synced[-1] == "podlease.db-wal"
            assert frames_in_log(traced.folder) < LONGEST_LOG / 2
        assert frames < 2 * LONGEST_LOG
    assert checkpoints >= 2


@pytest.mark.parametrize("notes", ["", "nonsense", "1\n2 3", "%11d\n%20d", "\0" * 64, "9" * 90])
def test_a_lock_file_that_vouches_for_nothing_costs_one_sync_of_the_folder(
    traced: Traced, notes: str
) -> None:
    """It is never synced, so anything may be in it after a power cut."""
    (traced.folder / "lock").write_text(notes)
    assert traced.syncs("ADD", "one") == ["podlease.db-wal", LEASES]
    assert traced.syncs("ADD", "two") == ["podlease.db-wal"]


def test_a_log_that_a_shell_has_removed_is_synced_with_its_name(traced: Traced) -> None:
    with Shell(traced.folder) as shell:
        shell.ask("SELECT count(*) FROM lease")
    assert not (traced.folder / "podlease.db-wal").exists()
    assert traced.syncs("ADD", "one")[:2] == ["podlease.db-wal", LEASES]
    assert traced.syncs("DEL", "one") == ["podlease.db-wal"]


# Power cuts.

Event = Union[Call, Promises]


class History:
    """Calls on one store, traced, from a state of disk that is durable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.promises = Promises()
        self.start = Disk(folder.parent, REGISTRY)
        self.live = copy.deepcopy(self.start)
        self.log = Path("/run", f"strace-{next(_numbers)}")

    def add(self, container_id: str, *options: str) -> None:
        answer = self._run("ADD", container_id, *options)
        if answer.ok:
            self.promises.held[container_id] = answer.addresses
        self._note_end(container_id, answer, options)

    def delete(self, container_id: str, *options: str) -> None:
        self._note_end(container_id, self._run("DEL", container_id, *options), options)

    def shell(self) -> "TracedShell":
        return TracedShell(self)

    def record(self, calls: list[Call]) -> None:
        self.events += calls
        for call in calls:
            self.live.apply(call)

    def _run(self, verb: str, container_id: str, *options: str) -> cni.Answer:
        self.promises.begin(container_id)
        self.events.append(self.promises.copy())
        named = {"netns": NETNS, "container_id": container_id}
        options = (*strace.EXACT, *options)
        answer = strace.run(verb, config_for(self.folder), self.log, *options, **named)
        self.record(strace.calls(self.log))
        self.live.demand_equal()
        self.live.identify()
        return answer

    def _note_end(self, container_id: str, answer: cni.Answer, options: tuple[str, ...]) -> None:
        assert answer.ok or options, answer.stdout
        if answer.ok:
            self.promises.doubtful.discard(container_id)
        self.events.append(self.promises.copy())


class TracedShell(Shell):
    """A shell on the store of a history. Only one of it and podlease is ever at work, so that their
    system calls need no sorting."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._log = Path("/run", f"strace-{next(_numbers)}")
        self._seen = 0
        super().__init__(history.folder, "strace", "-o", self._log, *strace.EXACT)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._record()
        self._history.live.demand_equal()

    def ask(self, sql: str) -> str:
        answer = super().ask(sql)
        self._record()
        return answer

    def _record(self) -> None:
        text = self._log.read_text()
        text = text[: text.rfind("\n") + 1]
        self._history.record(list(strace.parse(text[self._seen :])))
        self._seen = len(text)


_numbers = itertools.count(1)


class Cutter:
    """Cuts the power all over a history and sees how podlease goes on."""

    def __init__(self, history: History, chance: random.Random) -> None:
        self.history = history
        self.chance = chance
        self.tried = 0
        self._seen: set[int] = set()
        self._where = Path("/run", f"cut-{next(_numbers)}")

    def cut(self, modes: tuple[str, ...], every: int = 1, after: int = 0) -> None:
        """Tries these modes of survival after every so many events from one on."""
        disk = copy.deepcopy(self.history.start)
        promises = Promises()
        for index, event in enumerate(self.history.events):
            if isinstance(event, Promises):
                promises = event
            else:
                disk.apply(event)
            if index >= after and (index % every == 0 or isinstance(event, Promises)):
                for mode in modes:
                    self._try(disk, promises, mode, index)

    def _try(self, disk: Disk, promises: Promises, mode: str, index: int) -> None:
        left = disk.survivor(mode, self.chance)
        # Most cuts leave what an earlier one left.
        print_of_it = hash((tuple(left.files.items()), tuple(left.folders), str(promises)))
        if print_of_it in self._seen:
            return
        self._seen.add(print_of_it)
        self.tried += 1
        try:
            self.put(left, self._where)
            # Or the store of the history is another one of this node, which a new store asks.
            (REGISTRY / "stores").unlink(missing_ok=True)
            check_goes_on(self._where / LEASES, promises)
            self._check_registry(left)
        except Exception as error:
            kept = self.history.folder.parent / "survivor"
            self.put(left, kept)
            raise AssertionError(
                f"PODLEASE_CUT_SEED={SEED}: cut after event {index} ({mode} survives, see {kept}):"
                f" {error}\n{promises}"
            ) from error

    def sample(self, number: int) -> list[tuple[Survivor, Promises]]:
        """Some states of disk, each after a random event."""
        wanted = set(self.chance.sample(range(len(self.history.events)), number))
        disk = copy.deepcopy(self.history.start)
        promises = Promises()
        found = []
        for index, event in enumerate(self.history.events):
            if isinstance(event, Promises):
                promises = event
            else:
                disk.apply(event)
            if index in wanted:
                found.append((disk.survivor("sectors", self.chance), promises))
        return found

    def report(self, at_least: int) -> None:
        print(f"{self.tried} states of {len(self.history.events)} events")
        assert self.tried >= at_least

    def put(self, left: Survivor, where: Path) -> None:
        """Writes what is left of the store to another folder."""
        shutil.rmtree(where / LEASES, ignore_errors=True)
        where.mkdir(exist_ok=True)
        store_folder = str(self.history.folder)
        if store_folder in left.folders:
            (where / LEASES).mkdir(mode=0o700)
        for path, content in left.files.items():
            if os.path.dirname(path) == store_folder:
                (where / LEASES / os.path.basename(path)).write_bytes(content)
        self._mend_notes(left, where / LEASES)

    def _mend_notes(self, left: Survivor, folder: Path) -> None:
        """A log keeps inode and birth over a power cut; here it got new ones."""
        number = left.numbers.get(f"{self.history.folder}/podlease.db-wal")
        known = self.history.live.identities.get(number)
        if not known or not (folder / "lock").exists():
            return
        lock = (folder / "lock").read_bytes()
        new = identity(folder / "podlease.db-wal")
        notes = [b"%20d %20d" % each for each in (known, new)]
        (folder / "lock").write_bytes(lock.replace(*notes))

    def _check_registry(self, left: Survivor) -> None:
        if left.files.get(f"{self.history.folder}/podlease.db"):
            stores = left.files.get(f"{REGISTRY}/stores", b"")
            assert f"{self.history.folder}\n".encode() in stores, "the store is not registered"


def check_goes_on(folder: Path, promises: Promises) -> None:
    """No damage, nothing forgotten, and the next ADD gives what nobody has."""
    if (folder / "podlease.db").exists():
        store.read(folder)
    leases = Ipam("podlease", folder).leases() if folder.exists() else []
    check_promises(leases, promises)
    added = call(folder, "ADD", "after")
    assert added.ok, added.stdout
    assert not set(added.addresses) & {address_of(lease) for lease in leases}
    for container_id, addresses in itertools.islice(promises.held.items(), 1):
        assert call(folder, "ADD", container_id).addresses == addresses
    contents = store.read_sound(folder)
    assert set(contents.of("after")) == set(added.addresses)
    assert len(contents.leased) == len(leases) + 2


def check_promises(leases: list[dict], promises: Promises) -> None:
    addresses: dict[str, list[str]] = {}
    for lease in leases:
        addresses.setdefault(lease["containerID"], []).append(address_of(lease))
    for container_id in promises.doubtful:
        assert len(addresses.pop(container_id, [1, 2])) == 2, "a call did one half of its work"
    assert addresses == promises.held, f"the store holds {addresses}"


def address_of(lease: dict) -> str:
    return lease["address"].split("/")[0]


@pytest.fixture
def chance() -> random.Random:
    print(f"PODLEASE_CUT_SEED={SEED}")
    return random.Random(SEED)


@pytest.fixture
def history(folder: Path) -> Iterator[History]:
    yield History(folder)


def test_a_power_cut_loses_nothing_that_was_answered(
    history: History, chance: random.Random
) -> None:
    """From no store at all, over checkpoints."""
    for number in range(9):
        history.add(f"pod-{number}")
    for number in range(0, 6, 2):
        history.delete(f"pod-{number}")
    history.add("pod-0")
    history.add("pod-1")
    history.delete("nobody")
    cutter = Cutter(history, chance)
    cutter.cut(("nothing", "all"))
    cutter.cut(("sectors", "prefix"), every=2)
    cutter.report(at_least=300)


def test_a_power_cut_while_a_shell_comes_and_goes(history: History, chance: random.Random) -> None:
    """Leaving, it removes the log, which the next call makes anew."""
    history.add("pod-0")
    for number in range(1, 4):
        with history.shell() as shell:
            assert shell.ask("SELECT count(*) FROM lease") == f"[({2 * number},)]"
            if number == 2:
                history.add("while-open")
                history.delete("while-open")
                shell.ask("UPDATE network SET next_position = next_position + 1")
        assert not (history.folder / "podlease.db-wal").exists()
        history.add(f"pod-{number}")
    history.delete("pod-0")
    cutter = Cutter(history, chance)
    cutter.cut(("nothing", "all", "sectors", "prefix"), every=2)
    cutter.report(at_least=150)


def changes(folder: Path) -> list[tuple[str, int]]:
    """The system calls that an ADD makes to change something."""
    log = Path("/run", f"strace-{next(_numbers)}")
    named = {"netns": NETNS, "container_id": "first"}
    strace.run("ADD", config_for(folder), log, *strace.EXACT, **named)
    return strace.places_to_inject(log)


def forget(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (REGISTRY / "stores").unlink(missing_ok=True)


def test_a_power_cut_after_the_creator_was_killed(folder: Path, chance: random.Random) -> None:
    """What it made without syncing it must be made durable by who goes on."""
    tried = 0
    for place in changes(folder)[::3]:
        forget(folder)
        history = History(folder)
        history.add("killed", *strace.kill_at(place))
        done = len(history.events)
        history.add("pod-1")
        history.delete("pod-1")
        cutter = Cutter(history, chance)
        cutter.cut(("nothing", "prefix"), every=12, after=done)
        tried += cutter.tried
    print(f"{tried} states")
    assert tried > 100


def test_a_power_cut_after_the_maker_of_a_new_log_was_killed(
    folder: Path, chance: random.Random
) -> None:
    """The old log was vouched for, the new one is not, whatever stage it was left in."""
    assert call(folder, "ADD", "pod-0").ok
    with Shell(folder) as shell:
        shell.ask("SELECT count(*) FROM lease")
    tried = 0
    for place in changes(folder)[::3]:
        forget(folder)
        history = History(folder)
        history.add("pod-0")
        with history.shell() as shell:
            shell.ask("SELECT count(*) FROM lease")
        done = len(history.events)
        history.add("killed", *strace.kill_at(place))
        history.add("pod-1")
        history.add("pod-2")
        cutter = Cutter(history, chance)
        cutter.cut(("nothing", "prefix", "sectors"), every=6, after=done)
        tried += cutter.tried
    print(f"{tried} states")
    assert tried > 100


def test_a_power_cut_after_a_power_cut(history: History, chance: random.Random) -> None:
    """What goes on in the remains of one cut survives the next."""
    for number in range(8):
        history.add(f"pod-{number}")
    first = Cutter(history, chance)
    tried = 0
    for left, promises in first.sample(8):
        first.put(left, history.folder.parent)
        (REGISTRY / "stores").write_bytes(left.files.get(f"{REGISTRY}/stores", b""))
        second = History(history.folder)
        second.promises = promises.copy()
        second.add("second-1")
        second.delete("second-1")
        second.add("second-2")
        cutter = Cutter(second, chance)
        cutter.cut(("nothing", "sectors", "prefix"), every=5)
        tried += cutter.tried
    print(f"{tried} states")
    assert tried > 100


# A shell that stays.


def keep_going(folder: Path, rounds: int) -> list[int]:
    """ADD and DEL as if nobody were there; returns the size of the log after each."""
    sizes = []
    for number in range(rounds):
        for verb in ("ADD", "DEL"):
            answer = call(folder, verb, f"pod-{number}")
            assert answer.ok, answer.stdout
            sizes.append((folder / "podlease.db-wal").stat().st_size)
    return sizes


def test_an_idle_shell_stops_nobody_and_does_not_let_the_log_grow(folder: Path) -> None:
    assert call(folder, "ADD", "first").ok
    with Shell(folder) as shell:
        assert shell.ask("SELECT count(*) FROM lease") == "[(2,)]"
        sizes = keep_going(folder, 80)
        assert max(sizes) < 2 * LONGEST_LOG * FRAME
        assert shell.ask("SELECT count(*) FROM lease") == "[(2,)]"
    keep_going(folder, 2)
    store.read_sound(folder)


@pytest.mark.parametrize("leaving", ["commits", "closes", "is killed"])
def test_an_open_select_stops_nobody_and_the_log_shrinks_after_it(
    folder: Path, leaving: str
) -> None:
    """While somebody reads an old state, the log can only grow."""
    assert call(folder, "ADD", "first").ok
    shell = Shell(folder)
    shell.ask("BEGIN")
    assert shell.ask("SELECT count(*) FROM lease") == "[(2,)]"
    keep_going(folder, 80)
    assert call(folder, "ADD", "second").ok
    grown = (folder / "podlease.db-wal").stat().st_size
    assert grown > 2 * LONGEST_LOG * FRAME
    assert shell.ask("SELECT count(*) FROM lease") == "[(2,)]"
    if leaving == "commits":
        shell.ask("COMMIT")
    elif leaving == "closes":
        shell.__exit__()
    else:
        shell.kill()
    assert max(keep_going(folder, 80)) <= grown
    assert frames_in_log(folder) < 2 * LONGEST_LOG
    shell.kill()
    assert len(store.read_sound(folder).leased) == 4


def test_a_shell_in_the_middle_of_a_change_is_named_as_what_is_waited_for(folder: Path) -> None:
    assert call(folder, "ADD", "first").ok
    impatient = {"ipam": config_for(folder, lockTimeout="300ms")["ipam"]}
    with Shell(folder) as shell:
        shell.ask("BEGIN IMMEDIATE")
        for verb in ("ADD", "DEL"):
            answer = call(folder, verb, "first-or-other", **impatient)
            assert answer.json["code"] == 11
            assert "sqlite3 shell" in answer.json["details"]
        shell.ask("ROLLBACK")
        assert call(folder, "ADD", "other", **impatient).ok
