"""FACTS.md section 4, and the rows of section 5 about cost: 8, 22, 24 and 25. Everything is counted
(syncs, writes, reads, looks at /proc, dumps of the kernel's tables), nothing is timed."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest
from lab import cni, places, store, strace
from lab.cni import Answer
from lab.node import exhaustion
from lab.world import BRIDGE, GATEWAY, HOST_LOCAL, World, cache_entry, configuration

NETNS = "/run/netns/none"  # need not exist
V4, V6 = "10.68.0.0/16", "fd00:68::/64"
FAMILY = pytest.mark.parametrize("subnet", [V4, V6], ids=["v4", "v6"])

FILE_CALLS = (
    "open,openat,openat2,stat,lstat,newfstatat,statx,readlink,readlinkat,access,faccessat,"
    "faccessat2,getdents64,flock,close"
)
WRITES = (
    "write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,rename,renameat,unlink"
)
SYNCS = "fsync,fdatasync,sync_file_range,syncfs,sync"
READS = "read,pread64,preadv,readv"


class Trace:
    """The system calls of one call of the plugin, as strace writes them."""

    def __init__(self, verb: str, conf: dict, container: str, what: str, **how: Any) -> None:
        log = Path("/run/strace.log")
        more = how.pop("more", {})
        named = {"container_id": container, "netns": NETNS, **how}
        options = ("-y", "-s", "256", "-e", f"trace={what}", "-e", "signal=none")
        self.answer = strace.run(verb, {**conf, **more}, log, *options, **named)
        self.lines = [line for line in log.read_text().splitlines() if "(" in line]
        log.unlink()

    def count(self, pattern: str) -> int:
        return sum(1 for line in self.lines if re.search(pattern, line))

    def under_lock(self, pattern: str) -> int:
        """How often while this call holds the store's lock, and others wait for it."""
        held, found = False, 0
        for line in self.lines:
            if "/leases/lock>" in line:
                held = "flock(" in line or (held and "close(" not in line)
            found += held and bool(re.search(pattern, line))
        return found

    @property
    def syncs(self) -> int:
        return self.count(rf"\b({SYNCS.replace(',', '|')})\(")

    @property
    def writes(self) -> list[str]:
        """To the files of stores: but for the lock, which is rewritten by whoever takes it."""
        calls = rf"\b({WRITES.replace(',', '|')})\("
        return [
            line
            for line in self.lines
            if re.search(calls, line) and "/podlease/" in line and "/lock>" not in line
        ]

    @property
    def walks(self) -> int:
        """How often the list of all processes was opened."""
        return self.count(r'open\w*\(.*"/proc/?",')


def add(conf: dict, container: str, **how: Any) -> Answer:
    how = {"netns": NETNS, **how}
    answer = cni.call(places.podlease(), "ADD", conf, container_id=container, **how)
    assert answer.ok, answer
    return answer


def delete(conf: dict, container: str) -> None:
    assert cni.call(places.podlease(), "DEL", conf, container_id=container, netns=NETNS).ok


LOOP = """
n=0
while [ $n -lt %d ]; do
  n=$((n + 1))
  uid=0f4a2c1e-6b1b-4a0e-9d7f-$(printf %%012d $n)
  export CNI_CONTAINERID=box-$n
  export CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-$n;K8S_POD_UID=$uid"
  %s
done
"""


def loop(conf: dict, count: int, *verbs: str, log: Optional[Path] = None) -> None:
    """Thousands of calls by a shell, as Python needs more for each than podlease; all are traced
    for syncs if a log is given."""
    file = Path("/run/conf.json")
    file.write_text(json.dumps(conf))
    calls = "\n  ".join(
        f"CNI_COMMAND={verb} {places.podlease()} < {file} > /dev/null || exit 1" for verb in verbs
    )
    env = {"PATH": os.environ["PATH"], "CNI_NETNS": NETNS, "CNI_IFNAME": "eth0", "CNI_PATH": "/opt"}
    tracer = ["strace", "-f", "--seccomp-bpf", "-o", log, "-e", f"trace={SYNCS}"] if log else []
    script = LOOP % (count, calls)
    subprocess.run([*tracer, "sh", "-c", script], env=env, check=True)


def syncs_in(log: Path) -> int:
    return len(re.findall(rf"\b(?:{SYNCS.replace(',', '|')})\(", log.read_text()))


