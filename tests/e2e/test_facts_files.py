"""FACTS.md sections 3 and 4, and the rows of section 5 about files: 9, 10, 20, 31 and 33. Whose a
folder is, what lies in it under our names, and who else holds its lock."""

import json
import os
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Iterator

import pytest
from lab import cni, hold, places, store
from lab.cni import Answer
from lab.world import configuration, wait_until

IO, CONFIG, BUSY = 5, 7, 11
NETNS = "/run/netns/none"  # need not exist
V4, V6 = "10.66.0.0/24", "fd00:66::/64"
FAMILY = pytest.mark.parametrize("subnet", [V4, V6], ids=["v4", "v6"])
OTHER = places.LEASES.with_name("other")


def call(verb: str, conf: Any, container: str = "one", **how: Any) -> Answer:
    return cni.call(places.podlease(), verb, conf, **{"container_id": container, **how})


def add(conf: dict, container: str = "one", **how: Any) -> list[str]:
    answer = call("ADD", conf, container, netns=NETNS, **how)
    assert answer.ok, answer
    return answer.addresses


def leases(folder: Path) -> dict[str, str]:
    command = [places.podlease(), "list", "--output", "json", "--data-dir", folder]
    listed = json.loads(subprocess.check_output(command))
    return {lease["address"]: lease["containerID"] for lease in listed}


# --- Row 9: the lock of another store -------------------------------------------------------------


@FAMILY
@pytest.mark.parametrize("count", [1, 5])
def test_9_a_del_that_finds_nothing_waits_for_no_unrelated_store(subnet: str, count: int):
    """flock(1) in a backup script holds it for an hour."""
    conf = configuration(subnet, lockTimeout="20s")
    add(conf)
    folders = [places.LEASES.with_name(f"other-{number}") for number in range(count)]
    for number, folder in enumerate(folders):
        add(configuration("10.67.0.0/24", name=f"n{number}", dataDir=str(folder)), f"their{number}")
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(hold.locked(folder))
        for verb_conf in (conf, configuration(V6 if subnet == V4 else V4, lockTimeout="20s")):
            answer = call("DEL", verb_conf, "nobody", timeout=15)
            assert (answer.status, answer.stdout) == (0, b""), answer
    for number, folder in enumerate(folders):
        assert set(leases(folder).values()) == {f"their{number}"}


VAGUE = {
    "no dataDir": {"cniVersion": "1.1.0", "name": "lab", "ipam": {"type": "podlease"}},
    "nonsense": {"cniVersion": "1.1.0", "name": "lab", "ipam": {"type": "podlease", "dataDir": 7}},
    "not json": "{",
}


@pytest.mark.parametrize("vague", VAGUE.values(), ids=VAGUE.keys())
def test_9_a_lease_in_a_locked_store_ends_by_a_note(vague: Any):
    """The configuration does not say where the lease is, and who could say is held up: DEL leaves
    a note beside the store and succeeds; the store's next holder ends the lease."""
    conf = configuration(V4, dataDir=str(OTHER))
    (address,) = add(conf, "ours")
    add(conf, "theirs")
    with hold.locked(OTHER):
        answer = call("DEL", vague, "ours", timeout=25)
        assert answer.ok, answer
        assert (OTHER / "ended" / "ours.eth0").exists()
    add(conf, "next")
    assert address not in leases(OTHER)
    assert sorted(leases(OTHER).values()) == ["next", "theirs"]
    assert not (OTHER / "ended" / "ours.eth0").exists()


def test_9_a_note_of_one_that_has_no_lease_there_does_no_harm():
    conf = configuration(V4, dataDir=str(OTHER))
    add(conf, "theirs")
    with hold.locked(OTHER):
        assert call("DEL", VAGUE["no dataDir"], "nobody", timeout=25).ok
    add(conf, "next")
    assert sorted(leases(OTHER).values()) == ["next", "theirs"]


def test_9_where_no_note_can_be_left_the_runtime_tries_again():
    conf = configuration(V4, dataDir=str(OTHER))
    add(conf, "ours")
    (OTHER / "ended").write_text("in the way")
    with hold.locked(OTHER):
        answer = call("DEL", VAGUE["no dataDir"], "ours", timeout=25)
        assert not answer.ok and answer.json["code"] == BUSY, answer
    assert call("DEL", VAGUE["no dataDir"], "ours").ok
    assert leases(OTHER) == {}


# --- Row 10: links, and folders that others may write ---------------------------------------------

