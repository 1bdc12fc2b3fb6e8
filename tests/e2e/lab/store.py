"""Looks into podlease's store with nothing of podlease: include/podlease/store/store.h tells the
schema."""

import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Iterator

FILES = ("podlease.db", "podlease.db-wal", "podlease.db-journal")


@dataclass
class Contents:
    """The addresses of a store, with the network's number in front: (1, "10.88.0.2")."""

    leased: dict[tuple[int, str], tuple[str, str]]  # whose: container id and interface
    freed: set[tuple[int, str]]
    touched: set[tuple[int, str]]

    def of(self, container_id: str) -> list[str]:
        """The addresses of a container, in order."""
        return [at[1] for at, holder in self.leased.items() if holder[0] == container_id]


def text_of(blob: bytes) -> str:
    """One byte 4 or 6, then 4 or 16 bytes."""
    address = ip_address(blob[1:])
    assert address.version == blob[0], blob
    return str(address)


def _between(first: bytes, last: bytes) -> list[str]:
    start, end = (int.from_bytes(blob[1:], "big") for blob in (first, last))
    width = len(first) - 1
    return [text_of(first[:1] + number.to_bytes(width, "big")) for number in range(start, end + 1)]


@contextmanager
def _copy_of(folder: Path) -> Iterator[sqlite3.Connection]:
    """An SQLite that closes a store as the last one removes its log, and the tests want to see what
    podlease does with that."""
    with tempfile.TemporaryDirectory(dir="/run") as copy:
        for name in FILES:
            if (folder / name).exists():
                shutil.copyfile(folder / name, Path(copy, name))
        with closing(sqlite3.connect(Path(copy, FILES[0]))) as database:
            yield database


def _is_empty(database: sqlite3.Connection) -> bool:
    return not database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]


def read(folder: Path) -> Contents:
    """Checks the file and reads it."""
    with _copy_of(folder) as database:
        assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        return Contents({}, set(), set()) if _is_empty(database) else _read(database)


def blocks(folder: Path) -> list[str]:
    """The CIDRs of the blocks of PodPools that it knows of, whatever their state."""
    with _copy_of(folder) as database:
        if _is_empty(database):
            return []
        rows = database.execute("SELECT key FROM note WHERE kind = 'block'")
        return [key.split("\n")[1] for (key,) in rows]


def _read(database: sqlite3.Connection) -> Contents:
    leases = database.execute("SELECT network, address, container, ifname FROM lease ORDER BY id")
    leased = [((network, text_of(blob)), (cid, name)) for network, blob, cid, name in leases]
    twice = [at for at, times in Counter(at for at, _ in leased).items() if times > 1]
    assert not twice, f"leased twice: {twice}"
    freed = database.execute("SELECT network, address FROM freed")
    touched = database.execute("SELECT network, first, last FROM touched")
    return Contents(
        dict(leased),
        {(network, text_of(blob)) for network, blob in freed},
        {(network, at) for network, first, last in touched for at in _between(first, last)},
    )


def read_sound(folder: Path) -> Contents:
    """Reads a store and demands that every touched address is in exactly one place."""
    contents = read(folder)
    assert not contents.leased.keys() & contents.freed
    assert contents.leased.keys() | contents.freed == contents.touched
    return contents


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below the folder but the lock, which is rewritten by whoever takes it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / "lock"
    }