# --- Syncs and writes -----------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [("ADD", "DEL"), ("ADD",)], ids=["come and go", "come"])
@pytest.mark.parametrize("subnets", [(V4,), (V4, V6)], ids=["v4", "dual"])
def test_calls_in_a_row_need_hardly_more_than_one_sync_each(
    tmp_path: Path, turns: tuple[str, ...], subnets: tuple[str, ...]
):
    conf = configuration(*subnets)
    add(conf, "first")
    count = 1500 // len(turns)
    log = tmp_path / "log"
    loop(conf, count, *turns, log=log)
    average = syncs_in(log) / (count * len(turns))
    assert average <= 1.1, f"{average:.2f} syncs a call"


def test_dels_in_a_row_neither(tmp_path: Path):
    conf = configuration(V4)
    loop(conf, 1000, "ADD")
    log = tmp_path / "log"
    loop(conf, 1000, "DEL", log=log)
    assert syncs_in(log) / 1000 <= 1.1, f"{syncs_in(log) / 1000:.2f} syncs a call"


@FAMILY
@pytest.mark.parametrize("uid", ["", "uid-1"], ids=["nameless", "uid"])
def test_what_changes_nothing_writes_nothing_whatever_the_logs_length(
    world: World, subnet: str, uid: str
):
    conf = configuration(subnet)
    pod = world.pod(uid=uid)
    result = world.call("ADD", pod, conf)
    how = {"netns": pod.name, "args": world.how(pod)["args"]}
    what = f"{WRITES},{SYNCS}"
    for number in range(40):
        for verb, container, more in (
            ("ADD", pod.container, {}),
            ("DEL", "nobody", {}),
            ("CHECK", pod.container, {"prevResult": result.json}),
            ("STATUS", pod.container, {}),
        ):
            trace = Trace(verb, conf, container, what, more=more, **how)
            assert trace.answer.ok, trace.answer
            assert (trace.syncs, trace.writes) == (0, []), f"{verb} after {3 * number} calls"
        for verb in range(3):
            add(conf, f"more-{number}-{verb}")


# --- Row 8: shared with host-local ----------------------------------------------------------------


@pytest.mark.parametrize("leases", [10, 250])
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_8_a_call_after_an_export_needs_two_syncs_more(leases: int, verb: str):
    conf = configuration(V4)
    del conf["ipam"]["dataDir"]
    loop(conf, leases, "ADD")
    if verb == "DEL":
        add(conf, "late")
    command = [places.podlease(), "export", "--host-local", "--network", "lab"]
    subprocess.run(command, check=True, capture_output=True)
    calls = [(verb, "late"), *(("ADD", f"later-{number}") for number in range(4))]
    least = 99
    for call in calls:
        trace = Trace(call[0], conf, call[1], SYNCS)
        assert trace.answer.ok, trace.answer
        assert trace.count("/cni/networks/") <= 2, trace.lines
        least = min(least, trace.syncs)
    assert least <= 1 + 2, "where no log is folded the store itself needs one"
    held = {path.name for path in (HOST_LOCAL / "lab").iterdir() if path.name[0].isdigit()}
    assert len(held) == leases + (5 if verb == "ADD" else 4)


# --- Row 22: libcni's cache -----------------------------------------------------------------------


@pytest.mark.parametrize("own", [0, 50])
def test_22_cache_files_of_other_networks_are_not_opened_in_a_store_that_is_not_new(own: int):
    add(configuration("10.69.0.0/24", name="before"), "theirs")
    for number in range(2000):
        cache_entry("other", f"c{number:05d}", f"/run/netns/c{number}", "10.1.0.9")
    for number in range(own):
        cache_entry("lab", f"own{number}", f"/run/netns/o{number}", f"10.68.0.{number + 2}")
    trace = Trace("ADD", configuration(V4), "one", FILE_CALLS)
    assert trace.answer.ok, trace.answer
    assert trace.count(r'open\w*\(.*other-c\d+') == 0
    assert trace.count(r'open\w*\(.*lab-own\d+') == own


@pytest.mark.parametrize("new", [True, False], ids=["new store", "old store"])
def test_22_the_cache_is_read_while_the_stores_lock_is_not_held(new: bool):
    if not new:
        add(configuration("10.69.0.0/24", name="before"), "theirs")
    for number in range(300):
        address = f"10.68.{number // 200}.{number % 200 + 2}"
        cache_entry("lab", f"own{number}", "/run/nowhere/x", address)
    trace = Trace("ADD", configuration(V4), "one", FILE_CALLS)
    assert trace.answer.ok, trace.answer
    opened = trace.count(r'open\w*\(.*/cni/results/.*lab-own|open\w*\(.*"lab-own')
    assert opened >= 300
    assert trace.under_lock(r"open\w*\(.*lab-own") == 0, "parsed while others wait for the lock"