FILES = ["lock", "podlease.db", "podlease.db-wal", "podlease.db-shm", "podlease.db-journal"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("target", ["a file", "a store", "nothing"])
@pytest.mark.parametrize("new", [True, False], ids=["new store", "old store"])
def test_10_no_file_of_a_store_is_followed_elsewhere(
    tmp_path: Path, name: str, target: str, new: bool
):
    conf = configuration(V4)
    victim = tmp_path / "victim"
    places.LEASES.mkdir(mode=0o700)
    if not new:
        add(conf)
    if target == "a file":
        victim.write_text("root:x:0:0:root:/root:/bin/sh\n")
    elif target == "a store":
        add(configuration(V4, dataDir=str(tmp_path / "foreign")))
        shutil.copyfile(tmp_path / "foreign/podlease.db", victim)
    before = victim.read_bytes() if victim.exists() else None
    path = places.LEASES / name
    path.unlink(missing_ok=True)
    path.symlink_to(victim)
    answer = call("ADD", conf, "late", netns=NETNS)
    call("DEL", conf, "late")
    after = victim.read_bytes() if victim.exists() else None
    assert after == before, f"{name} was followed"
    if name in ("lock", "podlease.db"):
        assert not answer.ok and answer.json["code"] == IO, answer
        assert str(path) in answer.json["msg"], answer


def world_writable(folder: Path) -> None:
    folder.chmod(0o777)


def sticky(folder: Path) -> None:
    folder.chmod(0o1777)


def other_group(folder: Path) -> None:
    os.chown(folder, 0, 1234)
    folder.chmod(0o770)


def other_owner(folder: Path) -> None:
    os.chown(folder, 1000, 1000)


@pytest.mark.parametrize("spoil", [world_writable, sticky, other_group, other_owner])
@pytest.mark.parametrize("new", [True, False], ids=["new store", "old store"])
def test_10_a_folder_that_others_may_write_is_refused_by_add_and_not_by_del(spoil: Any, new: bool):
    conf = configuration(V4)
    places.LEASES.mkdir(mode=0o700)
    if not new:
        add(conf, "old")
    spoil(places.LEASES)
    answer = call("ADD", conf, "late", netns=NETNS)
    assert not answer.ok and answer.json["code"] == IO, answer
    text = answer.json["msg"] + answer.json.get("details", "")
    assert str(places.LEASES) in text and re.search("write|writable|own|belong", text), text
    assert call("DEL", conf, "old").ok
    assert call("DEL", conf, "late").ok
    assert leases(places.LEASES) == {}


def test_10_what_is_not_writable_by_others_is_served(tmp_path: Path):
    """The owner's own group, folders that anyone may read, and a folder behind a link of root's."""
    for number, mode in enumerate((0o700, 0o755, 0o770, 0o775)):
        folder = tmp_path / f"mode-{number}"
        folder.mkdir()
        folder.chmod(mode)
        add(configuration(V4, dataDir=str(folder)))
    (tmp_path / "link").symlink_to(tmp_path / "mode-0")
    add(configuration(V4, dataDir=str(tmp_path / "link")), "two")
    assert len(leases(tmp_path / "mode-0")) == 2


def test_10_the_registry_is_not_followed_either(tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("keep\n")
    (places.LEASES.parent / "stores").symlink_to(victim)
    call("ADD", configuration(V4), netns=NETNS)
    assert victim.read_text() == "keep\n"


# --- Row 20: rootless -----------------------------------------------------------------------------

USER = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
ROOTLESS = [*USER, "unshare", "--user", "--map-root-user"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of user 1000, with a binary that it may run."""
    folder = Path("/run/user-1000")
    folder.mkdir(mode=0o700)
    shutil.copy(places.podlease(), folder / "podlease")
    for path in (folder, folder / "podlease"):
        os.chown(path, 1000, 1000)
    yield folder
    shutil.rmtree(folder)


@FAMILY
@pytest.mark.parametrize("under", [ROOTLESS, USER], ids=["user namespace", "plain user"])
@pytest.mark.parametrize("registry", ["readable", "hidden", "absent"])
def test_20_a_user_has_a_store_of_their_own(
    home: Path, subnet: str, under: list[str], registry: str
):
    """Rootless podman: /var/lib belongs to a root that is not this one."""
    parent = places.LEASES.parent
    if registry == "hidden":
        parent.chmod(0o700)
    elif registry == "readable":
        add(configuration(V4), "roots")
    else:
        options = ["-o", "mode=0755"]
        subprocess.run(["mount", "-t", "tmpfs", *options, "bare", parent.parent], check=True)
    try:
        conf = configuration(subnet, dataDir=str(home / "store"))
        binary = home / "podlease"

        def run(verb: str, container: str, **more: Any) -> Answer:
            how = {"container_id": container, "netns": NETNS, "under": under}
            return cni.call(binary, verb, {**conf, **more}, **how)

        one, two = run("ADD", "one"), run("ADD", "two")
        assert one.ok and two.ok and one.addresses != two.addresses, (one, two)
        assert run("ADD", "one").addresses == one.addresses
        assert run("CHECK", "one", prevResult=one.json).ok
        assert run("STATUS", "one").ok
        assert run("DEL", "one").ok
        assert run("DEL", "nobody").ok
        listed = subprocess.run(
            [*under, binary, "list", "-o", "json", "--data-dir", home / "store"],
            capture_output=True,
        )
        assert [lease["containerID"] for lease in json.loads(listed.stdout)] == ["two"]
    finally:
        if registry == "hidden":
            parent.chmod(0o755)
        elif registry == "absent":
            subprocess.run(["umount", parent.parent], check=True)


def test_20_the_registry_forgets_folders_that_are_gone(tmp_path: Path):
    gone = tmp_path / "gone"
    add(configuration(V4, dataDir=str(gone)))
    shutil.rmtree(gone)
    add(configuration(V4), "two")
    add(configuration(V4, dataDir=str(tmp_path / "another")), "three")
    assert str(gone) not in (places.LEASES.parent / "stores").read_text()
    shown = subprocess.check_output([places.podlease(), "status"], text=True)
    assert str(gone) not in shown


# --- Row 31: damage -------------------------------------------------------------------------------


def damage(text: bytes) -> None:
    places.LEASES.joinpath("podlease.db-wal").unlink(missing_ok=True)
    places.LEASES.joinpath("podlease.db").write_bytes(text)


def test_31_both_copies_of_two_damages_in_one_second_are_kept():
    conf = configuration(V4)
    add(conf, "zero")
    texts = []
    for number in range(6):
        texts.append(b"garbage %d " % number * 512)
        damage(texts[-1])
        add(conf, f"pod-{number}")
    aside = [path.read_bytes() for path in places.LEASES.glob("podlease.db.damaged-*")]
    kept = [text for text in aside if text.startswith(b"garbage")]
    assert sorted(kept) == sorted(texts)


RENAMING = "rename,renameat,renameat2,link,linkat"


@pytest.mark.parametrize("also", [False, True], ids=["gone", "replaced"])
@pytest.mark.parametrize("call_name, nth", [(RENAMING, 1), ("openat", 1), ("openat", 2)])
def test_31_a_damaged_store_that_somebody_moves_aside_meanwhile_is_served(
    tmp_path: Path, call_name: str, nth: int, also: bool
):
    """An operator reads the same line in the log. The kernel holds podlease up until then: at the
    renaming, or as it opens the file, for the first time or to make sure that it is damaged."""
    conf = configuration(V4)
    add(conf, "zero")
    damage(b"garbage " * 512)
    log = tmp_path / "log"
    database = places.LEASES / "podlease.db"
    delay = f"inject={call_name}:delay_enter=1500000:when={nth}"
    command = ["strace", "-f", "-o", log, "-P", database, "-e", f"trace={call_name}", "-e", delay]
    process = cni.spawn(
        places.podlease(), "ADD", under=[*command, "--"], container_id="one", netns=NETNS
    )
    process.stdin.write(cni.stdin_of(conf))
    process.stdin.close()
    try:
        begun = lambda: log.exists() and log.read_text().count("podlease.db") >= nth
        wait_until(lambda: begun() or process.poll() is not None, "podlease never came there")
        if process.poll() is not None:
            pytest.skip(f"podlease makes no {nth}th call of {call_name} on the database")
        database.rename(places.LEASES / "moved-by-hand")
        if also:
            database.write_bytes(b"")
        out = process.stdout.read()
        assert process.wait(timeout=30) == 0, out
        assert json.loads(out)["ips"]
    finally:
        process.kill()
        process.wait()
    assert (places.LEASES / "moved-by-hand").read_bytes() == b"garbage " * 512
    add(conf, "two")
    assert {"one", "two"} <= set(leases(places.LEASES).values())


# --- Row 33: history ------------------------------------------------------------------------------


def overflow_pages(folder: Path) -> dict[str, int]:
    """By table: pages that hold what did not fit into a row's own."""
    with store._copy_of(folder) as database:
        rows = database.execute(
            "SELECT name, count(*) FROM dbstat WHERE pagetype = 'overflow' GROUP BY name"
        )
        return dict(rows.fetchall())


@FAMILY
def test_33_a_past_lease_of_a_pod_with_the_longest_names_is_one_row(subnet: str):
    """A name has 253 characters at most, a namespace 63, a container id of containerd 64."""
    conf = configuration(subnet)
    for number in range(30):
        container = f"{number:064x}"
        name = f"{number:03d}" + "n" * 250
        args = f"K8S_POD_NAMESPACE={'s' * 63};K8S_POD_NAME={name};"
        args += f"K8S_POD_UID=0f4a2c1e-6b1b-4a0e-9d7f-{number:012d}"
        netns = f"/var/run/netns/cni-0f4a2c1e-6b1b-4a0e-9d7f-{number:012d}"
        answer = call("ADD", conf, container, netns=netns, args=args)
        assert answer.ok, answer
        assert call("DEL", conf, container, netns=netns, args=args).ok
    command = [places.podlease(), "history", "-o", "json", "--data-dir", places.LEASES]
    past = json.loads(subprocess.check_output(command))
    assert len(past) == 30 and {len(item["podName"]) for item in past} == {253}
    assert overflow_pages(places.LEASES) == {}