def test_22_once_a_network_is_known_the_cache_is_not_opened_at_all():
    conf = configuration(V4)
    add(conf, "one")
    for number in range(100):
        cache_entry("lab", f"own{number}", f"/run/netns/o{number}", f"10.68.0.{number + 99}")
    trace = Trace("ADD", conf, "two", FILE_CALLS)
    assert trace.answer.ok and trace.count(r"lab-own") == 0


# --- Row 24: other networks and other stores ------------------------------------------------------


def multiply(folder: Path, network: str, count: int) -> None:
    """As if the network, with one lease of 10.0.0.0/8 or so, had this many."""
    with closing(sqlite3.connect(folder / "podlease.db")) as database:
        database.row_factory = sqlite3.Row
        names = {row["name"] for row in database.execute("PRAGMA table_info(lease)")}
        (number,) = database.execute("SELECT id FROM network WHERE name = ?", (network,)).fetchone()
        row = dict(database.execute("SELECT * FROM lease WHERE network = ?", (number,)).fetchone())
        top = database.execute("SELECT max(id) FROM lease").fetchone()[0]
        first = int.from_bytes(row["address"][1:], "big")
        width = len(row["address"]) - 1

        def clones() -> Iterator[dict]:
            for index in range(1, count):
                blob = row["address"][:1] + (first + index).to_bytes(width, "big")
                yield {**row, "id": top + index, "container": f"clone-{index}", "address": blob}

        columns = ", ".join(names)
        values = ", ".join(f":{name}" for name in names)
        database.executemany(f"INSERT INTO lease({columns}) VALUES({values})", clones())
        last = row["address"][:1] + (first + count - 1).to_bytes(width, "big")
        touched = "UPDATE touched SET last = ? WHERE first <= ? AND last >= ?"
        changed = database.execute(touched, (last, row["address"], row["address"]))
        assert changed.rowcount == 1
        database.commit()


def reads_of(conf: dict, label: str) -> dict[str, int]:
    """What each verb reads from the store's files once it has a log."""
    reads = {}
    add(conf, f"{label}-warm")
    for verb in ("ADD", "DEL"):
        trace = Trace(verb, conf, f"{label}-pod", READS)
        assert trace.answer.ok, trace.answer
        reads[verb] = trace.count(r"podlease\.db")
    return reads


@pytest.mark.parametrize("main", [BRIDGE, GATEWAY], ids=["lan", "gateway"])
@pytest.mark.parametrize("big", ["10.0.0.0/9", "fd00:24::/64"], ids=["v4", "v6"])
def test_24_the_leases_of_another_network_are_not_read(main: dict, big: str):
    """Neither those of another range, nor those on the same wire."""
    small = configuration("10.200.0.0/24", "fd00:25::/64", name="small", main=main)
    add(configuration(big, name="big", main=main), "one")
    add(small, "two")
    multiply(places.LEASES, "big", 2)
    before = reads_of(small, "before")
    multiply_more(places.LEASES, "big", 100_000)
    after = reads_of(small, "after")
    for verb in before:  # the trees are a level or two deeper
        assert after[verb] <= before[verb] + 40, (verb, before, after)


def multiply_more(folder: Path, network: str, count: int) -> None:
    with closing(sqlite3.connect(folder / "podlease.db")) as database:
        database.execute("DELETE FROM lease WHERE container = 'clone-1'")
        database.commit()
    multiply(folder, network, count)


@pytest.mark.parametrize("verb", ["ADD", "ADD again", "DEL", "DEL of nobody"])
def test_24_other_stores_are_not_opened_where_the_configuration_says_which(verb: str):
    conf = configuration(V4)
    add(conf, "one")
    for number in range(20):
        folder = places.LEASES.with_name(f"other-{number}")
        add(configuration(V4, name=f"n{number}", dataDir=str(folder)), "theirs")
    container = {"ADD": "two", "ADD again": "one", "DEL": "one", "DEL of nobody": "nobody"}[verb]
    trace = Trace(verb.split()[0], conf, container, FILE_CALLS)
    assert trace.answer.ok
    assert trace.count(r"/other-\d+/(podlease|lock)") == 0


# --- Row 25: a large range ------------------------------------------------------------------------


def rows_of(folder: Path) -> int:
    with store._copy_of(folder) as database:
        names = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        count = "SELECT count(*) FROM {}"
        return sum(database.execute(count.format(*name)).fetchone()[0] for name in names)


@pytest.mark.parametrize("subnet", [V6, "10.0.0.0/9"], ids=["v6", "v4"])
def test_25_freed_addresses_are_used_again_once_thousands_are_cool(subnet: str):
    """Pods came and went for months: 20,000 addresses were freed long ago. What is left of the
    range would last for ever, and each address of it would cost a row for good."""
    conf = configuration(subnet)
    add(conf, "stays")
    add(conf, "goes")
    delete(conf, "goes")
    with closing(sqlite3.connect(places.LEASES / "podlease.db")) as database:
        database.row_factory = sqlite3.Row
        row = dict(database.execute("SELECT * FROM freed").fetchone())
        first = int.from_bytes(row["address"][1:], "big")
        width = len(row["address"]) - 1
        blobs = [row["address"][:1] + (first + n).to_bytes(width, "big") for n in range(20_000)]
        clones = [
            {**row, "address": blob, "position": row["position"] + n, "at": row["at"] - 10**9}
            for n, blob in enumerate(blobs)
            if n
        ]
        columns, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        database.executemany(f"INSERT INTO freed({columns}) VALUES({values})", clones)
        database.execute("UPDATE touched SET last = ?", (blobs[-1],))
        top = row["position"] + len(blobs)
        database.execute("UPDATE network SET next_position = ?", (top,))
        cool = "UPDATE freed SET since_boot = 0, boot = NULL WHERE address > ?"
        database.execute(cool, (blobs[0],))
        # What was freed just now is the last in the queue.
        last = "UPDATE freed SET position = ? WHERE address = ?"
        database.execute(last, (top, blobs[0]))
        database.execute("UPDATE network SET next_position = ?", (top + 1,))
        database.commit()
    before = rows_of(places.LEASES)
    known = {str(ip_address(blob[1:])) for blob in blobs}
    given = {address for n in range(20) for address in add(conf, f"new-{n}").addresses}
    assert given <= known, "an untouched address although thousands are cool"
    loop(conf, 200, "ADD", "DEL")
    # Each freed address remembers the pod that had it last, and each end is a row of the history,
    # which is a ring.
    most = before + 20 + 200 + 200 + 10
    assert rows_of(places.LEASES) <= most, "more than leases, history, pods and a bit"


# --- Walks ----------------------------------------------------------------------------------------


def trace_of(world: World, conf: dict, pod: Any, args: str = "") -> Trace:
    how = world.how(pod, args)
    how.pop("container_id")
    under = how.pop("under")
    if under:  # the clock of the test's machine, below strace
        log = Path("/run/strace.log")
        options = ["-f", "-o", log, "-y", "-s", "256", "-e", f"trace={FILE_CALLS}"]
        answer = cni.call(
            places.podlease(),
            "ADD",
            conf,
            under=["strace", *options, "-e", "signal=none", "--", *under],
            container_id=pod.container,
            **how,
        )
        trace = Trace.__new__(Trace)
        trace.answer = answer
        lines = log.read_text().splitlines()
        trace.lines = [line for line in lines if "(" in line]
        log.unlink()
    else:
        trace = Trace("ADD", conf, pod.container, FILE_CALLS, **how)
    if trace.answer.ok:
        world.note(pod, trace.answer.addresses)
    return trace


def test_an_add_with_room_walks_over_no_processes(world: World):
    conf = configuration("10.68.0.0/24")
    world.add_all(world.pods(5), conf)
    world.lose(world.live[0])
    for _ in range(4):  # a suspicion is noted, and is young
        trace = trace_of(world, conf, world.pod())
        assert trace.answer.ok and trace.walks == 0


def test_a_suspicion_come_of_age_costs_two_walks_without_the_lock(world: World):
    conf = configuration("10.68.0.0/24")
    pods = world.pods(5)
    world.add_all(pods, conf)
    world.lose(pods[0])
    world.add_all(world.pods(4), conf)
    world.later()
    walks = 0
    for _ in range(2):
        for _ in range(6):
            trace = trace_of(world, conf, world.pod())
            assert trace.answer.ok and trace.walks <= 2, "two, apart, end a lease"
            walks += trace.walks
            looks = r'open\w*\(.*"/proc/?",|"\d+/ns/net"'
            assert trace.under_lock(looks) == 0, "others wait meanwhile"
        world.later()
    assert 1 <= walks <= 2
    assert world.leases() == world.living()


def test_exhaustion_is_one_walk_and_its_retry_none(world: World):
    conf = configuration("10.68.0.0/29")
    world.add_all(world.pods(5), conf)
    world.lose(*world.live[:2])
    newcomer = world.pod()
    trace = trace_of(world, conf, newcomer)
    assert trace.answer.json["code"] == 100
    assert trace.walks <= 1
    looked = Counter(
        match[1] for line in trace.lines if (match := re.search(r'"(/run/netns/net-\d+)"', line))
    )
    looked.pop(str(newcomer.name), None)
    assert all(times <= 2 for times in looked.values()), looked
    assert trace.count(r"/proc/\d+/task") == 0, "threads of processes whose first one lives"
    retry = trace_of(world, conf, newcomer)
    assert retry.answer.json["code"] == 100
    assert retry.walks == 0, "a retry within a second"
    world.delete(world.live[0], conf)  # the note is valid only while nothing changes
    assert "cooling" in str(world.try_add(newcomer, conf).json) or newcomer.addresses


def test_a_found_occupant_is_looked_at_and_nobody_else(world: World):
    conf = configuration("10.68.0.0/29")
    pods = world.pods(5)
    world.add_all(pods, conf)
    world.forget_name(pods[0])
    newcomer = world.pod()
    for _ in range(2):
        assert exhaustion(world.try_add(newcomer, conf))["suspect"] == 0
        world.later()
    trace = trace_of(world, conf, newcomer)
    assert trace.answer.json["code"] == 100
    assert trace.walks == 0
    assert trace.count(rf"/proc/{pods[0].processes[0].pid}\b") >= 1


# --- The host's tables ----------------------------------------------------------------------------


def test_the_kernels_tables_are_dumped_once_a_minute(world: World):
    conf = configuration("10.68.0.0/24", main=GATEWAY)
    add(conf, "first")
    dumps = []
    for number in range(3):
        trace = Trace("ADD", conf, f"pod-{number}", "sendto,sendmsg")
        assert trace.answer.ok
        dumps.append(trace.count(r"NLM_F_DUMP|RTM_GET\w+.*0x300"))
    assert dumps == [0, 0, 0], "each ADD asks about the address that it is about to give only"
    edited = configuration("10.68.0.0/24", main={**GATEWAY, "bridge": "cni1"})
    trace = Trace("ADD", edited, "edited", "sendto,sendmsg")
    assert trace.count(r"NLM_F_DUMP|RTM_GET\w+.*0x300") > 0, "a changed configuration is looked at"


# --- Instructions ---------------------------------------------------------------------------------


def instructions(verb: str, conf: dict, container: str) -> int:
    """Counted by valgrind: the same on any machine."""
    under = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    answer = cni.call(
        places.podlease(), verb, conf, container_id=container, netns=NETNS, under=under, timeout=300
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", answer.stderr)
    assert found, answer
    assert answer.ok, answer
    return int(found[1].replace(",", ""))


@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind to count instructions")
def test_gc_costs_leases_plus_attachments():
    """Twice as many of both may cost twice as much, but not four times."""
    costs = []
    for number, count in enumerate((400, 800, 1600)):
        folder = places.LEASES.with_name(f"gc-{count}")
        # Each with addresses of its own: the same network would go on from the store before.
        conf = configuration(f"10.{number}.0.0/16", name=f"gc-{number}", dataDir=str(folder))
        add(conf, "one")
        multiply(folder, f"gc-{number}", count)
        valid = [{"containerID": f"clone-{n}", "ifname": "eth0"} for n in range(count)]
        valid.append({"containerID": "one", "ifname": "eth0"})
        costs.append(instructions("GC", {**conf, "cni.dev/valid-attachments": valid}, "one"))
    first, second = costs[1] - costs[0], costs[2] - costs[1]
    assert second <= 2.6 * first, costs


@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind to count instructions")
def test_the_first_untouched_address_is_not_linear_in_holes():
    """The same configuration, so that reading it costs the same: the holes lie before the first
    free address, or behind it."""
    holes = [f"10.0.{n // 128}.{2 * (n % 128)}" for n in range(4000)]
    odd = [f"10.0.{n // 128}.{2 * (n % 128) + 1}" for n in range(4000)]
    behind = configuration(ranges=[[{"subnet": "10.0.0.0/16"}]], exclude=holes)
    add(behind, "warm")
    near = instructions("ADD", behind, "near")
    folder = str(places.LEASES.with_name("holes"))
    both = configuration(ranges=[[{"subnet": "10.0.0.0/16"}]], exclude=holes + odd, dataDir=folder)
    add(both, "warm")
    far = instructions("ADD", both, "far")
    assert far <= 2.5 * near, (near, far)  # twice as long a list to read
